/* SPDX-License-Identifier: Apache-2.0 */
/* Strict UTF-8, RFC 3629 section 4: the borders of every form, and all code points. */
#include "common/utf8.h"

#include <string.h>

#include "common/cleanup.h"
#include "unit.h"

static const struct {
    const char *bytes;
    size_t len;
    uint32_t code;
} good[] = {
    {"\x00", 1, 0},
    {"a", 1, 'a'},
    {"\x7f", 1, 0x7f},
    {"\xc2\x80", 2, 0x80},
    {"\xdf\xbf", 2, 0x7ff},
    {"\xe0\xa0\x80", 3, 0x800},
    {"\xed\x9f\xbf", 3, 0xd7ff},
    {"\xee\x80\x80", 3, 0xe000},
    {"\xef\xbf\xbf", 3, 0xffff},
    {"\xf0\x90\x80\x80", 4, 0x10000},
    {"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
};

static void test_decode_border_forms_gives_the_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        uint32_t code = UINT32_MAX;
        size_t used = utf8_decode((const uint8_t *)good[i].bytes, good[i].len, &code);
        assert_int_equal(used, good[i].len);
        assert_int_equal(code, good[i].code);
    }
}

static void test_decode_cut_short_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        uint32_t code = 0;
        for (size_t len = 1; len < good[i].len; len++)
            assert_int_equal(utf8_decode((const uint8_t *)good[i].bytes, len, &code), 0);
    }
}

static const char *const bad[] = {
    "\x80",
    "\xbf",
    "\xc0\x80",
    "\xc1\xbf",
    "\xc2\x7f",
    "\xc2\xc0",
    "\xe0\x80\x80",
    "\xe0\x9f\xbf",
    "\xed\xa0\x80",
    "\xed\xbf\xbf",
    "\xe1\x80\xc0",
    "\xf0\x80\x80\x80",
    "\xf0\x8f\xbf\xbf",
    "\xf4\x90\x80\x80",
    "\xf5\x80\x80\x80",
    "\xf8\x88\x80\x80",
    "\xfe\x80\x80\x80",
    "\xff\x80\x80\x80",
};

static void test_decode_malformed_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint32_t code = 0;
        if (utf8_decode((const uint8_t *)bad[i], strlen(bad[i]), &code))
            fail_msg("case %zu gave U+%04X", i, code);
    }
}

static size_t encode(uint32_t code, uint8_t bytes[4])
{
    if (code < 0x80) {
        bytes[0] = (uint8_t)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, code >>= 6)
        bytes[i] = (uint8_t)(0x80 | (code & 0x3f));
    bytes[0] = (uint8_t)(0xf00u >> len | code);
    return len;
}

static void test_decode_every_code_point_comes_back(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x110800; code++) {
        uint8_t bytes[4];
        uint32_t got = 0;
        size_t len = encode(code, bytes);
        bool is_scalar = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
        if (utf8_decode(bytes, len, &got) != (is_scalar ? len : 0) || (is_scalar && got != code))
            fail_msg("U+%04X", code);
    }
}

static void test_is_valid_text_empty_is_text(void **state)
{
    (void)state;
    assert_true(utf8_is_valid_text(NULL, 0));
}

static void test_is_valid_text_with_nul_is_not(void **state)
{
    (void)state;
    assert_false(utf8_is_valid_text((const uint8_t *)"a\0b", 3));
}

static void test_is_valid_text_with_one_bad_byte_at_any_place_is_not(void **state)
{
    (void)state;
    for (size_t at = 0; at < 5; at++) {
        uint8_t text[] = {'h', 'e', 'l', 'l', 'o'};
        text[at] = 0xff;
        assert_false(utf8_is_valid_text(text, sizeof(text)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode_border_forms_gives_the_code),
        cmocka_unit_test(test_decode_cut_short_is_refused),
        cmocka_unit_test(test_decode_malformed_is_refused),
        cmocka_unit_test(test_decode_every_code_point_comes_back),
        cmocka_unit_test(test_is_valid_text_empty_is_text),
        cmocka_unit_test(test_is_valid_text_with_nul_is_not),
        cmocka_unit_test(test_is_valid_text_with_one_bad_byte_at_any_place_is_not),
    };

    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
