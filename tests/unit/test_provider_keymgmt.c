/* SPDX-License-Identifier: Apache-2.0 */
/* Key management of the provider: what programs can ask of a key, and what they cannot get. */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>

#include "tests/unit/provider_fixture.h"

static void test_load_gives_keys_of_their_type(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        EVP_PKEY *pkey = fixture_load(fixture, i);
        assert_true(EVP_PKEY_is_a(pkey, fixture_keys[i].type));
        assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(pkey)), "mtls-agent");
        EVP_PKEY_free(pkey);
    }
}

static void test_sizes_are_those_of_the_software_key(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        EVP_PKEY *pkey = fixture_load(fixture, i);
        assert_int_equal(EVP_PKEY_get_bits(pkey), EVP_PKEY_get_bits(fixture->keys[i]));
        assert_int_equal(EVP_PKEY_get_security_bits(pkey),
                         EVP_PKEY_get_security_bits(fixture->keys[i]));
        assert_int_equal(EVP_PKEY_get_size(pkey), EVP_PKEY_get_size(fixture->keys[i]));
        EVP_PKEY_free(pkey);
    }
}

static void test_digest_names_are_those_of_the_software_key(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        EVP_PKEY *pkey = fixture_load(fixture, i);
        char expected[64] = "";
        char actual[64] = "";
        int is_mandatory =
            EVP_PKEY_get_default_digest_name(fixture->keys[i], expected, sizeof(expected));
        assert_int_equal(EVP_PKEY_get_default_digest_name(pkey, actual, sizeof(actual)),
                         is_mandatory);
        assert_string_equal(actual, expected);
        EVP_PKEY_free(pkey);
    }
}

static void test_group_name_is_that_of_the_software_key(void **state)
{
    struct fixture *fixture = *state;

    for (int i = FIXTURE_P256; i <= FIXTURE_P521; i++) {
        EVP_PKEY *pkey = fixture_load(fixture, i);
        char expected[64] = "";
        char actual[64] = "";
        size_t len = 0;
        assert_true(EVP_PKEY_get_group_name(fixture->keys[i], expected, sizeof(expected), &len));
        assert_true(EVP_PKEY_get_group_name(pkey, actual, sizeof(actual), &len));
        assert_string_equal(actual, expected);
        EVP_PKEY_free(pkey);
    }
}

static void test_numbers_are_those_of_the_software_key(void **state)
{
    static const struct {
        int key;
        const char *name;
    } numbers[] = {
        {FIXTURE_RSA, OSSL_PKEY_PARAM_RSA_N},     {FIXTURE_RSA, OSSL_PKEY_PARAM_RSA_E},
        {FIXTURE_PSS, OSSL_PKEY_PARAM_RSA_N},     {FIXTURE_P256, OSSL_PKEY_PARAM_EC_PUB_X},
        {FIXTURE_P256, OSSL_PKEY_PARAM_EC_PUB_Y}, {FIXTURE_P521, OSSL_PKEY_PARAM_EC_PUB_Y},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        EVP_PKEY *pkey = fixture_load(fixture, numbers[i].key);
        BIGNUM *expected = NULL;
        BIGNUM *actual = NULL;
        assert_true(
            EVP_PKEY_get_bn_param(fixture->keys[numbers[i].key], numbers[i].name, &expected));
        assert_true(EVP_PKEY_get_bn_param(pkey, numbers[i].name, &actual));
        assert_int_equal(BN_cmp(actual, expected), 0);
        BN_free(expected);
        BN_free(actual);
        EVP_PKEY_free(pkey);
    }
}

static void test_encoded_public_key_is_that_of_the_software_key(void **state)
{
    static const int keys[] = {FIXTURE_P256, FIXTURE_P384, FIXTURE_P521, FIXTURE_ED25519};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        EVP_PKEY *pkey = fixture_load(fixture, keys[i]);
        unsigned char expected[256];
        unsigned char actual[256];
        size_t expected_len = 0;
        size_t actual_len = 0;
        assert_true(EVP_PKEY_get_octet_string_param(fixture->keys[keys[i]], OSSL_PKEY_PARAM_PUB_KEY,
                                                    expected, sizeof(expected), &expected_len));
        assert_true(EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, actual,
                                                    sizeof(actual), &actual_len));
        assert_span_equal(((struct wire_span){actual, actual_len}),
                          ((struct wire_span){expected, expected_len}));
        EVP_PKEY_free(pkey);
    }
}

static void test_public_key_is_written_like_any_other(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        EVP_PKEY *pkey = fixture_load(fixture, i);
        unsigned char *expected = NULL;
        unsigned char *actual = NULL;
        int expected_len = i2d_PUBKEY(fixture->keys[i], &expected);
        int actual_len = i2d_PUBKEY(pkey, &actual);
        assert_int_equal(actual_len, expected_len);
        assert_memory_equal(actual, expected, (size_t)expected_len);
        OPENSSL_free(expected);
        OPENSSL_free(actual);
        EVP_PKEY_free(pkey);
    }
}

static void test_private_key_is_not_written(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        EVP_PKEY *pkey = fixture_load(fixture, i);
        BIO *bio = BIO_new(BIO_s_mem());
        assert_int_equal(PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL), 0);
        assert_int_equal(BIO_pending(bio), 0);
        BIO_free(bio);
        EVP_PKEY_free(pkey);
    }
    ERR_clear_error();
}

static void test_export_of_the_private_half_fails(void **state)
{
    struct fixture *fixture = *state;
    OSSL_PARAM *params = NULL;

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        EVP_PKEY *pkey = fixture_load(fixture, i);
        assert_int_equal(EVP_PKEY_todata(pkey, EVP_PKEY_KEYPAIR, &params), 0);
        assert_true(EVP_PKEY_todata(pkey, EVP_PKEY_PUBLIC_KEY, &params));
        assert_null(OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_PRIV_KEY));
        assert_null(OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_RSA_D));
        OSSL_PARAM_free(params);
        EVP_PKEY_free(pkey);
    }
    ERR_clear_error();
}

static void test_certificate_fits_its_key(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        EVP_PKEY *pkey = fixture_load(fixture, i);
        assert_int_equal(X509_check_private_key(fixture->certs[i], pkey), 1);
        assert_int_equal(EVP_PKEY_eq(pkey, X509_get0_pubkey(fixture->certs[i])), 1);
        assert_int_equal(X509_check_private_key(fixture->certs[(i + 1) % FIXTURE_KEY_COUNT], pkey),
                         0);
        EVP_PKEY_free(pkey);
    }
    ERR_clear_error();
}

static void test_certificate_of_another_key_of_the_same_type_does_not_fit(void **state)
{
    struct fixture *fixture = *state;
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_P256);
    EVP_PKEY *other = EVP_EC_gen("P-256");
    unsigned char *spki = NULL;
    int len = i2d_PUBKEY(other, &spki);
    const unsigned char *at = spki;
    EVP_PKEY *other_public = d2i_PUBKEY(NULL, &at, len);

    assert_int_equal(EVP_PKEY_eq(pkey, other_public), 0);
    EVP_PKEY_free(other_public);
    OPENSSL_free(spki);
    EVP_PKEY_free(other);
    EVP_PKEY_free(pkey);
}

static void test_same_key_loaded_twice_is_equal(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        EVP_PKEY *a = fixture_load(fixture, i);
        EVP_PKEY *b = fixture_load(fixture, i);
        assert_int_equal(EVP_PKEY_eq(a, b), 1);
        EVP_PKEY_free(a);
        EVP_PKEY_free(b);
    }
}

static void test_dup_signs(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        EVP_PKEY *pkey = fixture_load(fixture, i);
        EVP_PKEY *copy = EVP_PKEY_dup(pkey);
        assert_non_null(copy);
        EVP_PKEY_free(pkey);
        fixture_assert_signs(fixture, i, copy);
        EVP_PKEY_free(copy);
    }
}

static void test_ssl_ctx_takes_key_and_certificate(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        EVP_PKEY *pkey = fixture_load(fixture, i);
        SSL_CTX *ctx = SSL_CTX_new_ex(fixture->libctx, NULL, TLS_client_method());
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, pkey), 1);
        assert_int_equal(SSL_CTX_use_certificate(ctx, fixture->certs[i]), 1);
        assert_int_equal(SSL_CTX_check_private_key(ctx), 1);
        SSL_CTX_free(ctx);
        EVP_PKEY_free(pkey);
    }
}

static void test_keys_of_this_provider_cannot_be_generated(void **state)
{
    struct fixture *fixture = *state;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(fixture->libctx, "EC", "provider=mtls-agent");

    assert_non_null(ctx);
    assert_true(EVP_PKEY_keygen_init(ctx) <= 0);
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
}

static void test_software_private_key_is_not_imported(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        OSSL_PARAM *params = NULL;
        EVP_PKEY *pkey = NULL;
        assert_true(EVP_PKEY_todata(fixture->keys[i], EVP_PKEY_KEYPAIR, &params));
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(fixture->libctx, fixture_keys[i].type,
                                                       "provider=mtls-agent");
        assert_true(EVP_PKEY_fromdata_init(ctx) > 0);
        assert_true(EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) <= 0);
        assert_null(pkey);
        EVP_PKEY_CTX_free(ctx);
        OSSL_PARAM_free(params);
    }
    ERR_clear_error();
}

/* What libmtls-agent passes is not taken from a program by the loadable module. */
static void test_module_takes_no_agent_handle(void **state)
{
    struct fixture *fixture = *state;
    int not_an_agent = 0;
    void *handle = &not_an_agent;
    char description[] = "0";
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_ptr("mtls-agent-handle", &handle, 0),
        OSSL_PARAM_construct_octet_string("mtls-agent-description", description, 1),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(fixture->libctx, "EC", "provider=mtls-agent");

    assert_true(EVP_PKEY_fromdata_init(ctx) > 0);
    assert_true(EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) <= 0);
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load_gives_keys_of_their_type),
        cmocka_unit_test(test_sizes_are_those_of_the_software_key),
        cmocka_unit_test(test_digest_names_are_those_of_the_software_key),
        cmocka_unit_test(test_group_name_is_that_of_the_software_key),
        cmocka_unit_test(test_numbers_are_those_of_the_software_key),
        cmocka_unit_test(test_encoded_public_key_is_that_of_the_software_key),
        cmocka_unit_test(test_public_key_is_written_like_any_other),
        cmocka_unit_test(test_private_key_is_not_written),
        cmocka_unit_test(test_export_of_the_private_half_fails),
        cmocka_unit_test(test_certificate_fits_its_key),
        cmocka_unit_test(test_certificate_of_another_key_of_the_same_type_does_not_fit),
        cmocka_unit_test(test_same_key_loaded_twice_is_equal),
        cmocka_unit_test(test_dup_signs),
        cmocka_unit_test(test_ssl_ctx_takes_key_and_certificate),
        cmocka_unit_test(test_keys_of_this_provider_cannot_be_generated),
        cmocka_unit_test(test_software_private_key_is_not_imported),
        cmocka_unit_test(test_module_takes_no_agent_handle),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
