/* SPDX-License-Identifier: Apache-2.0 */
/* Table walks over all messages; see message_checks.h. */
#include "message_checks.h"

#include <string.h>

#include "unit.h"

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

void check_round_trip(const struct message_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer in = {0};
        _cleanup_(cleanup_wire_writer) struct wire_writer out = {0};
        struct frame frame = sample_frame(&rows[i], &in);

        wire_writer_init(&out, WIRE_HEADER_LEN + WIRE_FRAME_MAX);
        int r = rows[i].recode(frame.body, frame.type, &out);
        if (r)
            fail_msg("%s: %d", rows[i].name, r);
        if (!wire_span_is_equal((struct wire_span){in.data, in.len},
                                (struct wire_span){out.data, out.len}))
            fail_msg("%s: other bytes came back", rows[i].name);
    }
}

void check_truncation(const struct message_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer in = {0};
        struct frame frame = sample_frame(&rows[i], &in);

        for (size_t len = 0; len < frame.body.len; len++) {
            int r = recode_copy(&rows[i], (struct wire_span){frame.body.data, len});
            if (r != WIRE_E_MALFORMED)
                fail_msg("%s cut to %zu bytes: %d", rows[i].name, len, r);
        }
    }
}

void check_trailing_byte(const struct message_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer in = {0};
        struct frame frame = sample_frame(&rows[i], &in);
        _cleanup_free_ uint8_t *longer = calloc(1, frame.body.len + 1);

        assert_non_null(longer);
        memcpy(longer, frame.body.data, frame.body.len);
        int r = recode_copy(&rows[i], (struct wire_span){longer, frame.body.len + 1});
        if (r != WIRE_E_MALFORMED)
            fail_msg("%s with a byte behind it: %d", rows[i].name, r);
    }
}

void check_writer_bound(const struct message_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer in = {0};

        (void)sample_frame(&rows[i], &in);
        for (size_t max = 0; max < in.len; max++) {
            _cleanup_(cleanup_wire_writer) struct wire_writer small = {0};
            wire_writer_init(&small, max);
            if (rows[i].sample(&small) != WIRE_E_MALFORMED || small.len != 0)
                fail_msg("%s in %zu bytes: something was written", rows[i].name, max);
        }
    }
}

void check_type_byte(const struct message_row *rows, size_t count)
{
    bool seen[256] = {false};

    for (size_t i = 0; i < count; i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer in = {0};
        struct frame frame = sample_frame(&rows[i], &in);

        if (frame.type != rows[i].type || seen[frame.type])
            fail_msg("%s: type %u", rows[i].name, frame.type);
        seen[frame.type] = true;
    }
}
