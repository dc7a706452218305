/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec where size_t has 32 bits, without a test library: golden frames, every sample of both
 * protocols, every truncation, and lengths that would wrap. Usage: check_32bit GOLDEN_DIR
 */
#include <string.h>

#include "golden_frames.h"
#include "message_table.h"

_Static_assert(sizeof(size_t) == 4, "built with -m32");

static unsigned int failures;

static void expect(bool holds, const char *what, const char *which)
{
    if (holds)
        return;
    failures++;
    (void)fprintf(stderr, "%s: %s\n", which, what);
}

/* Parses an exact copy of @body and encodes it again. */
static int recode_copy(const struct message_row *row, struct wire_span body,
                       struct wire_writer *writer)
{
    _cleanup_free_ uint8_t *copy = malloc(body.len ? body.len : 1);

    if (!copy)
        return -ENOMEM;
    if (body.len > 0)
        memcpy(copy, body.data, body.len);
    wire_writer_reset(writer);
    return row->recode((struct wire_span){copy, body.len}, row->type, writer);
}

static void check_frame(const struct message_row *row, const char *name, struct wire_span packet)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
    struct frame frame = {0};

    wire_writer_init(&writer, WIRE_HEADER_LEN + WIRE_FRAME_MAX);
    expect(row != NULL, "has a row", name);
    expect(frame_parse(packet, &frame) == 0, "is one frame", name);
    if (!row || !frame.body.data)
        return;
    expect(recode_copy(row, frame.body, &writer) == 0, "parses", name);
    expect(wire_span_is_equal(packet, (struct wire_span){writer.data, writer.len}),
           "encodes to the same bytes", name);
    for (size_t len = 0; len < frame.body.len; len++)
        expect(recode_copy(row, (struct wire_span){frame.body.data, len}, &writer) ==
                   WIRE_E_MALFORMED,
               "is refused when cut", name);
}

static void check_samples(const struct message_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
        wire_writer_init(&writer, WIRE_HEADER_LEN + WIRE_FRAME_MAX);
        expect(rows[i].sample(&writer) == 0, "encodes", rows[i].name);
        check_frame(&rows[i], rows[i].name, (struct wire_span){writer.data, writer.len});
    }
}

static void check_golden(const char *dir)
{
    struct golden_frames frames;

    expect(golden_frames_load(dir, &frames) == 0, "loads", dir);
    expect(frames.count > 0, "has frames", dir);
    for (size_t i = 0; i < frames.count; i++)
        check_frame(message_find(client_messages, client_message_count, frames.frames[i].type),
                    frames.frames[i].name,
                    (struct wire_span){frames.frames[i].data, frames.frames[i].len});
    golden_frames_deinit(&frames);
}

/* Lengths at which a sum with a pointer or another length would wrap at 32 bits. */
static void check_wrapping_lengths(void)
{
    static const uint32_t lengths[] = {0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffffb, 0xffffffff};

    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        uint8_t bytes[8] = {(uint8_t)(lengths[i] >> 24), (uint8_t)(lengths[i] >> 16),
                            (uint8_t)(lengths[i] >> 8), (uint8_t)lengths[i]};
        struct wire_reader reader;
        struct frame frame;
        wire_reader_init(&reader, (struct wire_span){bytes, sizeof(bytes)});
        (void)wire_get_string(&reader, SIZE_MAX);
        expect(reader.failed, "string refused", "wrapping length");
        expect(frame_parse((struct wire_span){bytes, sizeof(bytes)}, &frame) == WIRE_E_MALFORMED,
               "frame refused", "wrapping length");
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s GOLDEN_DIR\n", argv[0]);
        return 2;
    }
    check_samples(client_messages, client_message_count);
    check_samples(worker_messages, worker_message_count);
    check_golden(argv[1]);
    check_wrapping_lengths();
    return failures ? 1 : 0;
}
