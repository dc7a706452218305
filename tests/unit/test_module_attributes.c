/* SPDX-License-Identifier: Apache-2.0 */
/* Who has which attribute, with what value; templates that are wrong in every way. */
#include "client/module/attributes.h"

#include <string.h>

#include "module_keys.h"
#include "unit.h"

#ifndef CKK_EC_EDWARDS
#define CKK_EC_EDWARDS (0x40UL)
#endif

struct world {
    struct content content;
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    CK_OBJECT_HANDLE next = 1;
    bool is_same = false;

    *state = world;
    if (!world)
        return -1;
    for (int i = 0; i < KEYS_COUNT; i++)
        if (content_add_key(&world->content, &module_keys[i]))
            return -1;
    return content_finish(&world->content, NULL, &next, &is_same);
}

static int teardown(void **state)
{
    struct world *world = *state;

    content_deinit(&world->content);
    free(world);
    return 0;
}

static const struct object *find(const struct world *world, CK_OBJECT_CLASS class,
                                 const char *label)
{
    for (size_t i = 0; i < world->content.object_count; i++)
        if (world->content.objects[i].class == class &&
            wire_span_is_equal(world->content.objects[i].label, wire_span_from_text(label)))
            return &world->content.objects[i];
    fail_msg("no object %s", label);
    return NULL;
}

/* --- what is there, per class and key type: every attribute that a program was seen to ask --- */

enum {
    RSA_PRIVATE = 1 << 0,
    RSA_PUBLIC = 1 << 1,
    EC_PRIVATE = 1 << 2,
    EC_PUBLIC = 1 << 3,
    ED_PRIVATE = 1 << 4,
    ED_PUBLIC = 1 << 5,
    LEAF = 1 << 6,
    AUTHORITY = 1 << 7,
    KINDS = 8,

    RSA = RSA_PRIVATE | RSA_PUBLIC,
    POINT = EC_PRIVATE | EC_PUBLIC | ED_PRIVATE | ED_PUBLIC,
    PRIVATE = RSA_PRIVATE | EC_PRIVATE | ED_PRIVATE,
    PUBLIC = RSA_PUBLIC | EC_PUBLIC | ED_PUBLIC,
    CERTIFICATE = LEAF | AUTHORITY,
    ALL = PRIVATE | PUBLIC | CERTIFICATE,
};

static const struct {
    CK_OBJECT_CLASS class;
    const char *label;
} kinds[KINDS] = {
    {CKO_PRIVATE_KEY, "rsa"},     {CKO_PUBLIC_KEY, "rsa"},
    {CKO_PRIVATE_KEY, "p256"},    {CKO_PUBLIC_KEY, "p256"},
    {CKO_PRIVATE_KEY, "ed25519"}, {CKO_PUBLIC_KEY, "ed25519"},
    {CKO_CERTIFICATE, "p256"},    {CKO_CERTIFICATE, "Module Test CA"},
};

static const struct attribute_row {
    CK_ATTRIBUTE_TYPE type;
    unsigned int owners;
    int boolean; /* 0 and 1: its value wherever it is; -1: no boolean */
} attribute_rows[] = {
    {CKA_CLASS, ALL, -1},
    {CKA_KEY_TYPE, PRIVATE | PUBLIC, -1},
    {CKA_ID, ALL, -1},
    {CKA_LABEL, ALL, -1},
    {CKA_TOKEN, ALL, 1},
    {CKA_PRIVATE, ALL, 0},
    {CKA_MODIFIABLE, ALL, 0},
    {CKA_SIGN, PRIVATE, 1},
    {CKA_SENSITIVE, PRIVATE, 1},
    {CKA_ALWAYS_SENSITIVE, PRIVATE, 1},
    {CKA_EXTRACTABLE, PRIVATE, 0},
    {CKA_NEVER_EXTRACTABLE, PRIVATE, 1},
    {CKA_ALWAYS_AUTHENTICATE, PRIVATE, 0},
    {CKA_DECRYPT, PRIVATE, 0},
    {CKA_UNWRAP, PRIVATE, 0},
    {CKA_SIGN_RECOVER, PRIVATE, 0},
    {CKA_DERIVE, PRIVATE | PUBLIC, 0},
    {CKA_LOCAL, PRIVATE | PUBLIC, 0},
    {CKA_VERIFY, PUBLIC, 1},
    {CKA_ENCRYPT, PUBLIC, 0},
    {CKA_WRAP, PUBLIC, 0},
    {CKA_TRUSTED, PUBLIC | CERTIFICATE, 0},
    {CKA_EC_PARAMS, POINT, -1},
    {CKA_EC_POINT, POINT, -1},
    {CKA_MODULUS, RSA, -1},
    {CKA_PUBLIC_EXPONENT, RSA, -1},
    {CKA_MODULUS_BITS, RSA, -1},
    {CKA_PUBLIC_KEY_INFO, PRIVATE | PUBLIC, -1},
    {CKA_CERTIFICATE_TYPE, CERTIFICATE, -1},
    {CKA_CERTIFICATE_CATEGORY, CERTIFICATE, -1},
    {CKA_VALUE, CERTIFICATE, -1},
    {CKA_SUBJECT, ALL, -1},
    {CKA_ISSUER, CERTIFICATE, -1},
    {CKA_SERIAL_NUMBER, CERTIFICATE, -1},
    {CKA_VENDOR_DEFINED | 1, 0, -1},
    {CKA_PRIME, 0, -1},
    {CKA_APPLICATION, 0, -1},
};

static void check_value(const struct object *object, const struct attribute_row *row)
{
    uint8_t value[4096];
    CK_ATTRIBUTE entry = {row->type, NULL, 0};

    assert_int_equal(attributes_get(object, &entry, 1), CKR_OK);
    CK_ULONG len = entry.ulValueLen;
    assert_true(len <= sizeof(value));
    entry = (CK_ATTRIBUTE){row->type, value, sizeof(value)};
    assert_int_equal(attributes_get(object, &entry, 1), CKR_OK);
    assert_int_equal(entry.ulValueLen, len);
    assert_true(attributes_match(object, &entry, 1));
    if (row->boolean >= 0) {
        assert_int_equal(len, sizeof(CK_BBOOL));
        assert_int_equal(value[0], row->boolean);
    }
    if (len == 0)
        return;
    value[len - 1] ^= 1;
    assert_false(attributes_match(object, &entry, 1));
    value[len - 1] ^= 1;
    entry.ulValueLen--;
    assert_false(attributes_match(object, &entry, 1));
}

static void test_who_has_what(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(attribute_rows); i++)
        for (unsigned int kind = 0; kind < KINDS; kind++) {
            const struct object *object = find(*state, kinds[kind].class, kinds[kind].label);
            CK_ATTRIBUTE entry = {attribute_rows[i].type, NULL, 0};
            if (attribute_rows[i].owners & 1u << kind) {
                check_value(object, &attribute_rows[i]);
                continue;
            }
            CK_RV rv = attributes_get(object, &entry, 1);
            assert_int_not_equal(rv, CKR_OK);
            assert_int_equal(entry.ulValueLen, CK_UNAVAILABLE_INFORMATION);
            assert_false(attributes_match(object, &entry, 1));
        }
}

/* --- values --- */

static struct wire_span get(const struct object *object, CK_ATTRIBUTE_TYPE type)
{
    static uint8_t value[4096];
    CK_ATTRIBUTE entry = {type, value, sizeof(value)};

    assert_int_equal(attributes_get(object, &entry, 1), CKR_OK);
    return (struct wire_span){value, entry.ulValueLen};
}

static CK_ULONG get_number(const struct object *object, CK_ATTRIBUTE_TYPE type)
{
    struct wire_span value = get(object, type);
    CK_ULONG number = 0;

    assert_int_equal(value.len, sizeof(number));
    memcpy(&number, value.data, sizeof(number));
    return number;
}

static void test_values_of_keys(void **state)
{
    const struct object *ec = find(*state, CKO_PRIVATE_KEY, "p256");
    const struct object *rsa = find(*state, CKO_PUBLIC_KEY, "rsa");
    const struct object *pss = find(*state, CKO_PRIVATE_KEY, "pss");
    const struct object *edwards = find(*state, CKO_PUBLIC_KEY, "ed25519");

    assert_int_equal(get_number(ec, CKA_CLASS), CKO_PRIVATE_KEY);
    assert_int_equal(get_number(ec, CKA_KEY_TYPE), CKK_EC);
    assert_int_equal(get_number(rsa, CKA_KEY_TYPE), CKK_RSA);
    assert_int_equal(get_number(pss, CKA_KEY_TYPE), CKK_RSA);
    assert_int_equal(get_number(edwards, CKA_KEY_TYPE), CKK_EC_EDWARDS);
    assert_int_equal(get_number(rsa, CKA_MODULUS_BITS), 2048);
    assert_int_equal(get(rsa, CKA_MODULUS).len, 256);
    assert_true(get(rsa, CKA_MODULUS).data[0] & 0x80);
    assert_span_equal(get(rsa, CKA_PUBLIC_EXPONENT), WIRE_SPAN_LITERAL("\x01\x00\x01"));
    assert_span_equal(get(ec, CKA_EC_PARAMS),
                      WIRE_SPAN_LITERAL("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"));
    assert_int_equal(get(ec, CKA_EC_POINT).len, 67);
    assert_memory_equal(get(ec, CKA_EC_POINT).data, "\x04\x41\x04", 3);
    assert_span_equal(get(edwards, CKA_EC_PARAMS), WIRE_SPAN_LITERAL("\x06\x03\x2b\x65\x70"));
    assert_int_equal(get(edwards, CKA_EC_POINT).len, 34);
    /* the length of the longest takes two bytes */
    assert_memory_equal(get(find(*state, CKO_PUBLIC_KEY, "p521"), CKA_EC_POINT).data,
                        "\x04\x81\x85\x04", 4);
}

static void test_values_of_certificates(void **state)
{
    const struct object *leaf = find(*state, CKO_CERTIFICATE, "p256");
    const struct object *authority = find(*state, CKO_CERTIFICATE, "Module Test CA");

    assert_int_equal(get_number(leaf, CKA_CERTIFICATE_CATEGORY), 1);
    assert_int_equal(get_number(authority, CKA_CERTIFICATE_CATEGORY), 2);
    assert_span_equal(get(leaf, CKA_VALUE),
                      ((struct wire_span){module_keys[KEYS_P256].certs[0].data,
                                          module_keys[KEYS_P256].certs[0].len}));
    assert_int_equal(get(authority, CKA_ID).len, 0);
    /* one ID, one subject and one label bring the three together */
    struct wire_span id = get(leaf, CKA_ID);
    assert_span_equal(id, WIRE_SPAN_LITERAL("id-p256"));
    assert_span_equal(get(find(*state, CKO_PRIVATE_KEY, "p256"), CKA_ID), id);
    assert_int_equal(get(find(*state, CKO_PUBLIC_KEY, "p256"), CKA_SUBJECT).data[0], 0x30);
}

static void test_key_without_certificate_has_an_empty_subject(void **state)
{
    assert_int_equal(get(find(*state, CKO_PRIVATE_KEY, "pss"), CKA_SUBJECT).len, 0);
}

/* --- templates --- */

static void test_secrets_are_sensitive(void **state)
{
    static const CK_ATTRIBUTE_TYPE secrets[] = {
        CKA_VALUE,      CKA_PRIVATE_EXPONENT, CKA_PRIME_1,     CKA_PRIME_2,
        CKA_EXPONENT_1, CKA_EXPONENT_2,       CKA_COEFFICIENT,
    };
    uint8_t value[8] = {0x5a};

    for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
        CK_ATTRIBUTE entry = {secrets[i], value, sizeof(value)};
        assert_int_equal(attributes_get(find(*state, CKO_PRIVATE_KEY, "rsa"), &entry, 1),
                         CKR_ATTRIBUTE_SENSITIVE);
        assert_int_equal(entry.ulValueLen, CK_UNAVAILABLE_INFORMATION);
        assert_int_equal(value[0], 0x5a);
        entry.ulValueLen = sizeof(value);
        assert_int_equal(attributes_get(find(*state, CKO_PUBLIC_KEY, "rsa"), &entry, 1),
                         CKR_ATTRIBUTE_TYPE_INVALID);
    }
}

static void test_every_entry_is_answered_whatever_the_others(void **state)
{
    uint8_t small[1];
    CK_ULONG class = 0;
    uint8_t label[4];
    CK_ATTRIBUTE template[] = {
        {CKA_VALUE, NULL, 0},
        {CKA_MODULUS, small, sizeof(small)},
        {CKA_CLASS, &class, sizeof(class)},
        {CKA_PRIME, NULL, 0},
        {CKA_LABEL, label, sizeof(label)},
    };

    CK_RV rv = attributes_get(find(*state, CKO_PRIVATE_KEY, "rsa"), template, 5);
    assert_int_equal(rv, CKR_ATTRIBUTE_TYPE_INVALID);
    assert_int_equal(template[0].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    assert_int_equal(template[1].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    assert_int_equal(template[2].ulValueLen, sizeof(class));
    assert_int_equal(class, CKO_PRIVATE_KEY);
    assert_int_equal(template[4].ulValueLen, 3);
    assert_memory_equal(label, "rsa", 3);
}

static void test_buffer_too_short_is_left_alone(void **state)
{
    uint8_t value[3] = {1, 2, 3};

    for (CK_ULONG room = 0; room < 3; room++) {
        CK_ATTRIBUTE entry = {CKA_LABEL, value, room};
        assert_int_equal(attributes_get(find(*state, CKO_PRIVATE_KEY, "rsa"), &entry, 1),
                         CKR_BUFFER_TOO_SMALL);
        assert_int_equal(entry.ulValueLen, CK_UNAVAILABLE_INFORMATION);
        assert_memory_equal(value, "\x01\x02\x03", 3);
    }
}

static void test_empty_template_matches_everything(void **state)
{
    assert_true(attributes_match(find(*state, CKO_CERTIFICATE, "rsa"), NULL, 0));
}

static void test_all_entries_must_match(void **state)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &class, sizeof(class)},
        {CKA_SIGN, &yes, sizeof(yes)},
        {CKA_EXTRACTABLE, &yes, sizeof(yes)},
    };
    const struct object *object = find(*state, CKO_PRIVATE_KEY, "rsa");

    assert_true(attributes_match(object, template, 2));
    assert_false(attributes_match(object, template, 3));
    /* what is empty there is found by what is empty here */
    CK_ATTRIBUTE empty = {CKA_START_DATE, NULL, 0};
    assert_true(attributes_match(object, &empty, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_has_what),
        cmocka_unit_test(test_values_of_keys),
        cmocka_unit_test(test_values_of_certificates),
        cmocka_unit_test(test_key_without_certificate_has_an_empty_subject),
        cmocka_unit_test(test_secrets_are_sensitive),
        cmocka_unit_test(test_every_entry_is_answered_whatever_the_others),
        cmocka_unit_test(test_buffer_too_short_is_left_alone),
        cmocka_unit_test(test_empty_template_matches_everything),
        cmocka_unit_test(test_all_entries_must_match),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
