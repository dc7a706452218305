/* SPDX-License-Identifier: Apache-2.0 */
/* The decision over every combination of its inputs, against the rules written out a second time.
 */
#include "agent/policy.h"

#include <string.h>

#include "unit.h"

static uint8_t tls13_content[130];

/* A token that can do everything. */
static const uint32_t all_schemes[] = {
    SCHEME_RSA_PKCS1_SHA256,    SCHEME_RSA_PKCS1_SHA384,
    SCHEME_RSA_PKCS1_SHA512,    SCHEME_ECDSA_SHA256,
    SCHEME_ECDSA_SHA384,        SCHEME_ECDSA_SHA512,
    SCHEME_RSA_PSS_RSAE_SHA256, SCHEME_RSA_PSS_RSAE_SHA384,
    SCHEME_RSA_PSS_RSAE_SHA512, SCHEME_ED25519,
    SCHEME_RSA_PSS_PSS_SHA256,  SCHEME_RSA_PSS_PSS_SHA384,
    SCHEME_RSA_PSS_PSS_SHA512,
};

static int setup_content(void **state)
{
    (void)state;
    memset(tls13_content, ' ', 64);
    memcpy(tls13_content + 64, "TLS 1.3, client CertificateVerify", 34);
    return 0;
}

static struct policy_question make_question(void)
{
    return (struct policy_question){
        .peer_is_served = true,
        .key_policy = KEY_POLICY_TLS,
        .key_type = KEY_TYPE_EC,
        .key_bits = 256,
        .schemes = all_schemes,
        .scheme_count = ARRAY_SIZE(all_schemes),
        .kind = SIGN_KIND_TLS13,
        .scheme = SCHEME_ECDSA_SHA256,
        .content = {tls13_content, sizeof(tls13_content)},
    };
}

static void assert_refused(const struct policy_question *question)
{
    const char *reason = NULL;

    assert_int_not_equal(policy_decide(question, &reason), POLICY_ALLOW);
    assert_non_null(reason);
    assert_true(strlen(reason) > 0);
}

static void test_decide_tls13_of_own_user_is_allowed(void **state)
{
    struct policy_question question = make_question();
    const char *reason = NULL;

    (void)state;
    assert_int_equal(policy_decide(&question, &reason), POLICY_ALLOW);
}

static void test_decide_peer_that_is_not_served_is_refused(void **state)
{
    struct policy_question question = make_question();

    (void)state;
    question.peer_is_served = false;
    assert_refused(&question);
}

static void test_decide_unknown_kind_is_refused(void **state)
{
    struct policy_question question = make_question();

    (void)state;
    for (uint32_t kind = 0; kind < 300; kind++) {
        question.kind = kind;
        if (kind != SIGN_KIND_TLS13)
            assert_refused(&question);
    }
}

static void test_decide_digest_needs_its_policy(void **state)
{
    struct policy_question question = make_question();
    const char *reason = NULL;

    (void)state;
    question.kind = SIGN_KIND_DIGEST;
    question.content.len = 32;
    assert_refused(&question);
    assert_int_equal(policy_decide(&question, &reason), POLICY_REFUSE_DIGEST);
    question.key_policy = KEY_POLICY_DIGEST;
    assert_int_equal(policy_decide(&question, &reason), POLICY_ALLOW);
}

static void test_decide_digest_of_wrong_length_is_refused(void **state)
{
    struct policy_question question = make_question();

    (void)state;
    question.kind = SIGN_KIND_DIGEST;
    question.key_policy = KEY_POLICY_DIGEST;
    for (size_t len = 0; len < 100; len++) {
        question.content.len = len;
        if (len != 32)
            assert_refused(&question);
    }
}

/* TLS 1.3 by the letter of RFC 8446 section 4.2.3, for every code point and key. */
static bool tls13_allows(uint32_t scheme, enum key_type type, unsigned int bits)
{
    switch (scheme) {
    case 0x0403:
        return type == KEY_TYPE_EC && bits == 256;
    case 0x0503:
        return type == KEY_TYPE_EC && bits == 384;
    case 0x0603:
        return type == KEY_TYPE_EC && bits == 521;
    case 0x0804:
    case 0x0805:
    case 0x0806:
        return type == KEY_TYPE_RSA;
    case 0x0807:
        return type == KEY_TYPE_ED25519;
    case 0x0809:
    case 0x080a:
    case 0x080b:
        return type == KEY_TYPE_RSA_PSS;
    default:
        return false;
    }
}

static void test_decide_tls13_scheme_and_key_belong_together(void **state)
{
    static const struct {
        enum key_type type;
        unsigned int bits;
    } keys[] = {{KEY_TYPE_EC, 256},   {KEY_TYPE_EC, 384},       {KEY_TYPE_EC, 521},
                {KEY_TYPE_RSA, 2048}, {KEY_TYPE_RSA_PSS, 2048}, {KEY_TYPE_ED25519, 255}};
    struct policy_question question = make_question();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        question.key_type = keys[i].type;
        question.key_bits = keys[i].bits;
        for (uint32_t scheme = 0; scheme < 0x10000; scheme++) {
            const char *reason = NULL;
            question.scheme = scheme;
            assert_int_equal(policy_decide(&question, &reason) == POLICY_ALLOW,
                             tls13_allows(scheme, keys[i].type, keys[i].bits));
        }
    }
}

/* For each scheme that the key could do: a token without it refuses, and says what it can. */
static void test_decide_needs_a_token_that_can(void **state)
{
    static const uint32_t pkcs1_only[] = {SCHEME_RSA_PKCS1_SHA256, SCHEME_RSA_PKCS1_SHA384,
                                          SCHEME_RSA_PKCS1_SHA512};
    struct policy_question question = make_question();
    const char *reason = NULL;

    (void)state;
    question.key_type = KEY_TYPE_RSA;
    question.key_bits = 2048;
    question.scheme = SCHEME_RSA_PSS_RSAE_SHA256;
    assert_int_equal(policy_decide(&question, &reason), POLICY_ALLOW);
    question.schemes = pkcs1_only;
    question.scheme_count = ARRAY_SIZE(pkcs1_only);
    assert_refused(&question);
    assert_int_equal(policy_decide(&question, &reason), POLICY_REFUSE);
    assert_non_null(strstr(reason, "TLS 1.2"));
    assert_true(strlen(reason) < 480); /* sign_request.c puts words in front */
    question.key_type = KEY_TYPE_EC;
    question.key_bits = 256;
    question.scheme = SCHEME_ECDSA_SHA256;
    assert_refused(&question);
    question.schemes = NULL;
    question.scheme_count = 0;
    assert_refused(&question);
}

static void test_decide_tls13_form_is_checked(void **state)
{
    struct policy_question question = make_question();

    (void)state;
    question.content.len--;
    assert_refused(&question);
}

static void test_decide_tls12_form_is_checked(void **state)
{
    struct policy_question question = make_question();

    (void)state;
    question.kind = SIGN_KIND_TLS12;
    assert_refused(&question);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decide_tls13_of_own_user_is_allowed),
        cmocka_unit_test(test_decide_peer_that_is_not_served_is_refused),
        cmocka_unit_test(test_decide_unknown_kind_is_refused),
        cmocka_unit_test(test_decide_digest_needs_its_policy),
        cmocka_unit_test(test_decide_digest_of_wrong_length_is_refused),
        cmocka_unit_test(test_decide_tls13_scheme_and_key_belong_together),
        cmocka_unit_test(test_decide_needs_a_token_that_can),
        cmocka_unit_test(test_decide_tls13_form_is_checked),
        cmocka_unit_test(test_decide_tls12_form_is_checked),
    };

    return cmocka_run_group_tests(tests, setup_content, NULL);
}
