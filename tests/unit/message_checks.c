/* SPDX-License-Identifier: Apache-2.0 */
/* Table walks over all messages, and the fixture; see message_checks.h. */
#include "message_checks.h"

#include <string.h>

#include "common/protocol.h"

/* The sample of one row as a frame; @writer owns the bytes. */
static struct frame sample_frame(const struct message_row *row, struct wire_writer *writer)
{
    struct frame frame = {0};

    wire_writer_init(writer, WIRE_HEADER_LEN + WIRE_FRAME_MAX);
    if (row->sample(writer) || frame_parse((struct wire_span){writer->data, writer->len}, &frame))
        fail_msg("%s: the sample is no frame", row->name);
    return frame;
}

/* Parses a copy with nothing readable behind it, so that a sanitizer sees an over-read. */
static int recode_copy(const struct message_row *row, struct wire_span body)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer out = {0};
    _cleanup_free_ uint8_t *copy = malloc(body.len ? body.len : 1);

    assert_non_null(copy);
    memcpy(copy, body.data, body.len);
    wire_writer_init(&out, 2 * WIRE_FRAME_MAX);
    return row->recode((struct wire_span){copy, body.len}, row->type, &out);
}

void test_messages_round_trip(void **state)
{
    const struct message_set *set = *state;

    for (size_t i = 0; i < *set->count; i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer in = {0};
        _cleanup_(cleanup_wire_writer) struct wire_writer out = {0};
        struct frame frame = sample_frame(&set->rows[i], &in);

        wire_writer_init(&out, WIRE_HEADER_LEN + WIRE_FRAME_MAX);
        int r = set->rows[i].recode(frame.body, frame.type, &out);
        if (r)
            fail_msg("%s: %d", set->rows[i].name, r);
        if (!wire_span_is_equal((struct wire_span){in.data, in.len},
                                (struct wire_span){out.data, out.len}))
            fail_msg("%s: other bytes came back", set->rows[i].name);
    }
}

void test_messages_truncated_are_refused(void **state)
{
    const struct message_set *set = *state;

    for (size_t i = 0; i < *set->count; i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer in = {0};
        struct frame frame = sample_frame(&set->rows[i], &in);

        for (size_t len = 0; len < frame.body.len; len++) {
            int r = recode_copy(&set->rows[i], (struct wire_span){frame.body.data, len});
            if (r != WIRE_E_MALFORMED)
                fail_msg("%s cut to %zu bytes: %d", set->rows[i].name, len, r);
        }
    }
}

void test_messages_with_trailing_byte_are_refused(void **state)
{
    const struct message_set *set = *state;

    for (size_t i = 0; i < *set->count; i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer in = {0};
        struct frame frame = sample_frame(&set->rows[i], &in);
        _cleanup_free_ uint8_t *longer = calloc(1, frame.body.len + 1);

        assert_non_null(longer);
        memcpy(longer, frame.body.data, frame.body.len);
        int r = recode_copy(&set->rows[i], (struct wire_span){longer, frame.body.len + 1});
        if (r != WIRE_E_MALFORMED)
            fail_msg("%s with a byte behind it: %d", set->rows[i].name, r);
    }
}

void test_messages_over_the_writers_bound_leave_nothing(void **state)
{
    const struct message_set *set = *state;

    for (size_t i = 0; i < *set->count; i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer in = {0};

        (void)sample_frame(&set->rows[i], &in);
        for (size_t max = 0; max < in.len; max++) {
            _cleanup_(cleanup_wire_writer) struct wire_writer small = {0};
            wire_writer_init(&small, max);
            if (set->rows[i].sample(&small) != WIRE_E_MALFORMED || small.len != 0)
                fail_msg("%s in %zu bytes: something was written", set->rows[i].name, max);
        }
    }
}

void test_messages_have_types_of_their_own(void **state)
{
    const struct message_set *set = *state;
    bool seen[256] = {false};

    for (size_t i = 0; i < *set->count; i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer in = {0};
        struct frame frame = sample_frame(&set->rows[i], &in);

        if (frame.type != set->rows[i].type || seen[frame.type])
            fail_msg("%s: type %u", set->rows[i].name, frame.type);
        seen[frame.type] = true;
    }
}

int message_setup_writer(void **state)
{
    struct wire_writer *writer = calloc(1, sizeof(*writer));

    if (!writer)
        return -1;
    wire_writer_init(writer, 4 * WIRE_FRAME_MAX);
    *state = writer;
    return 0;
}

int message_teardown_writer(void **state)
{
    struct wire_writer *writer = *state;

    wire_writer_deinit(writer);
    free(writer);
    return 0;
}

struct wire_span message_filler(size_t len)
{
    static uint8_t filler[PROTOCOL_DER_MAX + 1];

    assert_true(len <= sizeof(filler));
    memset(filler, 'a', len);
    return (struct wire_span){filler, len};
}

struct wire_span message_body(const struct wire_writer *writer)
{
    struct frame frame = {0};

    assert_int_equal(frame_parse((struct wire_span){writer->data, writer->len}, &frame), 0);
    return frame.body;
}
