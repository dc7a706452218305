/* SPDX-License-Identifier: Apache-2.0 */
/* The table of mechanisms: where each is, what parameters it takes, what it is at the agent. */
#include "client/module/mechanism.h"

#include <string.h>

#include "unit.h"

#ifndef CKM_EDDSA
#define CKM_EDDSA (0x1057UL)
#endif

struct eddsa_params {
    CK_BBOOL is_prehashed;
    CK_ULONG context_len;
    CK_BYTE *context;
};

static const struct scheme_row {
    CK_MECHANISM_TYPE type;
    enum hash_id hash;
    enum key_type key_type;
    unsigned int bits;
    uint16_t scheme;
} scheme_rows[] = {
    {CKM_ECDSA, HASH_SHA256, KEY_TYPE_EC, 256, SCHEME_ECDSA_SHA256},
    {CKM_ECDSA, HASH_SHA384, KEY_TYPE_EC, 384, SCHEME_ECDSA_SHA384},
    {CKM_ECDSA_SHA512, HASH_SHA512, KEY_TYPE_EC, 521, SCHEME_ECDSA_SHA512},
    {CKM_ECDSA_SHA256, HASH_SHA256, KEY_TYPE_EC, 384, SCHEME_ECDSA_SHA256},
    {CKM_RSA_PKCS, HASH_SHA256, KEY_TYPE_RSA, 2048, SCHEME_RSA_PKCS1_SHA256},
    {CKM_SHA512_RSA_PKCS, HASH_SHA512, KEY_TYPE_RSA, 2048, SCHEME_RSA_PKCS1_SHA512},
    {CKM_RSA_PKCS_PSS, HASH_SHA256, KEY_TYPE_RSA, 2048, SCHEME_RSA_PSS_RSAE_SHA256},
    {CKM_RSA_PKCS_PSS, HASH_SHA384, KEY_TYPE_RSA_PSS, 2048, SCHEME_RSA_PSS_PSS_SHA384},
    {CKM_SHA384_RSA_PKCS_PSS, HASH_SHA384, KEY_TYPE_RSA, 2048, SCHEME_RSA_PSS_RSAE_SHA384},
    {CKM_RSA_PKCS, HASH_SHA256, KEY_TYPE_RSA_PSS, 2048, 0},
    {CKM_ECDSA, HASH_NONE, KEY_TYPE_EC, 256, 0},
};

static void test_schemes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(scheme_rows); i++) {
        const struct scheme_row *row = &scheme_rows[i];
        const struct mechanism *mechanism = mechanism_find(row->type, false);
        assert_non_null(mechanism);
        assert_int_equal(mechanism_scheme(mechanism, row->hash, row->key_type, row->bits),
                         row->scheme);
    }
    assert_int_equal(
        mechanism_scheme(mechanism_find(CKM_EDDSA, true), HASH_NONE, KEY_TYPE_ED25519, 255),
        SCHEME_ED25519);
}

static void test_slots_have_their_own(void **state)
{
    CK_MECHANISM_TYPE types[64];

    (void)state;
    assert_null(mechanism_find(CKM_EDDSA, false));
    assert_null(mechanism_find(CKM_ECDSA, true));
    assert_null(mechanism_find(CKM_SHA1_RSA_PKCS, false));
    assert_non_null(mechanism_find(CKM_SHA256, false));
    assert_non_null(mechanism_find(CKM_SHA256, true));
    assert_int_equal(mechanism_list(true, true, types, ARRAY_SIZE(types)), 4);
    assert_int_equal(mechanism_list(false, true, types, ARRAY_SIZE(types)), 15);
}

static void test_list_fills_no_more_than_there_is_room(void **state)
{
    CK_MECHANISM_TYPE types[3] = {77, 77, 77};

    (void)state;
    assert_int_equal(mechanism_list(false, true, types, 2), 15);
    assert_int_not_equal(types[1], 77);
    assert_int_equal(types[2], 77);
    assert_int_equal(mechanism_list(false, true, NULL, 0), 15);
}

static void test_info_names_only_what_works(void **state)
{
    CK_MECHANISM_TYPE types[64];
    const CK_FLAGS nothing_else =
        CKF_SIGN | CKF_VERIFY | CKF_DIGEST | CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;

    (void)state;
    for (int edwards = 0; edwards < 2; edwards++) {
        size_t count = mechanism_list(edwards, true, types, ARRAY_SIZE(types));
        for (size_t i = 0; i < count; i++) {
            CK_MECHANISM_INFO info;
            mechanism_fill_info(mechanism_find(types[i], edwards), &info);
            assert_false(info.flags & ~nothing_else);
            assert_int_not_equal(!!(info.flags & CKF_DIGEST), !!(info.flags & CKF_SIGN));
            assert_true(info.ulMinKeySize <= info.ulMaxKeySize);
        }
    }
}

/* --- parameters --- */

static const struct pss_row {
    CK_MECHANISM_TYPE type;
    CK_RSA_PKCS_PSS_PARAMS params;
    CK_RV rv;
    enum hash_id hash;
} pss_rows[] = {
    {CKM_RSA_PKCS_PSS, {CKM_SHA256, CKG_MGF1_SHA256, 32}, CKR_OK, HASH_SHA256},
    {CKM_RSA_PKCS_PSS, {CKM_SHA512, CKG_MGF1_SHA512, 64}, CKR_OK, HASH_SHA512},
    {CKM_SHA384_RSA_PKCS_PSS, {CKM_SHA384, CKG_MGF1_SHA384, 48}, CKR_OK, HASH_SHA384},
    {CKM_SHA384_RSA_PKCS_PSS, {CKM_SHA256, CKG_MGF1_SHA256, 32}, CKR_MECHANISM_PARAM_INVALID, 0},
    {CKM_RSA_PKCS_PSS, {CKM_SHA256, CKG_MGF1_SHA384, 32}, CKR_MECHANISM_PARAM_INVALID, 0},
    {CKM_RSA_PKCS_PSS, {CKM_SHA256, CKG_MGF1_SHA256, 31}, CKR_MECHANISM_PARAM_INVALID, 0},
    {CKM_RSA_PKCS_PSS, {CKM_SHA256, CKG_MGF1_SHA256, 0}, CKR_MECHANISM_PARAM_INVALID, 0},
    {CKM_RSA_PKCS_PSS, {CKM_SHA256, CKG_MGF1_SHA256, ~0UL}, CKR_MECHANISM_PARAM_INVALID, 0},
    {CKM_RSA_PKCS_PSS, {CKM_SHA_1, CKG_MGF1_SHA1, 20}, CKR_MECHANISM_PARAM_INVALID, 0},
};

static void test_pss_parameters(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pss_rows); i++) {
        CK_RSA_PKCS_PSS_PARAMS params = pss_rows[i].params;
        CK_MECHANISM given = {pss_rows[i].type, &params, sizeof(params)};
        struct mechanism_use use = {0};
        assert_int_equal(mechanism_read(&given, false, &use), pss_rows[i].rv);
        assert_int_equal(use.hash, pss_rows[i].hash);
        assert_int_equal(use.salt_len, hash_len(pss_rows[i].hash));
    }
}

static void test_pss_parameters_of_a_wrong_length(void **state)
{
    CK_RSA_PKCS_PSS_PARAMS params = {CKM_SHA256, CKG_MGF1_SHA256, 32};
    const CK_MECHANISM wrong[] = {
        {CKM_RSA_PKCS_PSS, NULL, 0},
        {CKM_RSA_PKCS_PSS, NULL, sizeof(params)},
        {CKM_RSA_PKCS_PSS, &params, 0},
        {CKM_RSA_PKCS_PSS, &params, sizeof(params) - 1},
        {CKM_RSA_PKCS_PSS, &params, sizeof(params) + 1},
        {CKM_RSA_PKCS_PSS, &params, ~0UL},
    };
    struct mechanism_use use;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_int_equal(mechanism_read(&wrong[i], false, &use), CKR_MECHANISM_PARAM_INVALID);
}

/* Programs hand over parameters at any address. */
static void test_pss_parameters_need_no_alignment(void **state)
{
    CK_RSA_PKCS_PSS_PARAMS params = {CKM_SHA256, CKG_MGF1_SHA256, 32};
    uint8_t bytes[sizeof(params) + 1];
    CK_MECHANISM given = {CKM_RSA_PKCS_PSS, bytes + 1, sizeof(params)};
    struct mechanism_use use;

    (void)state;
    memcpy(bytes + 1, &params, sizeof(params));
    assert_int_equal(mechanism_read(&given, false, &use), CKR_OK);
}

static void test_others_take_no_parameters(void **state)
{
    uint8_t bytes[8] = {0};
    CK_MECHANISM given = {CKM_ECDSA, bytes, sizeof(bytes)};
    struct mechanism_use use;

    (void)state;
    assert_int_equal(mechanism_read(&given, false, &use), CKR_MECHANISM_PARAM_INVALID);
    given.ulParameterLen = 0;
    assert_int_equal(mechanism_read(&given, false, &use), CKR_OK);
    given.mechanism = 0x80001234UL;
    assert_int_equal(mechanism_read(&given, false, &use), CKR_MECHANISM_INVALID);
}

static void test_eddsa_is_pure(void **state)
{
    CK_BYTE context[1] = {0};
    struct eddsa_params pure = {CK_FALSE, 0, NULL};
    struct eddsa_params prehashed = {CK_TRUE, 0, NULL};
    struct eddsa_params with_context = {CK_FALSE, 1, context};
    struct mechanism_use use;
    CK_MECHANISM given = {CKM_EDDSA, NULL, 0};

    (void)state;
    assert_int_equal(mechanism_read(&given, true, &use), CKR_OK);
    given = (CK_MECHANISM){CKM_EDDSA, &pure, sizeof(pure)};
    assert_int_equal(mechanism_read(&given, true, &use), CKR_OK);
    given.pParameter = &prehashed;
    assert_int_equal(mechanism_read(&given, true, &use), CKR_MECHANISM_PARAM_INVALID);
    given.pParameter = &with_context;
    assert_int_equal(mechanism_read(&given, true, &use), CKR_MECHANISM_PARAM_INVALID);
    given.pParameter = NULL;
    assert_int_equal(mechanism_read(&given, true, &use), CKR_MECHANISM_PARAM_INVALID);
}

static void test_fits_key(void **state)
{
    (void)state;
    assert_true(mechanism_fits_key(mechanism_find(CKM_ECDSA, false), KEY_TYPE_EC));
    assert_false(mechanism_fits_key(mechanism_find(CKM_ECDSA, false), KEY_TYPE_RSA));
    assert_true(mechanism_fits_key(mechanism_find(CKM_RSA_PKCS_PSS, false), KEY_TYPE_RSA_PSS));
    assert_false(mechanism_fits_key(mechanism_find(CKM_RSA_PKCS, false), KEY_TYPE_RSA_PSS));
    assert_true(mechanism_fits_key(mechanism_find(CKM_EDDSA, true), KEY_TYPE_ED25519));
    assert_false(mechanism_fits_key(mechanism_find(CKM_SHA256, true), KEY_TYPE_ED25519));
    assert_false(mechanism_fits_key(mechanism_find(CKM_ECDSA, false), (enum key_type)0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schemes),
        cmocka_unit_test(test_slots_have_their_own),
        cmocka_unit_test(test_list_fills_no_more_than_there_is_room),
        cmocka_unit_test(test_info_names_only_what_works),
        cmocka_unit_test(test_pss_parameters),
        cmocka_unit_test(test_pss_parameters_of_a_wrong_length),
        cmocka_unit_test(test_pss_parameters_need_no_alignment),
        cmocka_unit_test(test_others_take_no_parameters),
        cmocka_unit_test(test_eddsa_is_pure),
        cmocka_unit_test(test_fits_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
