/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys from attributes as real modules give them, and refusals of what TLS cannot use. */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "pkcs11/public_key.h"
#include "rsa_key.h"
#include "unit.h"

static const struct wire_span params_p256 =
    WIRE_SPAN_LITERAL("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07");
static const struct wire_span params_p521 = WIRE_SPAN_LITERAL("\x06\x05\x2b\x81\x04\x00\x23");
static const struct wire_span params_k256 = WIRE_SPAN_LITERAL("\x06\x05\x2b\x81\x04\x00\x0a");
static const struct wire_span params_ed = WIRE_SPAN_LITERAL("\x06\x03\x2b\x65\x70");

struct keys {
    EVP_PKEY *p256;
    EVP_PKEY *p521;
    EVP_PKEY *ed;
    EVP_PKEY *rsa;
};

static int setup(void **state)
{
    static struct keys keys;

    keys = (struct keys){EVP_EC_gen("P-256"), EVP_EC_gen("P-521"),
                         EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), rsa_key_load(2048)};
    *state = &keys;
    return keys.p256 && keys.p521 && keys.ed && keys.rsa ? 0 : -1;
}

static int teardown(void **state)
{
    struct keys *keys = *state;

    EVP_PKEY_free(keys->p256);
    EVP_PKEY_free(keys->p521);
    EVP_PKEY_free(keys->ed);
    EVP_PKEY_free(keys->rsa);
    return 0;
}

static size_t get_point(EVP_PKEY *key, uint8_t *point, size_t size)
{
    size_t len = 0;

    assert_true(EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, size, &len));
    return len;
}

static void assert_is(const struct public_key *key, EVP_PKEY *expected)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(expected, &der);

    assert_span_equal(key->spki, ((struct wire_span){der, (size_t)len}));
    OPENSSL_free(der);
}

static void test_ec_bare_and_wrapped_points(void **state)
{
    struct keys *keys = *state;
    uint8_t wrapped[140] = {0x04, 0x41};
    struct public_key bare_key;
    struct public_key wrapped_key;
    size_t len = get_point(keys->p256, wrapped + 2, sizeof(wrapped) - 2);

    assert_int_equal(len, 65);
    assert_int_equal(
        public_key_from_ec(params_p256, (struct wire_span){wrapped + 2, len}, &bare_key), 0);
    assert_int_equal(
        public_key_from_ec(params_p256, (struct wire_span){wrapped, len + 2}, &wrapped_key), 0);
    assert_is(&bare_key, keys->p256);
    assert_is(&wrapped_key, keys->p256);
    assert_int_equal(bare_key.type, KEY_TYPE_EC);
    assert_int_equal(bare_key.bits, 256);
    assert_true(public_key_is_same(&bare_key, &wrapped_key));
    public_key_deinit(&bare_key);
    public_key_deinit(&wrapped_key);
}

static void test_ec_p521_long_length(void **state)
{
    struct keys *keys = *state;
    uint8_t wrapped[140] = {0x04, 0x81, 0x85};
    struct public_key key;
    size_t len = get_point(keys->p521, wrapped + 3, sizeof(wrapped) - 3);

    assert_int_equal(len, 133);
    assert_int_equal(public_key_from_ec(params_p521, (struct wire_span){wrapped, len + 3}, &key),
                     0);
    assert_is(&key, keys->p521);
    assert_int_equal(key.bits, 521);
    public_key_deinit(&key);
}

static void test_ec_compressed_point_is_same_key(void **state)
{
    struct keys *keys = *state;
    uint8_t point[65];
    struct public_key full;
    struct public_key compressed;
    size_t len = get_point(keys->p256, point, sizeof(point));

    assert_int_equal(public_key_from_ec(params_p256, (struct wire_span){point, len}, &full), 0);
    point[0] = 2 + (point[64] & 1);
    assert_int_equal(public_key_from_ec(params_p256, (struct wire_span){point, 33}, &compressed),
                     0);
    assert_true(public_key_is_same(&full, &compressed));
    public_key_deinit(&full);
    public_key_deinit(&compressed);
}

static void test_ec_bad_points(void **state)
{
    struct keys *keys = *state;
    uint8_t point[67] = {0x04, 0x41};
    struct public_key key;
    size_t len = get_point(keys->p256, point + 2, sizeof(point) - 2);

    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(public_key_from_ec(params_p256, (struct wire_span){point + 2, cut}, &key),
                         PUBLIC_KEY_E_UNSUPPORTED);
    point[1] = 0x40;
    assert_int_equal(public_key_from_ec(params_p256, (struct wire_span){point, len + 2}, &key),
                     PUBLIC_KEY_E_UNSUPPORTED);
    point[30] ^= 1; /* not on the curve */
    assert_int_equal(public_key_from_ec(params_p256, (struct wire_span){point + 2, len}, &key),
                     PUBLIC_KEY_E_UNSUPPORTED);
    assert_int_equal(public_key_from_ec(params_p521, (struct wire_span){point + 2, len}, &key),
                     PUBLIC_KEY_E_UNSUPPORTED);
    assert_int_equal(public_key_from_ec(params_k256, (struct wire_span){point + 2, len}, &key),
                     PUBLIC_KEY_E_UNSUPPORTED);
}

static void test_ed25519_forms(void **state)
{
    static const struct wire_span params[] = {
        WIRE_SPAN_LITERAL("\x06\x03\x2b\x65\x70"),
        WIRE_SPAN_LITERAL("\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01"),
        WIRE_SPAN_LITERAL("\x13\x0c"
                          "edwards25519"),
    };
    struct keys *keys = *state;
    uint8_t wrapped[34] = {0x04, 0x20};
    size_t len = get_point(keys->ed, wrapped + 2, 32);

    assert_int_equal(len, 32);
    for (size_t i = 0; i < 2 * sizeof(params) / sizeof(params[0]); i++) {
        struct wire_span point = {i % 2 ? wrapped : wrapped + 2, i % 2 ? 34 : 32};
        struct public_key key;
        assert_int_equal(public_key_from_ec(params[i / 2], point, &key), 0);
        assert_is(&key, keys->ed);
        assert_int_equal(key.type, KEY_TYPE_ED25519);
        public_key_deinit(&key);
    }
    struct public_key key;
    assert_int_equal(public_key_from_ec(params_ed, (struct wire_span){wrapped, 33}, &key),
                     PUBLIC_KEY_E_UNSUPPORTED);
}

static struct wire_span get_number(EVP_PKEY *key, const char *name, uint8_t *buffer)
{
    BIGNUM *number = NULL;

    assert_true(EVP_PKEY_get_bn_param(key, name, &number));
    size_t len = (size_t)BN_bn2bin(number, buffer);
    BN_free(number);
    return (struct wire_span){buffer, len};
}

static void test_rsa(void **state)
{
    struct keys *keys = *state;
    uint8_t n[300] = {0};
    uint8_t e[16];
    struct public_key key;
    struct wire_span modulus = get_number(keys->rsa, OSSL_PKEY_PARAM_RSA_N, n + 1);
    struct wire_span exponent = get_number(keys->rsa, OSSL_PKEY_PARAM_RSA_E, e);

    assert_int_equal(public_key_from_rsa(modulus, exponent, &key), 0);
    assert_is(&key, keys->rsa);
    assert_int_equal(key.type, KEY_TYPE_RSA);
    assert_int_equal(key.bits, 2048);
    public_key_deinit(&key);
    /* Some modules put a zero in front. */
    assert_int_equal(public_key_from_rsa((struct wire_span){n, modulus.len + 1}, exponent, &key),
                     0);
    assert_is(&key, keys->rsa);
    public_key_deinit(&key);
}

static void test_rsa_refused(void **state)
{
    static uint8_t large[PUBLIC_KEY_RSA_BITS_MAX / 8 + 8];
    static const uint8_t e[] = {1, 0, 1};
    struct wire_span exponent = {e, sizeof(e)};
    struct wire_span none = {NULL, 0};
    struct public_key key;

    (void)state;
    memset(large, 0xff, sizeof(large));
    assert_int_equal(public_key_from_rsa(none, exponent, &key), PUBLIC_KEY_E_UNSUPPORTED);
    assert_int_equal(public_key_from_rsa((struct wire_span){large, 256}, none, &key),
                     PUBLIC_KEY_E_UNSUPPORTED);
    assert_int_equal(public_key_from_rsa((struct wire_span){large, 64}, exponent, &key),
                     PUBLIC_KEY_E_UNSUPPORTED);
    assert_int_equal(public_key_from_rsa((struct wire_span){large, sizeof(large)}, exponent, &key),
                     PUBLIC_KEY_E_UNSUPPORTED);
    memset(large, 0, sizeof(large));
    assert_int_equal(public_key_from_rsa((struct wire_span){large, 256}, exponent, &key),
                     PUBLIC_KEY_E_UNSUPPORTED);
}

/* The same RSA key under both algorithm identifiers: another SPKI, the same key. */
static void test_rsa_pss_is_same_key(void **state)
{
    struct keys *keys = *state;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *pss = NULL;
    struct public_key rsa_key;
    struct public_key pss_key;

    assert_true(EVP_PKEY_todata(keys->rsa, EVP_PKEY_PUBLIC_KEY, &params) &&
                EVP_PKEY_fromdata_init(ctx) > 0 &&
                EVP_PKEY_fromdata(ctx, &pss, EVP_PKEY_PUBLIC_KEY, params) > 0);
    assert_true(EVP_PKEY_up_ref(keys->rsa));
    assert_int_equal(public_key_from_pkey(keys->rsa, &rsa_key), 0);
    assert_int_equal(public_key_from_pkey(pss, &pss_key), 0);
    assert_int_equal(pss_key.type, KEY_TYPE_RSA_PSS);
    assert_true(public_key_is_same(&rsa_key, &pss_key));
    assert_false(wire_span_is_equal(rsa_key.spki, pss_key.spki));
    public_key_deinit(&rsa_key);
    public_key_deinit(&pss_key);
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
}

static void test_other_kinds_are_refused(void **state)
{
    static const char *const curves[] = {"secp256k1", "P-224", "brainpoolP256r1"};
    struct public_key key;

    (void)state;
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
        assert_int_equal(public_key_from_pkey(EVP_EC_gen(curves[i]), &key),
                         PUBLIC_KEY_E_UNSUPPORTED);
    assert_int_equal(public_key_from_pkey(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), &key),
                     PUBLIC_KEY_E_UNSUPPORTED);
    assert_int_equal(public_key_from_pkey(EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), &key),
                     PUBLIC_KEY_E_UNSUPPORTED);
}

/* P-256 with all its parameters spelled out (the curve of CVE-2020-0601). */
static void test_explicit_parameters_are_refused(void **state)
{
    struct keys *keys = *state;
    unsigned char *der = NULL;
    struct public_key key;

    assert_true(EVP_PKEY_set_utf8_string_param(keys->p256, OSSL_PKEY_PARAM_EC_ENCODING,
                                               OSSL_PKEY_EC_ENCODING_EXPLICIT));
    int len = i2d_PUBKEY(keys->p256, &der);
    assert_true(len > 200);
    const unsigned char *at = der;
    EVP_PKEY *explicit_key = d2i_PUBKEY(NULL, &at, len);
    assert_non_null(explicit_key);
    assert_int_equal(public_key_from_pkey(explicit_key, &key), PUBLIC_KEY_E_UNSUPPORTED);
    OPENSSL_free(der);
}

/* CKA_EC_PARAMS spelled out (ykcs11) give the key on the named curve; a changed parameter, none. */
static void test_ec_explicit_params(void **state)
{
    struct keys *keys = *state;
    uint8_t point[65];
    unsigned char *params = NULL;
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    struct public_key key;

    EC_GROUP_set_asn1_flag(group, OPENSSL_EC_EXPLICIT_CURVE);
    int len = i2d_ECPKParameters(group, &params);
    assert_true(len > 200);
    struct wire_span params_span = {params, (size_t)len};
    struct wire_span point_span = {point, get_point(keys->p256, point, sizeof(point))};
    assert_int_equal(public_key_from_ec(params_span, point_span, &key), 0);
    assert_is(&key, keys->p256);
    public_key_deinit(&key);
    size_t refused = 0;
    for (int i = 0; i < len; i += 3) {
        params[i] ^= 1;
        int r = public_key_from_ec(params_span, point_span, &key);
        /* The seed and the cofactor say nothing about the curve. */
        if (r == 0) {
            assert_is(&key, keys->p256);
            public_key_deinit(&key);
        }
        refused += r == PUBLIC_KEY_E_UNSUPPORTED;
        params[i] ^= 1;
    }
    assert_true(refused > 60);
    OPENSSL_free(params);
    EC_GROUP_free(group);
}

static void test_copy(void **state)
{
    struct keys *keys = *state;
    struct public_key key;
    struct public_key copy;

    assert_true(EVP_PKEY_up_ref(keys->ed));
    assert_int_equal(public_key_from_pkey(keys->ed, &key), 0);
    assert_int_equal(public_key_copy(&key, &copy), 0);
    public_key_deinit(&key);
    assert_is(&copy, keys->ed);
    public_key_deinit(&copy);
    assert_null(copy.pkey);
    public_key_deinit(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ec_bare_and_wrapped_points, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ec_p521_long_length, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ec_compressed_point_is_same_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ec_bad_points, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ed25519_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rsa, setup, teardown),
        cmocka_unit_test(test_rsa_refused),
        cmocka_unit_test_setup_teardown(test_rsa_pss_is_same_key, setup, teardown),
        cmocka_unit_test(test_other_kinds_are_refused),
        cmocka_unit_test_setup_teardown(test_explicit_parameters_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ec_explicit_params, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copy, setup, teardown),
    };

    return cmocka_run_group_tests_name("public-key", tests, NULL, NULL);
}
