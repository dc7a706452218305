/* SPDX-License-Identifier: Apache-2.0 */
/* The table of signature schemes against RFC 8446 section 4.2.3, written out a second time. */
#include "common/scheme.h"

#include "common/cleanup.h"
#include "unit.h"

static const struct {
    uint32_t code;
    const char *name;
    enum key_type type;
    enum hash_id hash;
    enum scheme_padding padding;
    bool in_tls13;
} expected_schemes[] = {
    {0x0401, "rsa_pkcs1_sha256", KEY_TYPE_RSA, HASH_SHA256, PADDING_PKCS1, false},
    {0x0501, "rsa_pkcs1_sha384", KEY_TYPE_RSA, HASH_SHA384, PADDING_PKCS1, false},
    {0x0601, "rsa_pkcs1_sha512", KEY_TYPE_RSA, HASH_SHA512, PADDING_PKCS1, false},
    {0x0403, "ecdsa_secp256r1_sha256", KEY_TYPE_EC, HASH_SHA256, PADDING_NONE, true},
    {0x0503, "ecdsa_secp384r1_sha384", KEY_TYPE_EC, HASH_SHA384, PADDING_NONE, true},
    {0x0603, "ecdsa_secp521r1_sha512", KEY_TYPE_EC, HASH_SHA512, PADDING_NONE, true},
    {0x0804, "rsa_pss_rsae_sha256", KEY_TYPE_RSA, HASH_SHA256, PADDING_PSS, true},
    {0x0805, "rsa_pss_rsae_sha384", KEY_TYPE_RSA, HASH_SHA384, PADDING_PSS, true},
    {0x0806, "rsa_pss_rsae_sha512", KEY_TYPE_RSA, HASH_SHA512, PADDING_PSS, true},
    {0x0807, "ed25519", KEY_TYPE_ED25519, HASH_NONE, PADDING_NONE, true},
    {0x0809, "rsa_pss_pss_sha256", KEY_TYPE_RSA_PSS, HASH_SHA256, PADDING_PSS, true},
    {0x080a, "rsa_pss_pss_sha384", KEY_TYPE_RSA_PSS, HASH_SHA384, PADDING_PSS, true},
    {0x080b, "rsa_pss_pss_sha512", KEY_TYPE_RSA_PSS, HASH_SHA512, PADDING_PSS, true},
};

static void test_find_known_code_gives_its_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(expected_schemes); i++) {
        const struct scheme *scheme = scheme_find(expected_schemes[i].code);
        assert_non_null(scheme);
        assert_string_equal(scheme->name, expected_schemes[i].name);
        assert_int_equal(scheme->key_type, expected_schemes[i].type);
        assert_int_equal(scheme->hash, expected_schemes[i].hash);
        assert_int_equal(scheme->padding, expected_schemes[i].padding);
        assert_int_equal(scheme->in_tls13, expected_schemes[i].in_tls13);
    }
}

static void test_find_any_other_code_gives_nothing(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x1ffff; code++) {
        bool is_known = false;
        for (size_t i = 0; i < ARRAY_SIZE(expected_schemes); i++)
            is_known = is_known || expected_schemes[i].code == code;
        assert_int_equal(scheme_find(code) != NULL, is_known);
    }
}

static void test_fits_key_only_the_schemes_own_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(expected_schemes); i++)
        for (unsigned int type = KEY_TYPE_RSA; type <= KEY_TYPE_ED25519; type++)
            assert_int_equal(
                scheme_fits_key(scheme_find(expected_schemes[i].code), (enum key_type)type),
                type == expected_schemes[i].type);
}

static const struct {
    uint32_t code;
    enum key_type type;
    unsigned int bits;
    bool fits;
} tls13_cases[] = {
    {SCHEME_ECDSA_SHA256, KEY_TYPE_EC, 256, true},
    {SCHEME_ECDSA_SHA256, KEY_TYPE_EC, 384, false},
    {SCHEME_ECDSA_SHA384, KEY_TYPE_EC, 384, true},
    {SCHEME_ECDSA_SHA384, KEY_TYPE_EC, 256, false},
    {SCHEME_ECDSA_SHA512, KEY_TYPE_EC, 521, true},
    {SCHEME_ECDSA_SHA512, KEY_TYPE_EC, 512, false},
    {SCHEME_ECDSA_SHA256, KEY_TYPE_RSA, 256, false},
    {SCHEME_RSA_PKCS1_SHA256, KEY_TYPE_RSA, 2048, false},
    {SCHEME_RSA_PSS_RSAE_SHA256, KEY_TYPE_RSA, 2048, true},
    {SCHEME_RSA_PSS_RSAE_SHA256, KEY_TYPE_RSA_PSS, 2048, false},
    {SCHEME_RSA_PSS_PSS_SHA256, KEY_TYPE_RSA_PSS, 2048, true},
    {SCHEME_RSA_PSS_PSS_SHA256, KEY_TYPE_RSA, 2048, false},
    {SCHEME_ED25519, KEY_TYPE_ED25519, 255, true},
    {SCHEME_ED25519, KEY_TYPE_EC, 255, false},
};

static void test_fits_tls13_ties_curve_and_padding(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(tls13_cases); i++)
        if (scheme_fits_tls13(scheme_find(tls13_cases[i].code), tls13_cases[i].type,
                              tls13_cases[i].bits) != tls13_cases[i].fits)
            fail_msg("case %zu: 0x%04x", i, tls13_cases[i].code);
}

static const struct {
    enum key_type type;
    unsigned int bits;
    size_t count;
    uint32_t first;
} list_cases[] = {
    {KEY_TYPE_EC, 256, 3, SCHEME_ECDSA_SHA256},
    {KEY_TYPE_EC, 384, 3, SCHEME_ECDSA_SHA384},
    {KEY_TYPE_EC, 521, 3, SCHEME_ECDSA_SHA512},
    {KEY_TYPE_RSA, 2048, 6, SCHEME_RSA_PSS_RSAE_SHA256},
    {KEY_TYPE_RSA_PSS, 2048, 3, SCHEME_RSA_PSS_PSS_SHA256},
    {KEY_TYPE_ED25519, 255, 1, SCHEME_ED25519},
};

static void test_list_for_key_starts_with_the_tls13_scheme(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(list_cases); i++) {
        uint32_t codes[SCHEMES_MAX] = {0};
        size_t count = scheme_list_for_key(list_cases[i].type, list_cases[i].bits, codes);
        assert_int_equal(count, list_cases[i].count);
        assert_int_equal(codes[0], list_cases[i].first);
    }
}

static void test_list_for_key_names_no_scheme_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(list_cases); i++) {
        uint32_t codes[SCHEMES_MAX] = {0};
        size_t count = scheme_list_for_key(list_cases[i].type, list_cases[i].bits, codes);
        for (size_t a = 0; a < count; a++)
            for (size_t b = a + 1; b < count; b++)
                assert_int_not_equal(codes[a], codes[b]);
    }
}

static void test_hash_len_of_every_hash(void **state)
{
    (void)state;
    assert_int_equal(hash_len(HASH_NONE), 0);
    assert_int_equal(hash_len(HASH_SHA256), 32);
    assert_int_equal(hash_len(HASH_SHA384), 48);
    assert_int_equal(hash_len(HASH_SHA512), DIGEST_LEN_MAX);
}

static void test_key_type_name_of_every_type(void **state)
{
    (void)state;
    assert_string_equal(key_type_name(KEY_TYPE_RSA), "RSA");
    assert_string_equal(key_type_name(KEY_TYPE_RSA_PSS), "RSA-PSS");
    assert_string_equal(key_type_name(KEY_TYPE_EC), "EC");
    assert_string_equal(key_type_name(KEY_TYPE_ED25519), "Ed25519");
    assert_null(key_type_name(0));
    assert_null(key_type_name(5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_known_code_gives_its_row),
        cmocka_unit_test(test_find_any_other_code_gives_nothing),
        cmocka_unit_test(test_fits_key_only_the_schemes_own_type),
        cmocka_unit_test(test_fits_tls13_ties_curve_and_padding),
        cmocka_unit_test(test_list_for_key_starts_with_the_tls13_scheme),
        cmocka_unit_test(test_list_for_key_names_no_scheme_twice),
        cmocka_unit_test(test_hash_len_of_every_hash),
        cmocka_unit_test(test_key_type_name_of_every_type),
    };

    return cmocka_run_group_tests_name("scheme", tests, NULL, NULL);
}
