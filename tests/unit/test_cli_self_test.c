/* SPDX-License-Identifier: Apache-2.0 */
/* The message of `mtls test`, and that only the right key's signature over it passes. */
#include "client/cli/self_test.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "rsa_key.h"
#include "unit.h"

struct fixture {
    EVP_PKEY *pkey;
    uint8_t *spki;
    size_t spki_len;
    uint8_t signature[MTLS_AGENT_SIGNATURE_MAX];
    size_t len;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    *state = fixture;
    return fixture ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    OPENSSL_free(fixture->spki);
    EVP_PKEY_free(fixture->pkey);
    free(fixture);
    return 0;
}

/* As a token signs the self-test. */
static void sign(struct fixture *fixture, EVP_PKEY *pkey, const char *digest, bool pss)
{
    uint8_t content[SELF_TEST_CONTENT_LEN];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey_ctx = NULL;

    fixture->pkey = pkey;
    assert_non_null(pkey);
    fixture->len = sizeof(fixture->signature);
    assert_int_equal(self_test_content(content), 0);
    bool ok = EVP_DigestSignInit_ex(ctx, &pkey_ctx, digest, NULL, NULL, pkey, NULL) == 1;
    if (ok && pss)
        ok = EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, RSA_PSS_SALTLEN_DIGEST) > 0;
    ok =
        ok && EVP_DigestSign(ctx, fixture->signature, &fixture->len, content, sizeof(content)) == 1;
    EVP_MD_CTX_free(ctx);
    assert_true(ok);
    int len = i2d_PUBKEY(pkey, &fixture->spki);
    assert_true(len > 0);
    fixture->spki_len = (size_t)len;
}

static int verify(const struct fixture *fixture, uint32_t scheme)
{
    return self_test_verify((struct mtls_agent_bytes){fixture->spki, fixture->spki_len},
                            scheme_find(scheme),
                            (struct mtls_agent_bytes){fixture->signature, fixture->len});
}

static void test_content_has_the_form_of_rfc8446(void **state)
{
    uint8_t content[SELF_TEST_CONTENT_LEN];

    (void)state;
    assert_int_equal(self_test_content(content), 0);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(content[i], ' ');
    assert_memory_equal(content + 64, "TLS 1.3, client CertificateVerify", 34);
}

static void test_content_never_changes(void **state)
{
    /* SHA-256 of "mtls-agent self-test: this is no TLS handshake" */
    static const uint8_t start[] = {0x6c, 0xb6, 0x36, 0xa1, 0xca, 0x13, 0xc0, 0xc6};
    uint8_t content[SELF_TEST_CONTENT_LEN];

    (void)state;
    assert_int_equal(self_test_content(content), 0);
    assert_memory_equal(content + 98, start, sizeof(start));
}

static void test_verify_takes_an_ecdsa_signature(void **state)
{
    sign(*state, EVP_EC_gen("P-256"), "SHA256", false);
    assert_int_equal(verify(*state, SCHEME_ECDSA_SHA256), 0);
}

static void test_verify_takes_an_ed25519_signature(void **state)
{
    sign(*state, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL, false);
    assert_int_equal(verify(*state, SCHEME_ED25519), 0);
}

static void test_verify_takes_a_pss_signature(void **state)
{
    sign(*state, rsa_key_load(2048), "SHA384", true);
    assert_int_equal(verify(*state, SCHEME_RSA_PSS_RSAE_SHA384), 0);
}

static void test_verify_refuses_pkcs1_where_pss_is_meant(void **state)
{
    sign(*state, rsa_key_load(2048), "SHA256", false);
    assert_int_equal(verify(*state, SCHEME_RSA_PSS_RSAE_SHA256), SELF_TEST_E_WRONG);
}

static void test_verify_refuses_another_hash(void **state)
{
    sign(*state, EVP_EC_gen("P-256"), "SHA384", false);
    assert_int_equal(verify(*state, SCHEME_ECDSA_SHA256), SELF_TEST_E_WRONG);
}

static void test_verify_refuses_a_changed_signature(void **state)
{
    struct fixture *fixture = *state;

    sign(fixture, EVP_EC_gen("P-256"), "SHA256", false);
    fixture->signature[fixture->len - 1] ^= 1;
    assert_int_equal(verify(fixture, SCHEME_ECDSA_SHA256), SELF_TEST_E_WRONG);
}

static void test_verify_refuses_a_broken_public_key(void **state)
{
    struct fixture *fixture = *state;

    sign(fixture, EVP_EC_gen("P-256"), "SHA256", false);
    fixture->spki_len = 5;
    assert_int_equal(verify(fixture, SCHEME_ECDSA_SHA256), SELF_TEST_E_WRONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content_has_the_form_of_rfc8446),
        cmocka_unit_test(test_content_never_changes),
        cmocka_unit_test_setup_teardown(test_verify_takes_an_ecdsa_signature, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify_takes_an_ed25519_signature, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify_takes_a_pss_signature, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify_refuses_pkcs1_where_pss_is_meant, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_verify_refuses_another_hash, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify_refuses_a_changed_signature, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify_refuses_a_broken_public_key, setup, teardown),
    };
    return cmocka_run_group_tests_name("cli-self-test", tests, NULL, NULL);
}
