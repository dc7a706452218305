/* SPDX-License-Identifier: Apache-2.0 */
/* Names, fingerprints and RFC 7512 URIs against one key on one token. */
#include "agent/selector.h"

#include <string.h>

#include "unit.h"

static const struct worker_token token = {
    .label = WIRE_SPAN_LITERAL("demo"),
    .serial = WIRE_SPAN_LITERAL("0123abcd"),
    .manufacturer = WIRE_SPAN_LITERAL("SoftHSM project"),
    .model = WIRE_SPAN_LITERAL("SoftHSM v2"),
};

static const struct inventory_key key = {
    .info = {.label = WIRE_SPAN_LITERAL("work key"), .ck_id = WIRE_SPAN_LITERAL("\x01\xff")},
    .hash = {0xde, 0xad, 0xbe, 0xef, 0x12, 0x34},
};

static bool matches(const char *text)
{
    struct selector *selector = NULL;
    const char *reason = NULL;

    assert_int_equal(selector_new(wire_span_from_text(text), &selector, &reason), 0);
    bool is_match = selector_matches_key(selector, "work", &key, "opensc", &token);
    (void)selector_free(selector);
    return is_match;
}

static void test_format_uri_matches_its_key(void **state)
{
    char *uri = selector_format_uri(&key, &token);

    (void)state;
    assert_non_null(uri);
    assert_non_null(strstr(uri, "token=demo"));
    assert_non_null(strstr(uri, "serial=0123abcd"));
    assert_non_null(strstr(uri, "id=%01%"));
    assert_non_null(strstr(uri, "object=work%20key"));
    assert_true(matches(uri));
    free(uri);
}

static void test_matches_key_by_name_and_uri(void **state)
{
    static const struct {
        const char *text;
        bool is_match;
    } rows[] = {
        {"", true},
        {"work", true},
        {"wor", false},
        {"work key", false},
        {"sha256:deadbeef", true},
        {"sha256:DEADBEEF1", true},
        {"sha256:deadbeef2", false},
        {"sha256:deadbeef1234", true},
        {"pkcs11:", true},
        {"pkcs11:token=demo", true},
        {"pkcs11:token=Demo", false},
        {"pkcs11:token=demo;object=work%20key", true},
        {"pkcs11:object=work", false},
        {"pkcs11:id=%01%ff", true},
        {"pkcs11:id=%01", false},
        {"pkcs11:serial=0123abcd;id=%01%ff;type=cert", true},
        {"pkcs11:serial=0123", false},
        {"pkcs11:token=demo?module-path=/usr/lib/any.so", true},
        {"pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project", true},
        {"pkcs11:token=demo?module-name=opensc", true},
        {"pkcs11:token=demo?module-name=ykcs11", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(matches(rows[i].text), rows[i].is_match);
}

static void test_new_invalid_text_says_why(void **state)
{
    static const char *const texts[] = {
        "sha256:",
        "sha256:deadbee",
        "sha256:deadbeeg",
        "pkcs11:token",
        "pkcs11:nonsense=1",
        "pkcs11:id=%zz",
        "pkcs11:slot-id=0",
        "pkcs11:token=demo;library-manufacturer=a",
        "sha256:0123456789012345678901234567890123456789012345678901234567890123ab",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct selector *selector = NULL;
        const char *reason = NULL;
        assert_int_equal(selector_new(wire_span_from_text(texts[i]), &selector, &reason),
                         SELECTOR_E_INVALID);
        assert_null(selector);
        assert_true(reason && strlen(reason) > 0);
    }
}

static void test_matches_token_by_label_serial_and_uri(void **state)
{
    static const struct {
        const char *text;
        bool is_match;
    } rows[] = {
        {"", true},
        {"demo", true},
        {"0123abcd", true},
        {"other", false},
        {"work", false},
        {"pkcs11:serial=0123abcd", true},
        {"pkcs11:serial=0123abcd?module-name=opensc", true},
        {"pkcs11:serial=0123abcd?module-name=ykcs11", false},
        {"sha256:deadbeef", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct selector *selector = NULL;
        const char *reason = NULL;
        assert_int_equal(selector_new(wire_span_from_text(rows[i].text), &selector, &reason), 0);
        assert_int_equal(selector_matches_token(selector, "opensc", &token), rows[i].is_match);
        (void)selector_free(selector);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format_uri_matches_its_key),
        cmocka_unit_test(test_matches_key_by_name_and_uri),
        cmocka_unit_test(test_new_invalid_text_says_why),
        cmocka_unit_test(test_matches_token_by_label_serial_and_uri),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
