/* SPDX-License-Identifier: Apache-2.0 */
/* provider_pkey_new(), as libmtls-agent uses it: keys with the handle of their agent. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "client/provider/provider.h"
#include "tests/unit/provider_fixture.h"

/* The provider of the library for the tests that need it in the fixture's context. */
static OSSL_PROVIDER *library_provider;

static struct mtls_agent_keys *find(struct mtls_agent *agent, const char *name)
{
    struct mtls_agent_keys *keys = NULL;

    assert_int_equal(mtls_agent_find(agent, name, &keys, NULL), 0);
    return keys;
}

/* A key of every type in @libctx, each signing. */
static void assert_all_sign(const struct fixture *fixture, OSSL_LIB_CTX *libctx)
{
    struct mtls_agent *agent = mtls_agent_new(fixture->socket);
    struct fixture other = *fixture;

    other.libctx = libctx;
    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        struct mtls_agent_keys *keys = find(agent, fixture_keys[i].name);
        EVP_PKEY *pkey = provider_pkey_new(libctx, agent, mtls_agent_keys_get(keys, 0));
        mtls_agent_keys_free(keys);
        assert_non_null(pkey);
        assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(pkey)),
                            PROVIDER_LIBRARY_NAME);
        assert_int_equal(X509_check_private_key(fixture->certs[i], pkey), 1);
        fixture_assert_signs(&other, i, pkey);
        EVP_PKEY_free(pkey);
    }
    (void)mtls_agent_free(agent);
}

static OSSL_PROVIDER *load_library(OSSL_LIB_CTX *libctx)
{
    assert_true(OSSL_PROVIDER_add_builtin(libctx, PROVIDER_LIBRARY_NAME, mtls_agent_provider_init));
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(libctx, PROVIDER_LIBRARY_NAME);
    assert_non_null(provider);
    return provider;
}

static void test_keys_sign_beside_the_module(void **state)
{
    struct fixture *fixture = *state;

    assert_all_sign(fixture, fixture->libctx);
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_P256);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(pkey)), "mtls-agent");
    EVP_PKEY_free(pkey);
}

static void test_ordinary_keys_stay_ordinary(void **state)
{
    struct fixture *fixture = *state;
    OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
    OSSL_PROVIDER *ordinary = OSSL_PROVIDER_load(libctx, "default");
    OSSL_PROVIDER *library = load_library(libctx);

    assert_all_sign(fixture, libctx);
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(libctx, NULL, "EC", "P-256");
    assert_non_null(pkey);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(pkey)), "default");
    EVP_PKEY_free(pkey);
    assert_true(OSSL_PROVIDER_unload(library));
    assert_true(OSSL_PROVIDER_unload(ordinary));
    OSSL_LIB_CTX_free(libctx);
}

static void test_key_asks_its_own_agent(void **state)
{
    struct fixture *fixture = *state;
    struct mtls_agent *agent = mtls_agent_new(fixture->socket);
    struct mtls_agent *absent = mtls_agent_new("/nonexistent/agent.sock");
    struct mtls_agent_keys *keys = find(agent, "p256");
    struct wire_span content = fixture_certificate_verify(130);
    EVP_PKEY *pkey = provider_pkey_new(fixture->libctx, absent, mtls_agent_keys_get(keys, 0));
    EVP_MD_CTX *ctx = fixture_sign_init(fixture, FIXTURE_P256, pkey);
    unsigned char signature[512];
    size_t len = sizeof(signature);

    assert_true(EVP_DigestSign(ctx, signature, &len, content.data, content.len) <= 0);
    fixture_assert_error(MTLS_AGENT_E_NO_AGENT);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    mtls_agent_keys_free(keys);
    (void)mtls_agent_free(absent);
    (void)mtls_agent_free(agent);
}

static void test_making_a_key_asks_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct mtls_agent *agent = mtls_agent_new(fixture->socket);
    struct mtls_agent_keys *keys = find(agent, "rsa");
    size_t before = fixture_log_count(fixture, "");
    EVP_PKEY *pkey = provider_pkey_new(fixture->libctx, agent, mtls_agent_keys_get(keys, 0));

    assert_non_null(pkey);
    assert_int_equal(fixture_log_count(fixture, ""), before);
    EVP_PKEY_free(pkey);
    mtls_agent_keys_free(keys);
    (void)mtls_agent_free(agent);
}

static void test_key_of_unknown_form_is_an_error(void **state)
{
    static const uint8_t spki[] = {0x30, 0x00};
    struct fixture *fixture = *state;
    struct mtls_agent *agent = mtls_agent_new(fixture->socket);
    const struct mtls_agent_key key = {
        .name = "odd",
        .type = MTLS_AGENT_KEY_EC,
        .spki = {spki, sizeof(spki)},
    };

    assert_null(provider_pkey_new(fixture->libctx, agent, &key));
    assert_int_not_equal(ERR_peek_error(), 0);
    ERR_clear_error();
    (void)mtls_agent_free(agent);
}

static int setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    struct fixture *fixture = *state;
    library_provider = load_library(fixture->libctx);
    return 0;
}

static int teardown(void **state)
{
    if (library_provider)
        (void)OSSL_PROVIDER_unload(library_provider);
    return fixture_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_sign_beside_the_module),
        cmocka_unit_test(test_ordinary_keys_stay_ordinary),
        cmocka_unit_test(test_key_asks_its_own_agent),
        cmocka_unit_test(test_making_a_key_asks_nothing),
        cmocka_unit_test(test_key_of_unknown_form_is_an_error),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
