/* SPDX-License-Identifier: Apache-2.0 */
/* Each scheme becomes the right mechanism; OpenSSL judges the DigestInfo. */
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

#include "pkcs11/mechanism.h"
#include "unit.h"

#define EVERYTHING UINT32_MAX

static uint8_t bytes[300];

static const struct scheme *prepare(uint32_t code, size_t len, struct mechanism *mechanism)
{
    const struct scheme *scheme = scheme_find(code);

    assert_non_null(scheme);
    assert_int_equal(
        mechanism_prepare(scheme, 521, EVERYTHING, (struct wire_span){bytes, len}, mechanism), 0);
    return scheme;
}

static void test_prepare_ecdsa(void **state)
{
    struct mechanism mechanism;

    (void)state;
    prepare(SCHEME_ECDSA_SHA384, 48, &mechanism);
    assert_int_equal(mechanism.ck.mechanism, CKM_ECDSA);
    assert_null(mechanism.ck.pParameter);
    assert_int_equal(mechanism.ck.ulParameterLen, 0);
    assert_ptr_equal(mechanism.input.data, bytes);
    assert_int_equal(mechanism.input.len, 48);
}

static void test_prepare_ecdsa_cuts_long_digests(void **state)
{
    static const struct {
        unsigned int bits;
        size_t digest;
        size_t input;
    } cases[] = {{256, 32, 32}, {256, 48, 32}, {256, 64, 32}, {384, 48, 48},
                 {384, 64, 48}, {384, 32, 32}, {521, 64, 64}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mechanism mechanism;
        uint32_t code = cases[i].digest == 32   ? SCHEME_ECDSA_SHA256
                        : cases[i].digest == 48 ? SCHEME_ECDSA_SHA384
                                                : SCHEME_ECDSA_SHA512;
        assert_int_equal(mechanism_prepare(scheme_find(code), cases[i].bits, EVERYTHING,
                                           (struct wire_span){bytes, cases[i].digest}, &mechanism),
                         0);
        assert_ptr_equal(mechanism.input.data, bytes);
        assert_int_equal(mechanism.input.len, cases[i].input);
    }
}

static void test_prepare_pss(void **state)
{
    static const struct {
        uint32_t scheme;
        size_t len;
        CK_MECHANISM_TYPE hash;
        CK_RSA_PKCS_MGF_TYPE mgf;
    } cases[] = {
        {SCHEME_RSA_PSS_RSAE_SHA256, 32, CKM_SHA256, CKG_MGF1_SHA256},
        {SCHEME_RSA_PSS_RSAE_SHA384, 48, CKM_SHA384, CKG_MGF1_SHA384},
        {SCHEME_RSA_PSS_RSAE_SHA512, 64, CKM_SHA512, CKG_MGF1_SHA512},
        {SCHEME_RSA_PSS_PSS_SHA256, 32, CKM_SHA256, CKG_MGF1_SHA256},
        {SCHEME_RSA_PSS_PSS_SHA384, 48, CKM_SHA384, CKG_MGF1_SHA384},
        {SCHEME_RSA_PSS_PSS_SHA512, 64, CKM_SHA512, CKG_MGF1_SHA512},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mechanism mechanism;
        prepare(cases[i].scheme, cases[i].len, &mechanism);
        assert_int_equal(mechanism.ck.mechanism, CKM_RSA_PKCS_PSS);
        assert_ptr_equal(mechanism.ck.pParameter, &mechanism.pss);
        assert_int_equal(mechanism.ck.ulParameterLen, sizeof(CK_RSA_PKCS_PSS_PARAMS));
        assert_int_equal(mechanism.pss.hashAlg, cases[i].hash);
        assert_int_equal(mechanism.pss.mgf, cases[i].mgf);
        assert_int_equal(mechanism.pss.sLen, cases[i].len);
        assert_int_equal(mechanism.input.len, cases[i].len);
    }
}

static void test_prepare_pkcs1(void **state)
{
    static const struct {
        uint32_t scheme;
        size_t len;
        int nid;
    } cases[] = {
        {SCHEME_RSA_PKCS1_SHA256, 32, NID_sha256},
        {SCHEME_RSA_PKCS1_SHA384, 48, NID_sha384},
        {SCHEME_RSA_PKCS1_SHA512, 64, NID_sha512},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mechanism mechanism;
        const X509_ALGOR *algorithm = NULL;
        const ASN1_OCTET_STRING *digest = NULL;

        prepare(cases[i].scheme, cases[i].len, &mechanism);
        assert_int_equal(mechanism.ck.mechanism, CKM_RSA_PKCS);
        const unsigned char *at = mechanism.input.data;
        X509_SIG *info = d2i_X509_SIG(NULL, &at, (long)mechanism.input.len);
        assert_non_null(info);
        assert_ptr_equal(at, mechanism.input.data + mechanism.input.len);
        X509_SIG_get0(info, &algorithm, &digest);
        assert_int_equal(OBJ_obj2nid(algorithm->algorithm), cases[i].nid);
        assert_int_equal(ASN1_STRING_length(digest), cases[i].len);
        assert_memory_equal(ASN1_STRING_get0_data(digest), bytes, cases[i].len);
        X509_SIG_free(info);
    }
}

static void test_prepare_eddsa(void **state)
{
    struct mechanism mechanism;

    (void)state;
    prepare(SCHEME_ED25519, sizeof(bytes), &mechanism);
    assert_int_equal(mechanism.ck.mechanism, CKM_EDDSA);
    assert_null(mechanism.ck.pParameter);
    assert_int_equal(mechanism.input.len, sizeof(bytes));
    prepare(SCHEME_ED25519, 0, &mechanism);
}

static void test_prepare_wrong_digest_length(void **state)
{
    static const uint32_t schemes[] = {SCHEME_ECDSA_SHA256, SCHEME_RSA_PKCS1_SHA512,
                                       SCHEME_RSA_PSS_PSS_SHA384};

    (void)state;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        const struct scheme *scheme = scheme_find(schemes[i]);
        for (size_t len = 0; len <= 80; len++) {
            struct mechanism mechanism;
            int r = mechanism_prepare(scheme, 521, EVERYTHING, (struct wire_span){bytes, len},
                                      &mechanism);
            assert_int_equal(r, len == hash_len(scheme->hash) ? 0 : MECHANISM_E_DATA);
        }
    }
}

static void test_choose(void **state)
{
    static const struct {
        uint32_t scheme;
        uint32_t offered;
    } cases[] = {
        {SCHEME_ECDSA_SHA256, MECHANISM_ECDSA},
        {SCHEME_RSA_PKCS1_SHA256, MECHANISM_RSA_PKCS},
        {SCHEME_RSA_PSS_PSS_SHA256, MECHANISM_PSS_SHA256},
        {SCHEME_RSA_PSS_RSAE_SHA384, MECHANISM_PSS_SHA384},
        {SCHEME_RSA_PSS_RSAE_SHA512, MECHANISM_PSS_SHA512},
        {SCHEME_RSA_PSS_RSAE_SHA256, MECHANISM_RSA_X_509},
        {SCHEME_ED25519, MECHANISM_EDDSA},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct scheme *scheme = scheme_find(cases[i].scheme);
        struct mechanism mechanism;
        assert_int_equal(mechanism_choose(scheme, cases[i].offered), cases[i].offered);
        assert_int_equal(mechanism_choose(scheme, 0), 0);
        assert_int_equal(mechanism_prepare(scheme, 2048, 0,
                                           (struct wire_span){bytes, hash_len(scheme->hash)},
                                           &mechanism),
                         MECHANISM_E_UNSUPPORTED);
    }
    assert_int_equal(mechanism_choose(scheme_find(SCHEME_RSA_PKCS1_SHA256), MECHANISM_RSA_X_509),
                     0);
    assert_int_equal(mechanism_choose(scheme_find(SCHEME_ECDSA_SHA256), ~MECHANISM_ECDSA), 0);
    assert_int_equal(mechanism_flags_of_type(CKM_SHA256_RSA_PKCS), 0);
}

static void test_choose_takes_the_tokens_own_pss_first(void **state)
{
    const struct scheme *scheme = scheme_find(SCHEME_RSA_PSS_RSAE_SHA384);
    uint32_t offered = mechanism_flags_of_type(CKM_RSA_PKCS_PSS) | MECHANISM_RSA_X_509;

    (void)state;
    assert_int_equal(mechanism_choose(scheme, offered), MECHANISM_PSS_SHA384);
    offered &= ~mechanism_refused_by(CKR_MECHANISM_PARAM_INVALID, MECHANISM_PSS_SHA384);
    assert_int_equal(mechanism_choose(scheme, offered), MECHANISM_RSA_X_509);
    assert_int_equal(mechanism_choose(scheme_find(SCHEME_RSA_PSS_RSAE_SHA256), offered),
                     MECHANISM_PSS_SHA256);
}

static void test_refused_by(void **state)
{
    (void)state;
    assert_int_equal(mechanism_refused_by(CKR_MECHANISM_INVALID, MECHANISM_PSS_SHA256),
                     MECHANISM_PSS);
    assert_int_equal(mechanism_refused_by(CKR_KEY_TYPE_INCONSISTENT, MECHANISM_ECDSA),
                     MECHANISM_ECDSA);
    assert_int_equal(mechanism_refused_by(CKR_KEY_FUNCTION_NOT_PERMITTED, MECHANISM_RSA_PKCS),
                     MECHANISM_RSA_PKCS);
    assert_int_equal(mechanism_refused_by(CKR_DEVICE_ERROR, MECHANISM_RSA_PKCS), 0);
    assert_int_equal(mechanism_refused_by(CKR_KEY_SIZE_RANGE, MECHANISM_PSS_SHA512), 0);
}

/* The last byte of EMSA-PSS; test_pss.c has the rest. */
static void test_prepare_pads_for_raw_rsa(void **state)
{
    const struct scheme *scheme = scheme_find(SCHEME_RSA_PSS_RSAE_SHA256);
    struct wire_span digest = {bytes, 32};
    struct mechanism mechanism;

    (void)state;
    assert_int_equal(mechanism_prepare(scheme, 2049, MECHANISM_RSA_X_509, digest, &mechanism), 0);
    assert_int_equal(mechanism.ck.mechanism, CKM_RSA_X_509);
    assert_int_equal(mechanism.ck.ulParameterLen, 0);
    assert_int_equal(mechanism.input.len, 257);
    assert_ptr_equal(mechanism.input.data, mechanism.block);
    assert_int_equal(mechanism.block[256], 0xbc);
    assert_int_equal(mechanism_prepare(scheme, 512, MECHANISM_RSA_X_509, digest, &mechanism),
                     MECHANISM_E_UNSUPPORTED);
    assert_int_equal(mechanism_prepare(scheme, 8 * PROTOCOL_SIGNATURE_MAX + 1, MECHANISM_RSA_X_509,
                                       digest, &mechanism),
                     MECHANISM_E_UNSUPPORTED);
}

static void test_list_schemes(void **state)
{
    uint32_t codes[SCHEMES_MAX];

    (void)state;
    assert_int_equal(mechanism_list_schemes(KEY_TYPE_RSA, 2048, MECHANISM_RSA_PKCS, codes), 3);
    assert_int_equal(codes[0], SCHEME_RSA_PKCS1_SHA256);
    assert_int_equal(
        mechanism_list_schemes(KEY_TYPE_RSA, 2048, MECHANISM_RSA_PKCS | MECHANISM_RSA_X_509, codes),
        6);
    assert_int_equal(codes[0], SCHEME_RSA_PSS_RSAE_SHA256);
    assert_int_equal(mechanism_list_schemes(KEY_TYPE_RSA_PSS, 2048, MECHANISM_RSA_PKCS, codes), 0);
    assert_int_equal(mechanism_list_schemes(KEY_TYPE_EC, 256, MECHANISM_RSA_PKCS, codes), 0);
    assert_int_equal(mechanism_list_schemes(KEY_TYPE_EC, 384, MECHANISM_ECDSA, codes), 3);
    assert_int_equal(codes[0], SCHEME_ECDSA_SHA384);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prepare_ecdsa),
        cmocka_unit_test(test_prepare_ecdsa_cuts_long_digests),
        cmocka_unit_test(test_prepare_pss),
        cmocka_unit_test(test_prepare_pkcs1),
        cmocka_unit_test(test_prepare_eddsa),
        cmocka_unit_test(test_prepare_wrong_digest_length),
        cmocka_unit_test(test_choose),
        cmocka_unit_test(test_choose_takes_the_tokens_own_pss_first),
        cmocka_unit_test(test_refused_by),
        cmocka_unit_test(test_prepare_pads_for_raw_rsa),
        cmocka_unit_test(test_list_schemes),
    };

    return cmocka_run_group_tests_name("mechanism", tests, NULL, NULL);
}
