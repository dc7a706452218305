/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures of the provider: which request each call becomes, and which calls make none. */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#include "client/lib/mtls-agent.h"
#include "client/provider/context.h"
#include "client/provider/signature.h"
#include "tests/unit/provider_fixture.h"

static unsigned char signature_buffer[MTLS_AGENT_SIGNATURE_MAX];

static void test_sign_of_certificate_verify_is_tls13(void **state)
{
    static const char *const lines[FIXTURE_KEY_COUNT] = {
        "sign p256 tls13 0x0403 130", "sign p384 tls13 0x0503 130", "sign p521 tls13 0x0603 130",
        "sign rsa tls13 0x0804 130",  "sign pss tls13 0x080a 130",  "sign ed25519 tls13 0x0807 130",
    };
    struct fixture *fixture = *state;

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        EVP_PKEY *pkey = fixture_load(fixture, i);
        size_t before = fixture_log_count(fixture, lines[i]);
        fixture_assert_signs(fixture, i, pkey);
        assert_int_equal(fixture_log_count(fixture, lines[i]), before + 1);
        EVP_PKEY_free(pkey);
    }
}

static void test_sign_of_handshake_is_tls12(void **state)
{
    struct fixture *fixture = *state;
    struct wire_span handshake = fixture_handshake();

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        EVP_PKEY *pkey = fixture_load(fixture, i);
        EVP_MD_CTX *ctx = fixture_sign_init(fixture, i, pkey);
        size_t len = sizeof(signature_buffer);
        assert_int_equal(EVP_DigestSign(ctx, signature_buffer, &len, handshake.data, handshake.len),
                         1);
        assert_true(fixture_is_signature(fixture, i, handshake, signature_buffer, len));
        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(pkey);
    }
    assert_true(fixture_log_count(fixture, "sign p256 tls12 0x0403 ") > 0);
}

static void test_update_and_final_equal_one_shot(void **state)
{
    struct fixture *fixture = *state;
    struct wire_span content = fixture_certificate_verify(146);

    for (int i = FIXTURE_P256; i <= FIXTURE_PSS; i++) {
        EVP_PKEY *pkey = fixture_load(fixture, i);
        EVP_MD_CTX *ctx = fixture_sign_init(fixture, i, pkey);
        size_t len = 0;
        for (size_t at = 0; at < content.len; at += 50)
            assert_int_equal(EVP_DigestSignUpdate(ctx, content.data + at,
                                                  content.len - at < 50 ? content.len - at : 50),
                             1);
        assert_int_equal(EVP_DigestSignFinal(ctx, NULL, &len), 1);
        assert_int_equal(len, EVP_PKEY_get_size(pkey));
        assert_int_equal(EVP_DigestSignFinal(ctx, signature_buffer, &len), 1);
        assert_true(fixture_is_signature(fixture, i, content, signature_buffer, len));
        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(pkey);
    }
}

static void test_size_query_makes_no_request(void **state)
{
    struct fixture *fixture = *state;
    struct wire_span content = fixture_certificate_verify(130);
    size_t before = fixture_log_count(fixture, "sign ");

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        EVP_PKEY *pkey = fixture_load(fixture, i);
        EVP_MD_CTX *ctx = fixture_sign_init(fixture, i, pkey);
        size_t len = 0;
        assert_int_equal(EVP_DigestSign(ctx, NULL, &len, content.data, content.len), 1);
        assert_int_equal(len, EVP_PKEY_get_size(fixture->keys[i]));
        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(pkey);
    }
    assert_int_equal(fixture_log_count(fixture, "sign "), before);
}

static void test_init_twice_makes_no_request_and_signs_once(void **state)
{
    struct fixture *fixture = *state;
    struct wire_span content = fixture_certificate_verify(130);
    size_t before = fixture_log_count(fixture, "sign ");

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        EVP_PKEY *pkey = fixture_load(fixture, i);
        EVP_MD_CTX *ctx = fixture_sign_init(fixture, i, pkey);
        size_t len = sizeof(signature_buffer);
        /* with no key and no digest: those of the first time */
        assert_int_equal(EVP_DigestSignInit_ex(ctx, NULL, NULL, fixture->libctx, NULL, NULL, NULL),
                         1);
        assert_int_equal(EVP_DigestSign(ctx, signature_buffer, &len, content.data, content.len), 1);
        assert_true(fixture_is_signature(fixture, i, content, signature_buffer, len));
        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(pkey);
    }
    assert_int_equal(fixture_log_count(fixture, "sign "), before + FIXTURE_KEY_COUNT);
}

/* The functions themselves: OpenSSL's front end makes a new context for a new key. */
static void test_parameters_survive_second_init(void **state)
{
    struct fixture *fixture = *state;
    struct provider_context context = {.is_library = true};
    struct agent_key *key = agent_key_new(&context, KEY_TYPE_RSA);
    char pss[] = OSSL_PKEY_RSA_PAD_MODE_PSS;
    char name[16] = "";
    OSSL_PARAM set[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, pss, 0),
        OSSL_PARAM_construct_end(),
    };
    OSSL_PARAM get[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, name, sizeof(name)),
        OSSL_PARAM_construct_end(),
    };
    const OSSL_DISPATCH *at = signature_functions;
    OSSL_FUNC_signature_newctx_fn *newctx = NULL;
    OSSL_FUNC_signature_freectx_fn *freectx = NULL;
    OSSL_FUNC_signature_digest_sign_init_fn *init = NULL;

    for (; at->function_id; at++) {
        if (at->function_id == OSSL_FUNC_SIGNATURE_NEWCTX)
            newctx = OSSL_FUNC_signature_newctx(at);
        else if (at->function_id == OSSL_FUNC_SIGNATURE_FREECTX)
            freectx = OSSL_FUNC_signature_freectx(at);
        else if (at->function_id == OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT)
            init = OSSL_FUNC_signature_digest_sign_init(at);
    }
    (void)fixture;
    key->agent = (struct mtls_agent *)&context; /* never called here */
    void *ctx = newctx(&context, NULL);
    assert_int_equal(init(ctx, "SHA384", key, NULL), 1);
    assert_int_equal(signature_set_ctx_params(ctx, set), 1);
    assert_int_equal(init(ctx, "SHA384", key, NULL), 1);
    assert_int_equal(signature_get_ctx_params(ctx, get), 1);
    assert_string_equal(name, "pss");
    freectx(ctx);
    (void)agent_key_unref(key);
}

static void test_copied_context_signs_what_was_collected(void **state)
{
    struct fixture *fixture = *state;
    struct wire_span content = fixture_certificate_verify(130);
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_P256);
    EVP_MD_CTX *ctx = fixture_sign_init(fixture, FIXTURE_P256, pkey);
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    size_t len = sizeof(signature_buffer);

    assert_int_equal(EVP_DigestSignUpdate(ctx, content.data, 100), 1);
    assert_int_equal(EVP_MD_CTX_copy_ex(copy, ctx), 1);
    EVP_MD_CTX_free(ctx);
    assert_int_equal(EVP_DigestSignUpdate(copy, content.data + 100, 30), 1);
    assert_int_equal(EVP_DigestSignFinal(copy, signature_buffer, &len), 1);
    assert_true(fixture_is_signature(fixture, FIXTURE_P256, content, signature_buffer, len));
    EVP_MD_CTX_free(copy);
    EVP_PKEY_free(pkey);
}

static void test_pkcs1_in_tls12(void **state)
{
    struct fixture *fixture = *state;
    struct wire_span handshake = fixture_handshake();
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_RSA);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = sizeof(signature_buffer);

    assert_int_equal(EVP_DigestSignInit_ex(ctx, NULL, "SHA512", fixture->libctx, NULL, pkey, NULL),
                     1);
    assert_int_equal(EVP_DigestSign(ctx, signature_buffer, &len, handshake.data, handshake.len), 1);
    EVP_MD_CTX_reset(ctx);
    assert_int_equal(
        EVP_DigestVerifyInit(ctx, NULL, EVP_sha512(), NULL, fixture->keys[FIXTURE_RSA]), 1);
    assert_int_equal(EVP_DigestVerify(ctx, signature_buffer, len, handshake.data, handshake.len),
                     1);
    assert_int_equal(fixture_log_count(fixture, "sign rsa tls12 0x0601 "), 1);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
}

static void test_digest_decides_scheme_of_ec_key(void **state)
{
    struct fixture *fixture = *state;
    struct wire_span handshake = fixture_handshake();
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_P256);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = sizeof(signature_buffer);

    assert_int_equal(
        EVP_DigestSignInit_ex(ctx, NULL, "SHA2-384", fixture->libctx, NULL, pkey, NULL), 1);
    assert_int_equal(EVP_DigestSign(ctx, signature_buffer, &len, handshake.data, handshake.len), 1);
    assert_int_equal(fixture_log_count(fixture, "sign p256 tls12 0x0503 "), 1);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
}

static void test_other_message_is_digest_and_refused_with_the_reason(void **state)
{
    struct fixture *fixture = *state;
    static const char message[] = "a document";
    size_t len = sizeof(signature_buffer);
    const char *data = NULL;
    int flags = 0;

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        EVP_PKEY *pkey = fixture_load(fixture, i);
        EVP_MD_CTX *ctx = fixture_sign_init(fixture, i, pkey);
        assert_true(EVP_DigestSign(ctx, signature_buffer, &len, (const unsigned char *)message,
                                   sizeof(message)) <= 0);
        (void)ERR_peek_error_data(&data, &flags);
        assert_non_null(strstr(data, "sign = digest"));
        fixture_assert_error(MTLS_AGENT_E_POLICY);
        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(pkey);
    }
    assert_int_equal(fixture_log_count(fixture, "sign p256 digest 0x0403 32"), 1);
    assert_int_equal(fixture_log_count(fixture, "sign ed25519 digest 0x0807 11"), 1);
}

static void test_digest_where_policy_allows_it(void **state)
{
    static const char *const options[] = {"--allow-digest", NULL};
    static const uint8_t message[] = "a document";
    struct fixture *fixture = *state;

    fixture_start_agent(fixture, options);
    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        struct wire_span span = {message, sizeof(message)};
        EVP_PKEY *pkey = fixture_load(fixture, i);
        EVP_MD_CTX *ctx = fixture_sign_init(fixture, i, pkey);
        size_t len = sizeof(signature_buffer);
        assert_int_equal(EVP_DigestSign(ctx, signature_buffer, &len, span.data, span.len), 1);
        assert_true(fixture_is_signature(fixture, i, span, signature_buffer, len));
        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(pkey);
    }
    fixture_start_agent(fixture, NULL);
}

static void test_prehashed_sign_is_digest(void **state)
{
    static const char *const options[] = {"--allow-digest", NULL};
    struct fixture *fixture = *state;
    unsigned char digest[32] = {7};
    size_t len = 0;

    fixture_start_agent(fixture, options);
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_P256);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(fixture->libctx, pkey, NULL);
    assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
    assert_int_equal(EVP_PKEY_sign(ctx, NULL, &len, digest, sizeof(digest)), 1);
    assert_int_equal(fixture_log_count(fixture, "sign "), 0);
    len = sizeof(signature_buffer);
    assert_int_equal(EVP_PKEY_sign(ctx, signature_buffer, &len, digest, sizeof(digest)), 1);
    assert_int_equal(fixture_log_count(fixture, "sign p256 digest 0x0403 32"), 1);
    EVP_PKEY_CTX_free(ctx);
    ctx = EVP_PKEY_CTX_new(fixture->keys[FIXTURE_P256], NULL);
    assert_int_equal(EVP_PKEY_verify_init(ctx), 1);
    assert_int_equal(EVP_PKEY_verify(ctx, signature_buffer, len, digest, sizeof(digest)), 1);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    fixture_start_agent(fixture, NULL);
}

static void test_prehashed_rsa_needs_its_digest_named(void **state)
{
    static const char *const options[] = {"--allow-digest", NULL};
    struct fixture *fixture = *state;
    unsigned char digest[48] = {7};
    size_t len = sizeof(signature_buffer);

    fixture_start_agent(fixture, options);
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_RSA);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(fixture->libctx, pkey, NULL);
    assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
    assert_true(EVP_PKEY_sign(ctx, signature_buffer, &len, digest, sizeof(digest)) <= 0);
    fixture_assert_error(PROVIDER_R_PADDING);
    assert_int_equal(EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha384()), 1);
    assert_true(EVP_PKEY_sign(ctx, signature_buffer, &len, digest, 32) <= 0);
    fixture_assert_error(PROVIDER_R_MESSAGE);
    assert_int_equal(EVP_PKEY_sign(ctx, signature_buffer, &len, digest, sizeof(digest)), 1);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    fixture_start_agent(fixture, NULL);
}

static void test_small_buffer_makes_no_request(void **state)
{
    struct fixture *fixture = *state;
    struct wire_span content = fixture_certificate_verify(130);
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_P256);
    EVP_MD_CTX *ctx = fixture_sign_init(fixture, FIXTURE_P256, pkey);
    size_t len = 71;
    size_t before = fixture_log_count(fixture, "sign ");

    assert_true(EVP_DigestSign(ctx, signature_buffer, &len, content.data, content.len) <= 0);
    fixture_assert_error(PROVIDER_R_BUFFER);
    assert_int_equal(fixture_log_count(fixture, "sign "), before);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
}

static void test_longest_message_passes_and_a_longer_one_is_refused_here(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *message = calloc(1, SIGNATURE_MESSAGE_MAX + 1);
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_ED25519);
    EVP_MD_CTX *ctx = fixture_sign_init(fixture, FIXTURE_ED25519, pkey);
    size_t len = sizeof(signature_buffer);
    size_t before = fixture_log_count(fixture, "sign ");

    assert_true(EVP_DigestSign(ctx, signature_buffer, &len, message, SIGNATURE_MESSAGE_MAX + 1) <=
                0);
    fixture_assert_error(PROVIDER_R_MESSAGE);
    assert_int_equal(fixture_log_count(fixture, "sign "), before);
    EVP_MD_CTX_free(ctx);
    ctx = fixture_sign_init(fixture, FIXTURE_ED25519, pkey);
    assert_true(EVP_DigestSign(ctx, signature_buffer, &len, message, SIGNATURE_MESSAGE_MAX) <= 0);
    fixture_assert_error(MTLS_AGENT_E_POLICY); /* it went all the way */
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    free(message);
}

static void test_update_over_the_cap_fails_and_init_recovers(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *message = calloc(1, SIGNATURE_MESSAGE_MAX);
    struct wire_span content = fixture_certificate_verify(130);
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_P256);
    EVP_MD_CTX *ctx = fixture_sign_init(fixture, FIXTURE_P256, pkey);
    size_t len = sizeof(signature_buffer);

    assert_int_equal(EVP_DigestSignUpdate(ctx, message, SIGNATURE_MESSAGE_MAX), 1);
    assert_true(EVP_DigestSignUpdate(ctx, message, 1) <= 0);
    fixture_assert_error(PROVIDER_R_MESSAGE);
    assert_int_equal(EVP_DigestSignInit_ex(ctx, NULL, NULL, fixture->libctx, NULL, NULL, NULL), 1);
    assert_int_equal(EVP_DigestSign(ctx, signature_buffer, &len, content.data, content.len), 1);
    assert_true(fixture_is_signature(fixture, FIXTURE_P256, content, signature_buffer, len));
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    free(message);
}

static void test_digests_outside_tls_are_refused_at_init(void **state)
{
    static const char *const names[] = {"SHA1", "MD5", "SHA224", "SHA3-256", "MD5-SHA1", "none"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_RSA);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        assert_true(EVP_DigestSignInit_ex(ctx, NULL, names[i], fixture->libctx, NULL, pkey, NULL) <=
                    0);
        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(pkey);
    }
    ERR_clear_error();
}

static void test_ed25519_takes_no_digest(void **state)
{
    struct fixture *fixture = *state;
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_ED25519);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    assert_true(EVP_DigestSignInit_ex(ctx, NULL, "SHA256", fixture->libctx, NULL, pkey, NULL) <= 0);
    fixture_assert_error(PROVIDER_R_DIGEST);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
}

static int sign_with_salt(struct fixture *fixture, int salt_len)
{
    struct wire_span content = fixture_certificate_verify(130);
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_RSA);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey_ctx = NULL;
    size_t len = sizeof(signature_buffer);

    assert_int_equal(
        EVP_DigestSignInit_ex(ctx, &pkey_ctx, "SHA256", fixture->libctx, NULL, pkey, NULL), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, salt_len), 1);
    int r = EVP_DigestSign(ctx, signature_buffer, &len, content.data, content.len);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return r;
}

static void test_salt_as_long_as_the_digest_in_both_spellings(void **state)
{
    assert_int_equal(sign_with_salt(*state, RSA_PSS_SALTLEN_DIGEST), 1);
    assert_int_equal(sign_with_salt(*state, 32), 1);
}

static void test_other_salts_are_refused(void **state)
{
    static const int salts[] = {0, 20, 31, 33, RSA_PSS_SALTLEN_MAX, RSA_PSS_SALTLEN_AUTO};

    for (size_t i = 0; i < ARRAY_SIZE(salts); i++) {
        assert_true(sign_with_salt(*state, salts[i]) <= 0);
        fixture_assert_error(PROVIDER_R_SALT);
    }
}

static void test_pss_key_refuses_pkcs1(void **state)
{
    struct fixture *fixture = *state;
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_PSS);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey_ctx = NULL;

    assert_int_equal(
        EVP_DigestSignInit_ex(ctx, &pkey_ctx, "SHA256", fixture->libctx, NULL, pkey, NULL), 1);
    assert_true(EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PADDING) <= 0);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
}

static void test_mgf1_of_another_digest_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct wire_span content = fixture_certificate_verify(130);
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_RSA);
    EVP_PKEY_CTX *pkey_ctx = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = sizeof(signature_buffer);

    assert_int_equal(
        EVP_DigestSignInit_ex(ctx, &pkey_ctx, "SHA256", fixture->libctx, NULL, pkey, NULL), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md_name(pkey_ctx, "SHA384", NULL), 1);
    assert_true(EVP_DigestSign(ctx, signature_buffer, &len, content.data, content.len) <= 0);
    fixture_assert_error(PROVIDER_R_DIGEST);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
}

/* A request for a certificate, as `openssl req` makes it, where the policy allows digests. */
static void test_certificate_request_is_signed_and_verifies(void **state)
{
    static const char *const options[] = {"--allow-digest", NULL};
    struct fixture *fixture = *state;

    fixture_start_agent(fixture, options);
    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        EVP_PKEY *pkey = fixture_load(fixture, i);
        X509_REQ *request = X509_REQ_new_ex(fixture->libctx, NULL);
        assert_true(X509_REQ_set_version(request, X509_REQ_VERSION_1));
        assert_true(X509_REQ_set_pubkey(request, pkey));
        EVP_MD_CTX *ctx = fixture_sign_init(fixture, i, pkey);
        assert_true(X509_REQ_sign_ctx(request, ctx) > 0);
        assert_int_equal(X509_REQ_verify(request, fixture->keys[i]), 1);
        EVP_MD_CTX_free(ctx);
        X509_REQ_free(request);
        EVP_PKEY_free(pkey);
    }
    fixture_start_agent(fixture, NULL);
}

static void test_error_of_the_agent_reaches_the_queue_with_its_sentence(void **state)
{
    static const char *const options[] = {"--error", "6:The card was pulled: insert it again.",
                                          NULL};
    struct fixture *fixture = *state;
    struct wire_span content = fixture_certificate_verify(130);
    size_t len = sizeof(signature_buffer);
    const char *data = NULL;
    int flags = 0;

    fixture_start_agent(fixture, options);
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_P256);
    EVP_MD_CTX *ctx = fixture_sign_init(fixture, FIXTURE_P256, pkey);
    assert_true(EVP_DigestSign(ctx, signature_buffer, &len, content.data, content.len) <= 0);
    (void)ERR_peek_error_data(&data, &flags);
    assert_string_equal(data, "The card was pulled: insert it again.");
    fixture_assert_error(MTLS_AGENT_E_TOKEN_GONE);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    fixture_start_agent(fixture, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign_of_certificate_verify_is_tls13),
        cmocka_unit_test(test_sign_of_handshake_is_tls12),
        cmocka_unit_test(test_update_and_final_equal_one_shot),
        cmocka_unit_test(test_size_query_makes_no_request),
        cmocka_unit_test(test_init_twice_makes_no_request_and_signs_once),
        cmocka_unit_test(test_parameters_survive_second_init),
        cmocka_unit_test(test_copied_context_signs_what_was_collected),
        cmocka_unit_test(test_pkcs1_in_tls12),
        cmocka_unit_test(test_digest_decides_scheme_of_ec_key),
        cmocka_unit_test(test_other_message_is_digest_and_refused_with_the_reason),
        cmocka_unit_test(test_digest_where_policy_allows_it),
        cmocka_unit_test(test_prehashed_sign_is_digest),
        cmocka_unit_test(test_prehashed_rsa_needs_its_digest_named),
        cmocka_unit_test(test_small_buffer_makes_no_request),
        cmocka_unit_test(test_longest_message_passes_and_a_longer_one_is_refused_here),
        cmocka_unit_test(test_update_over_the_cap_fails_and_init_recovers),
        cmocka_unit_test(test_digests_outside_tls_are_refused_at_init),
        cmocka_unit_test(test_ed25519_takes_no_digest),
        cmocka_unit_test(test_salt_as_long_as_the_digest_in_both_spellings),
        cmocka_unit_test(test_other_salts_are_refused),
        cmocka_unit_test(test_pss_key_refuses_pkcs1),
        cmocka_unit_test(test_mgf1_of_another_digest_is_refused),
        cmocka_unit_test(test_certificate_request_is_signed_and_verifies),
        cmocka_unit_test(test_error_of_the_agent_reaches_the_queue_with_its_sentence),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
