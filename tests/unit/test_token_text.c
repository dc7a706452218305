/* SPDX-License-Identifier: Apache-2.0 */
/* Labels of tokens become texts that the core takes; file names decide what is served at all. */
#include <string.h>

#include "common/utf8.h"
#include "pkcs11/discover.h"
#include "pkcs11/text.h"
#include "unit.h"

static void test_text_set(void **state)
{
    static const struct {
        struct wire_span raw;
        const char *text;
    } cases[] = {
        {WIRE_SPAN_LITERAL("work"), "work"},
        {WIRE_SPAN_LITERAL("M\xc3\xbcller"), "M\xc3\xbcller"},
        {WIRE_SPAN_LITERAL("M\xfcller"), "M\xef\xbf\xbdller"},
        {WIRE_SPAN_LITERAL("cut\0here"), "cut"},
        {WIRE_SPAN_LITERAL("\xc3"), "\xef\xbf\xbd"},
        {WIRE_SPAN_LITERAL(""), ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct text text;
        text_set(&text, cases[i].raw);
        assert_span_equal(text_span(&text), wire_span_from_text(cases[i].text));
    }
}

static void test_text_set_is_bounded_and_valid(void **state)
{
    uint8_t raw[600];

    (void)state;
    for (unsigned int fill = 0x7e; fill <= 0xff; fill++)
        for (size_t len = 250; len < sizeof(raw); len += 7) {
            struct text text;
            memset(raw, (int)fill, sizeof(raw));
            text_set(&text, (struct wire_span){raw, len});
            assert_in_range(text.len, 1, PROTOCOL_NAME_MAX);
            assert_true(utf8_is_valid_text((const uint8_t *)text.data, text.len));
        }
}

static void test_text_set_padded(void **state)
{
    struct text text;

    (void)state;
    text_set_padded(&text, (const unsigned char *)"my token                        ", 32);
    assert_span_equal(text_span(&text), wire_span_from_text("my token"));
    text_set_padded(&text, (const unsigned char *)"zero\0\0\0\0", 8);
    assert_span_equal(text_span(&text), wire_span_from_text("zero"));
    text_set_padded(&text, (const unsigned char *)"        ", 8);
    assert_int_equal(text.len, 0);
}

static void test_discover_is_wanted(void **state)
{
    (void)state;
    assert_true(discover_is_wanted("opensc", "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so"));
    assert_true(discover_is_wanted("softhsm2", "/usr/lib/softhsm/libsofthsm2.so"));
    assert_false(discover_is_wanted("mtls-agent", "/usr/lib/pkcs11/other.so"));
    assert_false(discover_is_wanted("other", "/usr/lib/pkcs11/mtls-agent-pkcs11.so"));
    assert_false(discover_is_wanted("x", "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so"));
    assert_false(discover_is_wanted("x", "/usr/lib/x86_64-linux-gnu/p11-kit-proxy.so"));
    assert_false(discover_is_wanted("p11-kit-trust", "/usr/lib/pkcs11/p11-kit-trust.so"));
    assert_false(discover_is_wanted("relative", "relative.so"));
    assert_false(discover_is_wanted("empty", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_set),
        cmocka_unit_test(test_text_set_is_bounded_and_valid),
        cmocka_unit_test(test_text_set_padded),
        cmocka_unit_test(test_discover_is_wanted),
    };

    return cmocka_run_group_tests_name("token-text", tests, NULL, NULL);
}
