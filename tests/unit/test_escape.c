/* SPDX-License-Identifier: Apache-2.0 */
/* Untrusted text on its way to logs, terminals and JSON. */
#include "common/escape.h"

#include <string.h>

#include "unit.h"

static const struct {
    struct wire_span text;
    const char *escaped;
} texts[] = {
    {WIRE_SPAN_LITERAL(""), ""},
    {WIRE_SPAN_LITERAL("plain text"), "plain text"},
    {WIRE_SPAN_LITERAL("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f"},
    {WIRE_SPAN_LITERAL("two\nlines\r"), "two\\x0alines\\x0d"},
    {WIRE_SPAN_LITERAL("\x1b[2Jgone"), "\\x1b[2Jgone"},
    {WIRE_SPAN_LITERAL("a\0b"), "a\\x00b"},
    {WIRE_SPAN_LITERAL("tab\tdel\x7f"), "tab\\x09del\\x7f"},
    {WIRE_SPAN_LITERAL("\xc2\x9b"
                       "31m"),
     "\\x9b31m"}, /* CSI as one C1 control */
    {WIRE_SPAN_LITERAL("bad\xff\x80"), "bad\\xff\\x80"},
    {WIRE_SPAN_LITERAL("cut\xe2\x82"), "cut\\xe2\\x82"},
    {WIRE_SPAN_LITERAL("back\\slash"), "back\\\\slash"},
    {WIRE_SPAN_LITERAL("\xe2\x80\xae"
                       "txt.exe"),
     "\\u{202e}txt.exe"}, /* right-to-left override */
    {WIRE_SPAN_LITERAL("\xe2\x81\xa6\xe2\x81\xa9"), "\\u{2066}\\u{2069}"}, /* isolates */
    {WIRE_SPAN_LITERAL("\xe2\x81\xa0\xe2\x81\xaf"), "\\u{2060}\\u{206f}"}, /* word joiner */
    {WIRE_SPAN_LITERAL("\xe2\x80\xa8\xe2\x80\xa9"), "\\u{2028}\\u{2029}"}, /* separators */
    {WIRE_SPAN_LITERAL("a\xe2\x80\x8b"
                       "b"),
     "a\\u{200b}b"},                             /* zero width space */
    {WIRE_SPAN_LITERAL("\xd8\x9c"), "\\u{61c}"}, /* Arabic letter mark */
    {WIRE_SPAN_LITERAL("a\xc2\xad"
                       "b"),
     "a\\u{ad}b"},                                    /* soft hyphen */
    {WIRE_SPAN_LITERAL("\xef\xbb\xbf"), "\\u{feff}"}, /* byte order mark */
};

static void test_escape_text_makes_one_harmless_line(void **state)
{
    char buffer[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        assert_string_equal(escape_text(texts[i].text, buffer, sizeof(buffer)), texts[i].escaped);
}

static const struct {
    const char *text;
    size_t size;
    const char *escaped;
} cuts[] = {
    {"1234567", 8, "1234567"},  /* fits exactly with its NUL */
    {"12345678", 8, "1234..."}, /* one over */
    {"123456789012", 12, "12345678..."},
    {"123\n45678", 12, "123\\x0a4..."},
    {"1234567\n", 12, "1234567\\x0a"}, /* an escape that fits exactly */
    {"12345678\n", 12, "12345678..."}, /* an escape is never cut in two */
    {"12345678901\n", 12, "12345678..."},
    {"123\xc3\xbc\xc3\xbc\xc3\xbc", 8, "123..."}, /* nor is a character */
};

static void test_escape_text_too_long_is_cut_between_characters(void **state)
{
    char buffer[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cuts); i++)
        assert_string_equal(escape_cstring(cuts[i].text, buffer, cuts[i].size), cuts[i].escaped);
}

static void test_escape_text_never_writes_past_the_buffer(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        for (size_t size = 8; size < 40; size++) {
            char buffer[41];
            memset(buffer, '#', sizeof(buffer));
            (void)escape_text(texts[i].text, buffer, size);
            assert_int_equal(buffer[size], '#');
            assert_true(strnlen(buffer, size) < size);
        }
    }
}

static void test_escape_cstring_null_is_empty(void **state)
{
    char buffer[8];

    (void)state;
    assert_string_equal(escape_cstring(NULL, buffer, sizeof(buffer)), "");
}

static const struct {
    struct wire_span text;
    const char *json;
} jsons[] = {
    {WIRE_SPAN_LITERAL(""), "\"\""},
    {WIRE_SPAN_LITERAL("a\"b\\c/"), "\"a\\\"b\\\\c/\""},
    {WIRE_SPAN_LITERAL("\n\0\x1f\x7f"), "\"\\u000a\\u0000\\u001f\\u007f\""},
    {WIRE_SPAN_LITERAL("\xc2\x85\xe2\x80\xa8"), "\"\\u0085\\u2028\""},
    {WIRE_SPAN_LITERAL("\xf0\x9f\x94\x91"), "\"\xf0\x9f\x94\x91\""},
    {WIRE_SPAN_LITERAL("bad\xff"), "\"bad\xef\xbf\xbd\""},
};

static void test_escape_json_is_one_valid_string(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(jsons); i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
        wire_writer_init(&writer, 1000);
        escape_json(&writer, jsons[i].text);
        assert_span_equal(((struct wire_span){writer.data, writer.len}),
                          wire_span_from_text(jsons[i].json));
    }
}

static void test_put_raw_writes_no_length(void **state)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};

    (void)state;
    wire_writer_init(&writer, 1000);
    escape_put_raw(&writer, "{}");
    assert_span_equal(((struct wire_span){writer.data, writer.len}), WIRE_SPAN_LITERAL("{}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape_text_makes_one_harmless_line),
        cmocka_unit_test(test_escape_text_too_long_is_cut_between_characters),
        cmocka_unit_test(test_escape_text_never_writes_past_the_buffer),
        cmocka_unit_test(test_escape_cstring_null_is_empty),
        cmocka_unit_test(test_escape_json_is_one_valid_string),
        cmocka_unit_test(test_put_raw_writes_no_length),
    };

    return cmocka_run_group_tests_name("escape", tests, NULL, NULL);
}
