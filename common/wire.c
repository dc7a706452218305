/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Field reader and writer, RFC 4251 section 5. Lengths are compared as `len > left`, never as
 * pointer sums; the writer grows with checked arithmetic up to its stated bound.
 */
#include "common/wire.h"

#include <string.h>

#include "common/utf8.h"

struct wire_span wire_span_from_text(const char *text)
{
    return (struct wire_span){(const uint8_t *)text, text ? strlen(text) : 0};
}

bool wire_span_is_equal(struct wire_span a, struct wire_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

char *wire_span_to_text(struct wire_span span)
{
    char *text = malloc(span.len + 1);

    if (!text)
        return NULL;
    if (span.len > 0)
        memcpy(text, span.data, span.len);
    text[span.len] = '\0';
    return text;
}

void wire_writer_init(struct wire_writer *writer, size_t max)
{
    *writer = (struct wire_writer){.max = max};
}

void wire_writer_deinit(struct wire_writer *writer)
{
    free(writer->data);
    *writer = (struct wire_writer){0};
}

void wire_writer_reset(struct wire_writer *writer)
{
    writer->len = 0;
    writer->failed = false;
}

void wire_writer_consume(struct wire_writer *writer, size_t len)
{
    if (len >= writer->len) {
        writer->len = 0;
        return;
    }
    memmove(writer->data, writer->data + len, writer->len - len);
    writer->len -= len;
}

/* Room for @len more bytes; NULL and a sticky failure when there is none. */
static uint8_t *wire_extend(struct wire_writer *writer, size_t len)
{
    if (writer->failed || len > writer->max - writer->len) {
        writer->failed = true;
        return NULL;
    }
    if (len > writer->cap - writer->len) {
        size_t need = writer->len + len;
        size_t cap = writer->cap < 256 ? 256 : writer->cap;

        while (cap < need)
            cap = cap > writer->max / 2 ? writer->max : cap * 2;
        uint8_t *data = realloc(writer->data, cap);
        if (!data) {
            writer->failed = true;
            return NULL;
        }
        writer->data = data;
        writer->cap = cap;
    }
    uint8_t *at = writer->data + writer->len;
    writer->len += len;
    return at;
}

static void wire_store_u32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

size_t wire_begin_frame(struct wire_writer *writer, uint8_t type)
{
    size_t mark = writer->len;

    wire_put_u32(writer, 0);
    wire_put_u8(writer, type);
    return mark;
}

int wire_end_frame(struct wire_writer *writer, size_t mark)
{
    if (!writer->failed && writer->len - mark - WIRE_HEADER_LEN > WIRE_FRAME_MAX)
        writer->failed = true;
    if (writer->failed) {
        writer->len = mark;
        return WIRE_E_MALFORMED;
    }
    wire_store_u32(writer->data + mark, (uint32_t)(writer->len - mark - WIRE_HEADER_LEN));
    return 0;
}

void wire_put_u8(struct wire_writer *writer, uint8_t value)
{
    uint8_t *at = wire_extend(writer, 1);

    if (at)
        *at = value;
}

void wire_put_bool(struct wire_writer *writer, bool value)
{
    wire_put_u8(writer, value ? 1 : 0);
}

void wire_put_u32(struct wire_writer *writer, uint32_t value)
{
    uint8_t *at = wire_extend(writer, 4);

    if (at)
        wire_store_u32(at, value);
}

void wire_patch_u32(struct wire_writer *writer, size_t at, uint32_t value)
{
    if (!writer->failed)
        wire_store_u32(writer->data + at, value);
}

void wire_put_u64(struct wire_writer *writer, uint64_t value)
{
    wire_put_u32(writer, (uint32_t)(value >> 32));
    wire_put_u32(writer, (uint32_t)value);
}

void wire_put_string(struct wire_writer *writer, struct wire_span value)
{
    if (value.len > WIRE_FRAME_MAX) {
        writer->failed = true;
        return;
    }
    wire_put_u32(writer, (uint32_t)value.len);
    wire_put_raw(writer, value.data, value.len);
}

void wire_put_raw(struct wire_writer *writer, const void *data, size_t len)
{
    uint8_t *at = wire_extend(writer, len);

    if (at && len > 0)
        memcpy(at, data, len);
}

size_t wire_begin_string(struct wire_writer *writer)
{
    size_t mark = writer->len;

    wire_put_u32(writer, 0);
    return mark;
}

void wire_end_string(struct wire_writer *writer, size_t mark)
{
    wire_patch_u32(writer, mark, (uint32_t)(writer->len - mark - 4));
}

void wire_reader_init(struct wire_reader *reader, struct wire_span bytes)
{
    *reader = (struct wire_reader){.at = bytes.data, .left = bytes.len};
}

int wire_reader_finish(const struct wire_reader *reader)
{
    return reader->failed || reader->left > 0 ? WIRE_E_MALFORMED : 0;
}

/* The next @len bytes, or NULL and a sticky failure. */
static const uint8_t *wire_advance(struct wire_reader *reader, size_t len)
{
    if (reader->failed || len > reader->left) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *at = reader->at;
    reader->at += len;
    reader->left -= len;
    return at;
}

uint8_t wire_get_u8(struct wire_reader *reader)
{
    const uint8_t *at = wire_advance(reader, 1);

    return at ? *at : 0;
}

bool wire_get_bool(struct wire_reader *reader)
{
    uint8_t value = wire_get_u8(reader);

    if (value > 1) {
        reader->failed = true;
        return false;
    }
    return value == 1;
}

uint32_t wire_get_u32(struct wire_reader *reader)
{
    const uint8_t *at = wire_advance(reader, 4);

    if (!at)
        return 0;
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

uint64_t wire_get_u64(struct wire_reader *reader)
{
    uint64_t high = wire_get_u32(reader);
    uint64_t low = wire_get_u32(reader);

    return reader->failed ? 0 : high << 32 | low;
}

struct wire_span wire_get_string(struct wire_reader *reader, size_t max)
{
    uint32_t len = wire_get_u32(reader);

    if (reader->failed || len > max) {
        reader->failed = true;
        return (struct wire_span){0};
    }
    const uint8_t *at = wire_advance(reader, len);
    return at ? (struct wire_span){at, len} : (struct wire_span){0};
}

struct wire_span wire_get_fixed(struct wire_reader *reader, size_t len)
{
    struct wire_span span = wire_get_string(reader, len);

    if (!reader->failed && span.len != len) {
        reader->failed = true;
        return (struct wire_span){0};
    }
    return span;
}

struct wire_span wire_get_text(struct wire_reader *reader, size_t max)
{
    struct wire_span span = wire_get_string(reader, max);

    if (!reader->failed && !utf8_is_valid_text(span.data, span.len)) {
        reader->failed = true;
        return (struct wire_span){0};
    }
    return span;
}
