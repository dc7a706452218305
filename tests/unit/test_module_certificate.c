/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of certificates and public keys: real ones, cut ones, changed ones. */
#include "client/module/certificate.h"

#include <string.h>

#include "client/module/spki.h"
#include "module_keys.h"
#include "unit.h"

static struct wire_span span(struct mtls_agent_bytes bytes)
{
    return (struct wire_span){bytes.data, bytes.len};
}

/* Memory of exactly this length: a sanitizer sees what reads past its end. */
static uint8_t *exact_copy(struct wire_span bytes)
{
    uint8_t *copy = malloc(bytes.len > 0 ? bytes.len : 1);

    assert_non_null(copy);
    if (bytes.len > 0)
        memcpy(copy, bytes.data, bytes.len);
    return copy;
}

static void assert_inside(struct wire_span part, struct wire_span whole)
{
    if (part.len == 0)
        return;
    assert_true(part.data >= whole.data && part.len <= whole.len &&
                part.data - whole.data <= (ptrdiff_t)(whole.len - part.len));
}

static void check_certificate(struct wire_span der)
{
    struct certificate certificate = certificate_parse(der);

    assert_span_equal(certificate.der, der);
    assert_inside(certificate.serial, der);
    assert_inside(certificate.issuer, der);
    assert_inside(certificate.subject, der);
    assert_inside(certificate.common_name, certificate.subject);
}

static void test_certificate_parse_finds_the_fields(void **state)
{
    struct certificate leaf = certificate_parse(span(module_keys[KEYS_P256].certs[0]));
    struct certificate ca = certificate_parse(span(module_keys[KEYS_P256].certs[1]));
    struct certificate root = certificate_parse(span(module_keys[KEYS_P256].certs[2]));

    (void)state;
    assert_span_equal(leaf.serial, WIRE_SPAN_LITERAL("\x02\x02\x10\x00"));
    assert_span_equal(leaf.common_name, WIRE_SPAN_LITERAL("p256 client"));
    assert_span_equal(leaf.issuer, ca.subject);
    assert_span_equal(ca.common_name, WIRE_SPAN_LITERAL("Module Test CA"));
    assert_span_equal(ca.issuer, root.subject);
    assert_span_equal(root.issuer, root.subject);
    assert_int_equal(leaf.subject.data[0], 0x30);
}

static void test_certificate_parse_cut_at_every_byte(void **state)
{
    struct wire_span whole = span(module_keys[KEYS_RSA].certs[0]);

    (void)state;
    for (size_t len = 0; len < whole.len; len++) {
        uint8_t *copy = exact_copy((struct wire_span){whole.data, len});
        struct certificate certificate = certificate_parse((struct wire_span){copy, len});
        assert_int_equal(certificate.der.len, len);
        assert_int_equal(certificate.serial.len + certificate.issuer.len + certificate.subject.len +
                             certificate.common_name.len,
                         0);
        free(copy);
    }
}

static void test_certificate_parse_every_byte_changed(void **state)
{
    struct wire_span whole = span(module_keys[KEYS_P256].certs[0]);

    (void)state;
    for (size_t at = 0; at < whole.len; at++)
        for (unsigned int change = 1; change < 256; change += change < 4 ? 1 : 63) {
            uint8_t *copy = exact_copy(whole);
            copy[at] ^= (uint8_t)change;
            check_certificate((struct wire_span){copy, whole.len});
            free(copy);
        }
}

static void test_certificate_parse_garbage(void **state)
{
    static const struct wire_span garbage[] = {
        {NULL, 0},
        {(const uint8_t *)"\x30", 1},
        {(const uint8_t *)"\x30\x00", 2},
        {(const uint8_t *)"\x30\x80\x00\x00", 4},
        {(const uint8_t *)"\x30\x84\xff\xff\xff\xff", 6},
        {(const uint8_t *)"\x30\x02\x30\x00", 4},
        {(const uint8_t *)"\xff\xff\xff\xff\xff\xff", 6},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
        struct certificate certificate = certificate_parse(garbage[i]);
        assert_int_equal(certificate.subject.len, 0);
        assert_int_equal(certificate.common_name.len, 0);
    }
}

/* --- public keys --- */

static const struct spki_row {
    int key;
    size_t modulus_len, exponent_len, parameters_len, point_len;
} spki_rows[] = {
    {KEYS_P256, 0, 0, 10, 65}, {KEYS_P384, 0, 0, 7, 97}, {KEYS_P521, 0, 0, 7, 133},
    {KEYS_RSA, 256, 3, 0, 0},  {KEYS_PSS, 256, 3, 0, 0}, {KEYS_ED25519, 0, 0, 5, 32},
};

static void test_spki_parse_finds_the_parts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(spki_rows); i++) {
        const struct spki_row *row = &spki_rows[i];
        const struct mtls_agent_key *key = &module_keys[row->key];
        struct spki spki;

        assert_int_equal(spki_parse(span(key->spki), (enum key_type)key->type, &spki), 0);
        assert_int_equal(spki.modulus.len, row->modulus_len);
        assert_int_equal(spki.exponent.len, row->exponent_len);
        assert_int_equal(spki.parameters.len, row->parameters_len);
        assert_int_equal(spki.point.len, row->point_len);
        if (row->exponent_len > 0)
            assert_span_equal(spki.exponent, WIRE_SPAN_LITERAL("\x01\x00\x01"));
    }
}

static void test_spki_parse_of_another_type_is_refused(void **state)
{
    struct spki spki;

    (void)state;
    assert_int_equal(spki_parse(span(module_keys[KEYS_P256].spki), KEY_TYPE_RSA, &spki),
                     WIRE_E_MALFORMED);
    assert_int_equal(spki_parse(span(module_keys[KEYS_RSA].spki), KEY_TYPE_EC, &spki),
                     WIRE_E_MALFORMED);
    assert_int_equal(spki_parse(span(module_keys[KEYS_RSA].spki), KEY_TYPE_ED25519, &spki),
                     WIRE_E_MALFORMED);
    assert_int_equal(spki_parse(span(module_keys[KEYS_RSA].spki), (enum key_type)77, &spki),
                     WIRE_E_MALFORMED);
}

static void test_spki_parse_cut_at_every_byte(void **state)
{
    (void)state;
    for (int i = 0; i < KEYS_COUNT; i++)
        for (size_t len = 0; len < module_keys[i].spki.len; len++) {
            struct spki spki;
            uint8_t *copy = exact_copy((struct wire_span){module_keys[i].spki.data, len});
            assert_int_equal(spki_parse((struct wire_span){copy, len},
                                        (enum key_type)module_keys[i].type, &spki),
                             WIRE_E_MALFORMED);
            free(copy);
        }
}

static void test_spki_parse_every_byte_changed_stays_inside(void **state)
{
    (void)state;
    for (int i = 0; i < KEYS_COUNT; i++) {
        struct wire_span whole = span(module_keys[i].spki);
        for (size_t at = 0; at < whole.len && at < 64; at++)
            for (unsigned int change = 1; change < 256; change++) {
                struct spki spki;
                uint8_t *copy = exact_copy(whole);
                copy[at] ^= (uint8_t)change;
                struct wire_span changed = {copy, whole.len};
                if (spki_parse(changed, (enum key_type)module_keys[i].type, &spki) == 0) {
                    assert_inside(spki.modulus, changed);
                    assert_inside(spki.exponent, changed);
                    assert_inside(spki.parameters, changed);
                    assert_inside(spki.point, changed);
                    assert_true(spki.point.len <= SPKI_POINT_MAX);
                }
                free(copy);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificate_parse_finds_the_fields),
        cmocka_unit_test(test_certificate_parse_cut_at_every_byte),
        cmocka_unit_test(test_certificate_parse_every_byte_changed),
        cmocka_unit_test(test_certificate_parse_garbage),
        cmocka_unit_test(test_spki_parse_finds_the_parts),
        cmocka_unit_test(test_spki_parse_of_another_type_is_refused),
        cmocka_unit_test(test_spki_parse_cut_at_every_byte),
        cmocka_unit_test(test_spki_parse_every_byte_changed_stays_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
