/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The field reader: spans stay inside the bytes, a failure sticks, and what was read, written
 * again, gives the same bytes. Input: one byte N, N bytes that each name a getter, the fields.
 */
#include <string.h>

#include "common/utf8.h"
#include "common/wire.h"
#include "fuzz.h"

enum getter {
    GET_U8,
    GET_BOOL,
    GET_U32,
    GET_U64,
    GET_STRING,
    GET_FIXED,
    GET_TEXT,
    GETTER_COUNT,
};

static void check_span(struct wire_span span, struct wire_span bytes)
{
    if (span.len > 0)
        fuzz_check(span.data >= bytes.data && span.len <= bytes.len &&
                   (size_t)(span.data - bytes.data) <= bytes.len - span.len);
}

/* Reads one field and writes it to @writer. */
static void copy_field(uint8_t op, struct wire_span bytes, struct wire_reader *reader,
                       struct wire_writer *writer)
{
    size_t max = op / GETTER_COUNT * 8u;
    struct wire_span span = {0};

    switch (op % GETTER_COUNT) {
    case GET_U8:
        wire_put_u8(writer, wire_get_u8(reader));
        return;
    case GET_BOOL:
        wire_put_bool(writer, wire_get_bool(reader));
        return;
    case GET_U32:
        wire_put_u32(writer, wire_get_u32(reader));
        return;
    case GET_U64:
        wire_put_u64(writer, wire_get_u64(reader));
        return;
    case GET_STRING:
        span = wire_get_string(reader, max);
        fuzz_check(span.len <= max);
        break;
    case GET_FIXED:
        span = wire_get_fixed(reader, max);
        fuzz_check(reader->failed || span.len == max);
        break;
    case GET_TEXT:
        span = wire_get_text(reader, WIRE_FRAME_MAX);
        fuzz_check(utf8_is_valid_text(span.data, span.len));
        break;
    }
    check_span(span, bytes);
    wire_put_string(writer, span);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
    struct wire_reader reader;

    if (size < 1 || data[0] >= size)
        return 0;
    const uint8_t *ops = data + 1;
    struct wire_span bytes = {ops + data[0], size - 1 - data[0]};
    wire_reader_init(&reader, bytes);
    wire_writer_init(&writer, 1024 * 1024);
    for (size_t i = 0; i < data[0]; i++) {
        bool had_failed = reader.failed;
        size_t left = reader.left;
        size_t written = writer.len;
        copy_field(ops[i], bytes, &reader, &writer);
        fuzz_check(!had_failed || (reader.failed && reader.left == left));
        if (reader.failed) {
            fuzz_check(wire_reader_finish(&reader) == WIRE_E_MALFORMED);
            writer.len = written; /* what a failed getter gives is not part of the copy */
        }
    }
    fuzz_check(!writer.failed && writer.len <= bytes.len);
    fuzz_check(writer.len == 0 || memcmp(writer.data, bytes.data, writer.len) == 0);
    return 0;
}
