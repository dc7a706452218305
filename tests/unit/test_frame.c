/* SPDX-License-Identifier: Apache-2.0 */
/* Frames cut from a byte stream: any chunking, the cap before any memory, whole frames only. */
#include "common/frame.h"

#include <string.h>

#include "unit.h"

static int setup_buffer(void **state)
{
    struct frame_buffer *buffer = calloc(1, sizeof(*buffer));

    *state = buffer;
    return buffer ? 0 : -1;
}

static int teardown_buffer(void **state)
{
    struct frame_buffer *buffer = *state;

    frame_buffer_deinit(buffer);
    free(buffer);
    return 0;
}

static void feed(struct frame_buffer *buffer, const void *data, size_t len)
{
    const uint8_t *at = data;

    while (len > 0) {
        uint8_t *room = NULL;
        size_t room_len = 0;
        assert_int_equal(frame_buffer_reserve(buffer, &room, &room_len), 0);
        assert_true(room_len >= 1);
        size_t step = len < room_len ? len : room_len;
        memcpy(room, at, step);
        frame_buffer_commit(buffer, step);
        at += step;
        len -= step;
    }
}

static const uint8_t two_frames[] = {0, 0, 0, 3, 9, 'a', 'b', 0, 0, 0, 1, 7};

static void test_next_empty_wants_more(void **state)
{
    struct frame frame;

    assert_int_equal(frame_buffer_next(*state, &frame), WIRE_E_MORE);
}

static void test_next_every_prefix_wants_more(void **state)
{
    struct frame_buffer *buffer = *state;
    struct frame frame;

    for (size_t len = 1; len < 7; len++) {
        feed(buffer, two_frames + len - 1, 1);
        assert_int_equal(frame_buffer_next(buffer, &frame), WIRE_E_MORE);
    }
}

static void test_next_two_frames_in_one_read_gives_both(void **state)
{
    struct frame_buffer *buffer = *state;
    struct frame frame;

    feed(buffer, two_frames, sizeof(two_frames));
    assert_int_equal(frame_buffer_next(buffer, &frame), 0);
    assert_int_equal(frame.type, 9);
    assert_span_equal(frame.body, WIRE_SPAN_LITERAL("ab"));
    assert_int_equal(frame_buffer_next(buffer, &frame), 0);
    assert_int_equal(frame.type, 7);
    assert_int_equal(frame.body.len, 0);
    assert_int_equal(frame_buffer_next(buffer, &frame), WIRE_E_MORE);
}

static void test_next_byte_by_byte_gives_the_same_frames(void **state)
{
    struct frame_buffer *buffer = *state;
    struct frame frame;
    uint8_t types[2] = {0};
    size_t count = 0;

    for (size_t i = 0; i < sizeof(two_frames); i++) {
        feed(buffer, two_frames + i, 1);
        if (frame_buffer_next(buffer, &frame) == 0)
            types[count++] = frame.type;
    }
    assert_int_equal(count, 2);
    assert_int_equal(types[0], 9);
    assert_int_equal(types[1], 7);
}

static const struct {
    const char *name;
    uint8_t header[4];
} bad_lengths[] = {
    {"zero", {0, 0, 0, 0}},
    {"cap and one", {0, 4, 0, 1}},
    {"top bit", {0x80, 0, 0, 0}},
    {"largest", {0xff, 0xff, 0xff, 0xff}},
};

static void test_next_bad_length_is_malformed(void **state)
{
    struct frame frame;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad_lengths); i++) {
        struct frame_buffer buffer = FRAME_BUFFER_INIT;
        feed(&buffer, bad_lengths[i].header, 4);
        int r = frame_buffer_next(&buffer, &frame);
        frame_buffer_deinit(&buffer);
        if (r != WIRE_E_MALFORMED)
            fail_msg("%s: %d", bad_lengths[i].name, r);
    }
}

static void test_reserve_after_bad_length_takes_no_memory_for_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad_lengths); i++) {
        struct frame_buffer buffer = FRAME_BUFFER_INIT;
        uint8_t *room = NULL;
        size_t room_len = 0;
        feed(&buffer, bad_lengths[i].header, 4);
        size_t before = buffer.cap;
        int r = frame_buffer_reserve(&buffer, &room, &room_len);
        size_t after = buffer.cap;
        frame_buffer_deinit(&buffer);
        assert_int_equal(r, 0);
        assert_int_equal(after, before);
    }
}

static void test_next_at_the_cap_gives_the_frame(void **state)
{
    static const uint8_t header[] = {0, 4, 0, 0, 5};
    struct frame_buffer *buffer = *state;
    _cleanup_free_ uint8_t *body = calloc(1, WIRE_FRAME_MAX - 1);
    struct frame frame;

    assert_non_null(body);
    feed(buffer, header, sizeof(header));
    feed(buffer, body, WIRE_FRAME_MAX - 1);
    assert_int_equal(frame_buffer_next(buffer, &frame), 0);
    assert_int_equal(frame.body.len, WIRE_FRAME_MAX - 1);
}

static void test_reserve_takes_no_more_than_one_frame(void **state)
{
    static const uint8_t header[] = {0, 4, 0, 0};
    struct frame_buffer *buffer = *state;
    uint8_t *room = NULL;
    size_t room_len = 0;

    feed(buffer, header, sizeof(header));
    assert_int_equal(frame_buffer_reserve(buffer, &room, &room_len), 0);
    assert_int_equal(buffer->cap, WIRE_HEADER_LEN + WIRE_FRAME_MAX);
}

static void test_reserve_stays_small_over_many_frames(void **state)
{
    struct frame_buffer *buffer = *state;
    struct frame frame;

    for (int i = 0; i < 10000; i++) {
        feed(buffer, two_frames, sizeof(two_frames));
        assert_int_equal(frame_buffer_next(buffer, &frame), 0);
        assert_int_equal(frame_buffer_next(buffer, &frame), 0);
    }
    assert_true(buffer->cap <= 4096);
}

static void test_is_empty_only_between_frames(void **state)
{
    struct frame_buffer *buffer = *state;
    struct frame frame;

    assert_true(frame_buffer_is_empty(buffer));
    feed(buffer, two_frames, 7);
    assert_false(frame_buffer_is_empty(buffer));
    assert_int_equal(frame_buffer_next(buffer, &frame), 0);
    assert_true(frame_buffer_is_empty(buffer));
}

static void test_frame_parse_exact_packet_succeeds(void **state)
{
    struct frame frame;

    (void)state;
    assert_int_equal(frame_parse((struct wire_span){two_frames, 7}, &frame), 0);
    assert_int_equal(frame.type, 9);
    assert_span_equal(frame.body, WIRE_SPAN_LITERAL("ab"));
}

static const struct {
    const char *name;
    uint8_t bytes[8];
    size_t len;
} bad_packets[] = {
    {"empty", {0}, 0},
    {"header only", {0, 0, 0, 1}, 4},
    {"length zero", {0, 0, 0, 0, 1}, 5},
    {"one byte short", {0, 0, 0, 3, 1, 2}, 6},
    {"one byte over", {0, 0, 0, 1, 1, 2}, 6},
    {"largest length", {0xff, 0xff, 0xff, 0xff, 1}, 5},
};

static void test_frame_parse_inexact_packet_is_malformed(void **state)
{
    struct frame frame;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad_packets); i++) {
        struct wire_span packet = {bad_packets[i].bytes, bad_packets[i].len};
        if (frame_parse(packet, &frame) != WIRE_E_MALFORMED)
            fail_msg("%s: accepted", bad_packets[i].name);
    }
}

#define TEST_WITH_BUFFER(fn) cmocka_unit_test_setup_teardown(fn, setup_buffer, teardown_buffer)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH_BUFFER(test_next_empty_wants_more),
        TEST_WITH_BUFFER(test_next_every_prefix_wants_more),
        TEST_WITH_BUFFER(test_next_two_frames_in_one_read_gives_both),
        TEST_WITH_BUFFER(test_next_byte_by_byte_gives_the_same_frames),
        cmocka_unit_test(test_next_bad_length_is_malformed),
        cmocka_unit_test(test_reserve_after_bad_length_takes_no_memory_for_it),
        TEST_WITH_BUFFER(test_next_at_the_cap_gives_the_frame),
        TEST_WITH_BUFFER(test_reserve_takes_no_more_than_one_frame),
        TEST_WITH_BUFFER(test_reserve_stays_small_over_many_frames),
        TEST_WITH_BUFFER(test_is_empty_only_between_frames),
        cmocka_unit_test(test_frame_parse_exact_packet_succeeds),
        cmocka_unit_test(test_frame_parse_inexact_packet_is_malformed),
    };

    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
