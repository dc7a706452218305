/* SPDX-License-Identifier: Apache-2.0 */
/* Verification against signatures that OpenSSL made, and every one-bit change of them. */
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "pkcs11/verify.h"
#include "rsa_key.h"
#include "unit.h"

static const EVP_MD *md_of(enum hash_id hash)
{
    return hash == HASH_SHA256 ? EVP_sha256() : hash == HASH_SHA384 ? EVP_sha384() : EVP_sha512();
}

static size_t make_signature(EVP_PKEY *key, const struct scheme *scheme, struct wire_span data,
                             uint8_t *signature, size_t size)
{
    size_t len = size;

    if (scheme->hash == HASH_NONE) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        assert_true(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) > 0 &&
                    EVP_DigestSign(ctx, signature, &len, data.data, data.len) > 0);
        EVP_MD_CTX_free(ctx);
        return len;
    }
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    assert_true(EVP_PKEY_sign_init(ctx) > 0 &&
                EVP_PKEY_CTX_set_signature_md(ctx, md_of(scheme->hash)) > 0);
    if (scheme->padding == PADDING_PSS)
        assert_true(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
                    EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0);
    assert_true(EVP_PKEY_sign(ctx, signature, &len, data.data, data.len) > 0);
    EVP_PKEY_CTX_free(ctx);
    return len;
}

static EVP_PKEY *make_key(enum key_type type)
{
    switch (type) {
    case KEY_TYPE_EC:
        return EVP_EC_gen("P-256");
    case KEY_TYPE_ED25519:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    case KEY_TYPE_RSA_PSS:
        return rsa_key_load_pss();
    case KEY_TYPE_RSA:
        break;
    }
    return rsa_key_load(2048);
}

static void test_verify_every_scheme(void **state)
{
    static const uint32_t codes[] = {
        SCHEME_ECDSA_SHA256,        SCHEME_ECDSA_SHA512,        SCHEME_ED25519,
        SCHEME_RSA_PSS_RSAE_SHA256, SCHEME_RSA_PSS_RSAE_SHA512, SCHEME_RSA_PSS_PSS_SHA256,
        SCHEME_RSA_PSS_PSS_SHA384,  SCHEME_RSA_PKCS1_SHA256,    SCHEME_RSA_PKCS1_SHA384,
    };
    uint8_t data[64];
    uint8_t signature[PROTOCOL_SIGNATURE_MAX];

    (void)state;
    memset(data, 0x5a, sizeof(data));
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        const struct scheme *scheme = scheme_find(codes[i]);
        EVP_PKEY *pkey = make_key(scheme->key_type);
        struct public_key key;
        struct verifier verifier = {0};
        struct wire_span span = {data, scheme->hash == HASH_NONE ? 50 : hash_len(scheme->hash)};
        size_t len = make_signature(pkey, scheme, span, signature, sizeof(signature));

        assert_int_equal(public_key_from_pkey(pkey, &key), 0);
        assert_int_equal(
            verify_signature(&verifier, &key, scheme, span, (struct wire_span){signature, len}), 0);
        for (size_t bit = 0; bit < 8 * len; bit += 5) {
            signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(
                verify_signature(&verifier, &key, scheme, span, (struct wire_span){signature, len}),
                VERIFY_E_BAD);
            signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        data[0] ^= 1;
        assert_int_equal(
            verify_signature(&verifier, &key, scheme, span, (struct wire_span){signature, len}),
            VERIFY_E_BAD);
        data[0] ^= 1;
        public_key_deinit(&key);
        verifier_deinit(&verifier);
    }
}

/* A PSS signature with another salt length is not what TLS asks for. */
static void test_verify_pss_salt_length(void **state)
{
    const struct scheme *scheme = scheme_find(SCHEME_RSA_PSS_RSAE_SHA256);
    EVP_PKEY *pkey = rsa_key_load(2048);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    uint8_t data[32] = {1};
    uint8_t signature[256];
    size_t len = sizeof(signature);
    struct public_key key;
    struct verifier verifier = {0};

    (void)state;
    assert_true(EVP_PKEY_sign_init(ctx) > 0 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
                EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) > 0 &&
                EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, 20) > 0 &&
                EVP_PKEY_sign(ctx, signature, &len, data, sizeof(data)) > 0);
    EVP_PKEY_CTX_free(ctx);
    assert_int_equal(public_key_from_pkey(pkey, &key), 0);
    assert_int_equal(verify_signature(&verifier, &key, scheme,
                                      (struct wire_span){data, sizeof(data)},
                                      (struct wire_span){signature, len}),
                     VERIFY_E_BAD);
    public_key_deinit(&key);
    verifier_deinit(&verifier);
}

/* What is kept for one key and scheme must not decide for another, nor a failure for what follows.
 */
static void test_verify_with_changing_keys_and_schemes(void **state)
{
    const struct scheme *schemes[] = {scheme_find(SCHEME_RSA_PSS_RSAE_SHA256),
                                      scheme_find(SCHEME_RSA_PKCS1_SHA256)};
    struct public_key keys[2];
    uint8_t signatures[2][2][256];
    uint8_t data[32] = {7};
    struct wire_span span = {data, sizeof(data)};
    struct verifier verifier = {0};

    (void)state;
    for (size_t key = 0; key < 2; key++) {
        EVP_PKEY *pkey = key == 0 ? rsa_key_load(2048) : rsa_key_load_other();
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(make_signature(pkey, schemes[i], span, signatures[key][i], 256), 256);
        assert_int_equal(public_key_from_pkey(pkey, &keys[key]), 0);
    }
    /* Every signature against every key and scheme, each right one twice in a row. */
    for (size_t i = 0; i < 32; i++) {
        size_t key = i & 1, scheme = i >> 1 & 1, signer = i >> 2 & 1, form = i >> 3 & 1;
        bool is_right = key == signer && scheme == form;
        struct wire_span signature = {signatures[signer][form], 256};
        for (int again = 0; again < 2; again++)
            assert_int_equal(
                verify_signature(&verifier, &keys[key], schemes[scheme], span, signature),
                is_right ? 0 : VERIFY_E_BAD);
    }
    public_key_deinit(&keys[0]);
    public_key_deinit(&keys[1]);
    verifier_deinit(&verifier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verify_every_scheme),
        cmocka_unit_test(test_verify_pss_salt_length),
        cmocka_unit_test(test_verify_with_changing_keys_and_schemes),
    };

    return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
