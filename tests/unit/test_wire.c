/* SPDX-License-Identifier: Apache-2.0 */
/* Field reader and writer: sticky failure, exact end, bounds. */
#include "common/wire.h"

#include <string.h>

#include "unit.h"

static int setup_writer(void **state)
{
    struct wire_writer *writer = calloc(1, sizeof(*writer));

    if (!writer)
        return -1;
    wire_writer_init(writer, 2 * WIRE_FRAME_MAX);
    *state = writer;
    return 0;
}

static int teardown_writer(void **state)
{
    struct wire_writer *writer = *state;

    wire_writer_deinit(writer);
    free(writer);
    return 0;
}

static struct wire_span written(const struct wire_writer *writer)
{
    return (struct wire_span){writer->data, writer->len};
}

static struct wire_reader reader_over(const void *data, size_t len)
{
    struct wire_reader reader;

    wire_reader_init(&reader, (struct wire_span){data, len});
    return reader;
}

static void test_put_fields_gives_rfc4251_bytes(void **state)
{
    struct wire_writer *writer = *state;
    static const uint8_t expected[] = {
        0xab,                                           /* byte */
        0x00, 0x01,                                     /* two booleans */
        0x01, 0x02, 0x03, 0x04,                         /* uint32 */
        0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, /* uint64 */
        0x00, 0x00, 0x00, 0x03, 'a',  'b',  'c',        /* string */
        0x00, 0x00, 0x00, 0x00,                         /* empty string */
    };

    wire_put_u8(writer, 0xab);
    wire_put_bool(writer, false);
    wire_put_bool(writer, true);
    wire_put_u32(writer, 0x01020304);
    wire_put_u64(writer, 0x1112131415161718u);
    wire_put_string(writer, WIRE_SPAN_LITERAL("abc"));
    wire_put_string(writer, (struct wire_span){0});

    assert_span_equal(written(writer), ((struct wire_span){expected, sizeof(expected)}));
}

static void test_get_fields_reads_back_what_was_put(void **state)
{
    struct wire_writer *writer = *state;
    struct wire_reader reader;

    wire_put_u8(writer, 0xff);
    wire_put_bool(writer, true);
    wire_put_u32(writer, UINT32_MAX);
    wire_put_u64(writer, UINT64_MAX - 1);
    wire_put_string(writer, WIRE_SPAN_LITERAL("xyz"));
    wire_reader_init(&reader, written(writer));

    assert_int_equal(wire_get_u8(&reader), 0xff);
    assert_true(wire_get_bool(&reader));
    assert_int_equal(wire_get_u32(&reader), UINT32_MAX);
    assert_true(wire_get_u64(&reader) == UINT64_MAX - 1);
    assert_span_equal(wire_get_string(&reader, 3), WIRE_SPAN_LITERAL("xyz"));
    assert_int_equal(wire_reader_finish(&reader), 0);
}

static void test_get_fields_past_the_end_fails(void **state)
{
    static const uint8_t bytes[7] = {1, 1, 1, 1, 1, 1, 1};

    (void)state;
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        struct wire_reader reader = reader_over(bytes, len);
        (void)wire_get_u64(&reader);
        assert_int_equal(wire_reader_finish(&reader), WIRE_E_MALFORMED);
    }
}

static void test_get_u64_cut_in_half_gives_zero(void **state)
{
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6};
    struct wire_reader reader = reader_over(bytes, sizeof(bytes));

    (void)state;
    assert_true(wire_get_u64(&reader) == 0);
}

static void test_get_after_failure_gives_nothing(void **state)
{
    static const uint8_t bytes[] = {2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    struct wire_reader reader = reader_over(bytes, sizeof(bytes));

    (void)state;
    assert_false(wire_get_bool(&reader)); /* 2 is no boolean */

    assert_int_equal(wire_get_u8(&reader), 0);
    assert_false(wire_get_bool(&reader));
    assert_int_equal(wire_get_u32(&reader), 0);
    assert_true(wire_get_u64(&reader) == 0);
    assert_int_equal(wire_get_string(&reader, 100).len, 0);
    assert_null(wire_get_text(&reader, 100).data);
    assert_int_equal(wire_reader_finish(&reader), WIRE_E_MALFORMED);
}

static void test_get_bool_over_one_fails(void **state)
{
    (void)state;
    for (unsigned int value = 2; value <= 255; value++) {
        uint8_t byte = (uint8_t)value;
        struct wire_reader reader = reader_over(&byte, 1);
        (void)wire_get_bool(&reader);
        assert_int_equal(wire_reader_finish(&reader), WIRE_E_MALFORMED);
    }
}

static void test_finish_with_bytes_left_fails(void **state)
{
    static const uint8_t bytes[] = {1, 2};
    struct wire_reader reader = reader_over(bytes, sizeof(bytes));

    (void)state;
    (void)wire_get_u8(&reader);
    assert_int_equal(wire_reader_finish(&reader), WIRE_E_MALFORMED);
}

static void test_finish_empty_succeeds(void **state)
{
    struct wire_reader reader = reader_over(NULL, 0);

    (void)state;
    assert_int_equal(wire_reader_finish(&reader), 0);
}

static const struct {
    const char *name;
    uint8_t bytes[8];
    size_t len;
    size_t max;
} bad_strings[] = {
    {"no length", {0}, 0, 10},
    {"length cut", {0, 0, 0}, 3, 10},
    {"one byte short", {0, 0, 0, 4, 'a', 'b', 'c'}, 7, 10},
    {"over the limit", {0, 0, 0, 3, 'a', 'b', 'c'}, 7, 2},
    {"largest length", {0xff, 0xff, 0xff, 0xff, 'a', 'b', 'c'}, 7, SIZE_MAX},
    {"length that wraps a pointer", {0x80, 0, 0, 0, 'a', 'b', 'c'}, 7, SIZE_MAX},
};

static void test_get_string_malformed_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad_strings); i++) {
        struct wire_reader reader = reader_over(bad_strings[i].bytes, bad_strings[i].len);
        struct wire_span got = wire_get_string(&reader, bad_strings[i].max);
        if (!reader.failed || got.data || got.len)
            fail_msg("%s: accepted", bad_strings[i].name);
    }
}

static void test_get_string_at_the_limit_succeeds(void **state)
{
    static const uint8_t bytes[] = {0, 0, 0, 3, 'a', 0, 0xff};
    struct wire_reader reader = reader_over(bytes, sizeof(bytes));

    (void)state;
    assert_span_equal(wire_get_string(&reader, 3), ((struct wire_span){bytes + 4, 3}));
}

static void test_get_fixed_of_other_length_fails(void **state)
{
    static const uint8_t bytes[] = {0, 0, 0, 3, 'a', 'b', 'c'};

    (void)state;
    for (size_t len = 0; len < 6; len++) {
        struct wire_reader reader = reader_over(bytes, sizeof(bytes));
        (void)wire_get_fixed(&reader, len);
        assert_int_equal(reader.failed, len != 3);
    }
}

static const struct {
    const char *name;
    struct wire_span text;
} bad_texts[] = {
    {"NUL inside", {(const uint8_t *)"a\0b", 3}},
    {"NUL at the end", {(const uint8_t *)"ab\0", 3}},
    {"lone continuation", {(const uint8_t *)"\x80", 1}},
    {"cut sequence", {(const uint8_t *)"a\xc3", 2}},
    {"overlong slash", {(const uint8_t *)"\xc0\xaf", 2}},
    {"surrogate", {(const uint8_t *)"\xed\xa0\x80", 3}},
    {"past U+10FFFF", {(const uint8_t *)"\xf4\x90\x80\x80", 4}},
    {"byte that is never UTF-8", {(const uint8_t *)"\xff", 1}},
};

static void test_get_text_invalid_fails(void **state)
{
    struct wire_writer *writer = *state;

    for (size_t i = 0; i < ARRAY_SIZE(bad_texts); i++) {
        wire_writer_reset(writer);
        wire_put_string(writer, bad_texts[i].text);
        struct wire_reader reader = reader_over(writer->data, writer->len);
        struct wire_span got = wire_get_text(&reader, 100);
        if (!reader.failed || got.data)
            fail_msg("%s: accepted", bad_texts[i].name);
    }
}

static void test_get_text_with_controls_passes_them_on(void **state)
{
    struct wire_writer *writer = *state;
    struct wire_span text = WIRE_SPAN_LITERAL("a\n\x1b[2J\xe2\x80\xae");

    wire_put_string(writer, text);
    struct wire_reader reader = reader_over(writer->data, writer->len);
    assert_span_equal(wire_get_text(&reader, 100), text);
}

static void test_put_over_the_bound_fails_and_stays_failed(void **state)
{
    struct wire_writer small;

    (void)state;
    wire_writer_init(&small, 6);
    wire_put_u32(&small, 1);
    wire_put_u32(&small, 2);
    wire_put_u8(&small, 3); /* would fit by itself */

    assert_true(small.failed);
    assert_int_equal(small.len, 4);
    wire_writer_deinit(&small);
}

static void test_put_string_over_frame_size_fails_without_reading_it(void **state)
{
    struct wire_writer *writer = *state;

    /* Were it read, the test would crash: there is one byte. */
    wire_put_string(writer, (struct wire_span){(const uint8_t *)"x", (size_t)WIRE_FRAME_MAX + 1});
    assert_true(writer->failed);
}

static void test_end_frame_fills_in_the_length(void **state)
{
    struct wire_writer *writer = *state;
    static const uint8_t expected[] = {0, 0, 0, 2, 9, 7};
    size_t mark = wire_begin_frame(writer, 9);

    wire_put_u8(writer, 7);
    assert_int_equal(wire_end_frame(writer, mark), 0);
    assert_span_equal(written(writer), ((struct wire_span){expected, sizeof(expected)}));
}

/* Appends a frame whose type byte and body have @len bytes. */
static int put_frame_of(struct wire_writer *writer, size_t len)
{
    _cleanup_free_ uint8_t *content = calloc(1, len);
    size_t mark = wire_begin_frame(writer, 1);

    assert_non_null(content);
    wire_put_string(writer, (struct wire_span){content, len - 5});
    return wire_end_frame(writer, mark);
}

static void test_end_frame_at_the_cap_succeeds(void **state)
{
    struct wire_writer *writer = *state;

    assert_int_equal(put_frame_of(writer, WIRE_FRAME_MAX), 0);
    assert_int_equal(writer->len, WIRE_HEADER_LEN + WIRE_FRAME_MAX);
}

static void test_end_frame_over_the_cap_cuts_the_frame_off(void **state)
{
    struct wire_writer *writer = *state;

    assert_int_equal(put_frame_of(writer, 10), 0);
    assert_int_equal(put_frame_of(writer, WIRE_FRAME_MAX + 1), WIRE_E_MALFORMED);
    assert_int_equal(writer->len, WIRE_HEADER_LEN + 10);
}

static void test_end_frame_after_failure_keeps_earlier_frames(void **state)
{
    struct wire_writer small;

    (void)state;
    wire_writer_init(&small, 12);
    size_t mark = wire_begin_frame(&small, 1);
    assert_int_equal(wire_end_frame(&small, mark), 0);
    mark = wire_begin_frame(&small, 2);
    wire_put_u64(&small, 0);

    assert_int_equal(wire_end_frame(&small, mark), WIRE_E_MALFORMED);
    assert_int_equal(small.len, 5);
    wire_writer_deinit(&small);
}

static void test_end_string_nested_fills_in_each_length(void **state)
{
    struct wire_writer *writer = *state;
    static const uint8_t expected[] = {0, 0, 0, 6, 1, 0, 0, 0, 1, 2};
    size_t outer = wire_begin_string(writer);

    wire_put_u8(writer, 1);
    size_t inner = wire_begin_string(writer);
    wire_put_u8(writer, 2);
    wire_end_string(writer, inner);
    wire_end_string(writer, outer);

    assert_span_equal(written(writer), ((struct wire_span){expected, sizeof(expected)}));
}

static void test_end_string_after_failure_touches_nothing(void **state)
{
    struct wire_writer empty;

    (void)state;
    wire_writer_init(&empty, 3); /* not even the length fits, so there is no buffer at all */
    size_t mark = wire_begin_string(&empty);
    wire_end_string(&empty, mark);
    assert_int_equal(empty.len, 0);
    wire_writer_deinit(&empty);
}

static void test_writer_reset_forgets_the_failure(void **state)
{
    struct wire_writer *writer = *state;

    assert_int_equal(put_frame_of(writer, WIRE_FRAME_MAX + 1), WIRE_E_MALFORMED);
    wire_writer_reset(writer);
    assert_int_equal(put_frame_of(writer, 10), 0);
}

static void test_writer_consume_moves_the_rest_to_the_front(void **state)
{
    struct wire_writer *writer = *state;

    wire_put_u32(writer, 0x01020304);
    wire_writer_consume(writer, 3);
    assert_span_equal(written(writer), WIRE_SPAN_LITERAL("\x04"));
}

static void test_writer_consume_everything_empties(void **state)
{
    struct wire_writer *writer = *state;

    wire_put_u32(writer, 1);
    wire_writer_consume(writer, 4);
    assert_int_equal(writer->len, 0);
}

static void test_span_is_equal_compares_length_and_bytes(void **state)
{
    (void)state;
    assert_true(wire_span_is_equal((struct wire_span){0}, (struct wire_span){0}));
    assert_true(wire_span_is_equal(WIRE_SPAN_LITERAL("ab"), WIRE_SPAN_LITERAL("ab")));
    assert_false(wire_span_is_equal(WIRE_SPAN_LITERAL("ab"), WIRE_SPAN_LITERAL("a")));
    assert_false(wire_span_is_equal(WIRE_SPAN_LITERAL("ab"), WIRE_SPAN_LITERAL("ac")));
}

static void test_span_from_text_null_is_empty(void **state)
{
    (void)state;
    assert_int_equal(wire_span_from_text(NULL).len, 0);
}

static void test_span_to_text_empty_is_an_empty_string(void **state)
{
    _cleanup_free_ char *text = wire_span_to_text((struct wire_span){0});

    (void)state;
    assert_string_equal(text, "");
}

static void test_span_to_text_terminates_the_copy(void **state)
{
    _cleanup_free_ char *text = wire_span_to_text((struct wire_span){(const uint8_t *)"abc", 2});

    (void)state;
    assert_string_equal(text, "ab");
}

#define TEST_WITH_WRITER(fn) cmocka_unit_test_setup_teardown(fn, setup_writer, teardown_writer)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH_WRITER(test_put_fields_gives_rfc4251_bytes),
        TEST_WITH_WRITER(test_get_fields_reads_back_what_was_put),
        cmocka_unit_test(test_get_fields_past_the_end_fails),
        cmocka_unit_test(test_get_u64_cut_in_half_gives_zero),
        cmocka_unit_test(test_get_after_failure_gives_nothing),
        cmocka_unit_test(test_get_bool_over_one_fails),
        cmocka_unit_test(test_finish_with_bytes_left_fails),
        cmocka_unit_test(test_finish_empty_succeeds),
        cmocka_unit_test(test_get_string_malformed_fails),
        cmocka_unit_test(test_get_string_at_the_limit_succeeds),
        cmocka_unit_test(test_get_fixed_of_other_length_fails),
        TEST_WITH_WRITER(test_get_text_invalid_fails),
        TEST_WITH_WRITER(test_get_text_with_controls_passes_them_on),
        cmocka_unit_test(test_put_over_the_bound_fails_and_stays_failed),
        TEST_WITH_WRITER(test_put_string_over_frame_size_fails_without_reading_it),
        TEST_WITH_WRITER(test_end_frame_fills_in_the_length),
        TEST_WITH_WRITER(test_end_frame_at_the_cap_succeeds),
        TEST_WITH_WRITER(test_end_frame_over_the_cap_cuts_the_frame_off),
        cmocka_unit_test(test_end_frame_after_failure_keeps_earlier_frames),
        TEST_WITH_WRITER(test_end_string_nested_fills_in_each_length),
        cmocka_unit_test(test_end_string_after_failure_touches_nothing),
        TEST_WITH_WRITER(test_writer_reset_forgets_the_failure),
        TEST_WITH_WRITER(test_writer_consume_moves_the_rest_to_the_front),
        TEST_WITH_WRITER(test_writer_consume_everything_empties),
        cmocka_unit_test(test_span_is_equal_compares_length_and_bytes),
        cmocka_unit_test(test_span_from_text_null_is_empty),
        cmocka_unit_test(test_span_to_text_empty_is_an_empty_string),
        cmocka_unit_test(test_span_to_text_terminates_the_copy),
    };

    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
