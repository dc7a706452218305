/* SPDX-License-Identifier: Apache-2.0 */
/* Both forms of an ECDSA signature; OpenSSL is the judge of the orders and of what is DER. */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <string.h>

#include "common/der_ecdsa.h"
#include "unit.h"

struct curve {
    unsigned int bits;
    size_t len;
    int nid;
};

static const struct curve curves[] = {
    {256, 32, NID_X9_62_prime256v1},
    {384, 48, NID_secp384r1},
    {521, 66, NID_secp521r1},
};
#define CURVE_COUNT (sizeof(curves) / sizeof(curves[0]))

/* The group order less @less, as fixed-length bytes. */
static void get_order(const struct curve *curve, unsigned int less, uint8_t *order)
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(curve->nid);
    BIGNUM *number = BN_dup(EC_GROUP_get0_order(group));

    assert_true(BN_sub_word(number, less));
    assert_int_equal(BN_bn2binpad(number, order, (int)curve->len), curve->len);
    BN_free(number);
    EC_GROUP_free(group);
}

static int from_raw(const struct curve *curve, const uint8_t *raw, size_t len)
{
    uint8_t der[DER_ECDSA_MAX];
    size_t der_len = 0;

    return der_ecdsa_from_raw(curve->bits, (struct wire_span){raw, len}, der, &der_len);
}

/* There and back, and OpenSSL reads and writes the same bytes. */
static void assert_round_trip(const struct curve *curve, const uint8_t *raw)
{
    uint8_t der[DER_ECDSA_MAX];
    uint8_t back[DER_ECDSA_RAW_MAX];
    size_t der_len = 0;
    size_t back_len = 0;

    assert_int_equal(
        der_ecdsa_from_raw(curve->bits, (struct wire_span){raw, 2 * curve->len}, der, &der_len), 0);
    assert_int_equal(
        der_ecdsa_to_raw(curve->bits, (struct wire_span){der, der_len}, back, &back_len), 0);
    assert_int_equal(back_len, 2 * curve->len);
    assert_memory_equal(back, raw, back_len);

    const unsigned char *at = der;
    unsigned char *again = NULL;
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)der_len);
    assert_non_null(signature);
    assert_int_equal(i2d_ECDSA_SIG(signature, &again), der_len);
    assert_memory_equal(again, der, der_len);
    OPENSSL_free(again);
    ECDSA_SIG_free(signature);
}

static void test_round_trip_edges(void **state)
{
    (void)state;
    for (size_t i = 0; i < CURVE_COUNT; i++) {
        const struct curve *curve = &curves[i];
        uint8_t raw[DER_ECDSA_RAW_MAX] = {0};

        raw[curve->len - 1] = 1;
        raw[2 * curve->len - 1] = 0x80;
        assert_round_trip(curve, raw);
        get_order(curve, 1, raw);
        get_order(curve, 1, raw + curve->len);
        assert_round_trip(curve, raw);
    }
}

/* Every length of the two numbers, with and without their highest bit. */
static void test_round_trip_every_length(void **state)
{
    (void)state;
    for (size_t i = 0; i < CURVE_COUNT; i++)
        for (size_t len = 1; len <= curves[i].len; len++)
            for (unsigned int top = 1; top <= 0x80; top <<= 7) {
                uint8_t raw[DER_ECDSA_RAW_MAX] = {0};
                bool is_full = len == curves[i].len;

                memset(raw + curves[i].len - len, 0x11, len);
                raw[curves[i].len - len] = is_full ? 1 : (uint8_t)top;
                raw[2 * curves[i].len - 1] = (uint8_t)len;
                assert_round_trip(&curves[i], raw);
            }
}

static void test_from_raw_out_of_range(void **state)
{
    (void)state;
    for (size_t i = 0; i < CURVE_COUNT; i++) {
        const struct curve *curve = &curves[i];
        uint8_t raw[DER_ECDSA_RAW_MAX];

        memset(raw, 0, sizeof(raw));
        assert_int_equal(from_raw(curve, raw, 2 * curve->len), DER_ECDSA_E_INVALID);
        raw[curve->len - 1] = 1; /* s is zero */
        assert_int_equal(from_raw(curve, raw, 2 * curve->len), DER_ECDSA_E_INVALID);
        raw[2 * curve->len - 1] = 1;
        get_order(curve, 0, raw); /* r is the order */
        assert_int_equal(from_raw(curve, raw, 2 * curve->len), DER_ECDSA_E_INVALID);
        memset(raw, 0xff, sizeof(raw));
        assert_int_equal(from_raw(curve, raw, 2 * curve->len), DER_ECDSA_E_INVALID);
    }
}

static void test_from_raw_wrong_length(void **state)
{
    uint8_t raw[DER_ECDSA_RAW_MAX + 1];

    (void)state;
    memset(raw, 1, sizeof(raw));
    for (size_t i = 0; i < CURVE_COUNT; i++)
        for (size_t len = 0; len < sizeof(raw); len++)
            assert_int_equal(from_raw(&curves[i], raw, len),
                             len == 2 * curves[i].len ? 0 : DER_ECDSA_E_INVALID);
}

static void test_unknown_curve(void **state)
{
    static const unsigned int bits[] = {0, 128, 224, 255, 512, 1024};
    uint8_t raw[64];
    uint8_t der[DER_ECDSA_MAX];
    size_t len;

    (void)state;
    memset(raw, 1, sizeof(raw));
    for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
        assert_int_equal(
            der_ecdsa_from_raw(bits[i], (struct wire_span){raw, sizeof(raw)}, der, &len),
            DER_ECDSA_E_INVALID);
}

static void test_to_raw_malformed(void **state)
{
    static const struct wire_span cases[] = {
        WIRE_SPAN_LITERAL(""),
        WIRE_SPAN_LITERAL("\x30"),
        WIRE_SPAN_LITERAL("\x30\x00"),
        WIRE_SPAN_LITERAL("\x30\x06\x02\x01\x01\x02\x01"),                 /* cut short */
        WIRE_SPAN_LITERAL("\x30\x06\x02\x01\x01\x02\x01\x01\x00"),         /* something follows */
        WIRE_SPAN_LITERAL("\x30\x07\x02\x01\x01\x02\x01\x01\x00"),         /* inside, too */
        WIRE_SPAN_LITERAL("\x31\x06\x02\x01\x01\x02\x01\x01"),             /* a SET */
        WIRE_SPAN_LITERAL("\x30\x06\x03\x01\x01\x02\x01\x01"),             /* a BIT STRING */
        WIRE_SPAN_LITERAL("\x30\x81\x06\x02\x01\x01\x02\x01\x01"),         /* a long length */
        WIRE_SPAN_LITERAL("\x30\x80\x02\x01\x01\x02\x01\x01\x00\x00"),     /* indefinite */
        WIRE_SPAN_LITERAL("\x30\x07\x02\x02\x00\x01\x02\x01\x01"),         /* a needless zero */
        WIRE_SPAN_LITERAL("\x30\x06\x02\x01\x81\x02\x01\x01"),             /* negative */
        WIRE_SPAN_LITERAL("\x30\x06\x02\x01\x00\x02\x01\x01"),             /* r is zero */
        WIRE_SPAN_LITERAL("\x30\x06\x02\x01\x01\x02\x01\x00"),             /* s is zero */
        WIRE_SPAN_LITERAL("\x30\x05\x02\x00\x02\x01\x01"),                 /* an empty INTEGER */
        WIRE_SPAN_LITERAL("\x30\x07\x02\x81\x01\x01\x02\x01\x01"),         /* its long length */
        WIRE_SPAN_LITERAL("\x30\x06\x02\x04\x01\x02\x01\x01"),             /* past the end */
        WIRE_SPAN_LITERAL("\x30\x03\x02\x01\x01"),                         /* one number */
        WIRE_SPAN_LITERAL("\x30\x09\x02\x01\x01\x02\x01\x01\x02\x01\x01"), /* three */
    };
    uint8_t raw[DER_ECDSA_RAW_MAX];
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(der_ecdsa_to_raw(256, cases[i], raw, &len), DER_ECDSA_E_INVALID);
}

/* A P-384 number in a P-256 signature. */
static void test_to_raw_too_large(void **state)
{
    uint8_t raw[96];
    uint8_t der[DER_ECDSA_MAX];
    uint8_t back[DER_ECDSA_RAW_MAX];
    size_t len = 0;
    size_t back_len = 0;

    (void)state;
    memset(raw, 0x22, sizeof(raw));
    assert_int_equal(der_ecdsa_from_raw(384, (struct wire_span){raw, sizeof(raw)}, der, &len), 0);
    assert_int_equal(der_ecdsa_to_raw(256, (struct wire_span){der, len}, back, &back_len),
                     DER_ECDSA_E_INVALID);
    assert_int_equal(der_ecdsa_to_raw(521, (struct wire_span){der, len}, back, &back_len), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_edges),
        cmocka_unit_test(test_round_trip_every_length),
        cmocka_unit_test(test_from_raw_out_of_range),
        cmocka_unit_test(test_from_raw_wrong_length),
        cmocka_unit_test(test_unknown_curve),
        cmocka_unit_test(test_to_raw_malformed),
        cmocka_unit_test(test_to_raw_too_large),
    };

    return cmocka_run_group_tests_name("der-ecdsa", tests, NULL, NULL);
}
