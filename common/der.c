/* SPDX-License-Identifier: Apache-2.0 */
/* Strict DER; see der.h. */
#include "common/der.h"

#define DER_CONTENT_MAX 0xffffu
#define DER_SHORT_MAX 0x7fu

static size_t der_get_length(struct wire_reader *reader)
{
    uint8_t first = wire_get_u8(reader);
    size_t len = first;
    size_t least = 0;

    if (first == 0x81) {
        len = wire_get_u8(reader);
        least = DER_SHORT_MAX + 1;
    } else if (first == 0x82) {
        len = (size_t)wire_get_u8(reader) << 8;
        len |= wire_get_u8(reader);
        least = 0x100;
    } else if (first > DER_SHORT_MAX) {
        reader->failed = true;
    }
    /* DER: the shortest form that holds the length */
    if (len < least)
        reader->failed = true;
    return len;
}

struct wire_span der_get(struct wire_reader *reader, uint8_t tag)
{
    if (wire_get_u8(reader) != tag)
        reader->failed = true;
    size_t len = der_get_length(reader);
    if (reader->failed || len > reader->left) {
        reader->failed = true;
        return (struct wire_span){0};
    }
    struct wire_span content = {reader->at, len};
    reader->at += len;
    reader->left -= len;
    return content;
}

struct wire_span der_get_whole(struct wire_reader *reader, uint8_t tag)
{
    const uint8_t *start = reader->at;

    (void)der_get(reader, tag);
    return (struct wire_span){start, reader->failed ? 0 : (size_t)(reader->at - start)};
}

bool der_next_is(const struct wire_reader *reader, uint8_t tag)
{
    return !reader->failed && reader->left > 0 && reader->at[0] == tag;
}

struct wire_span der_get_unsigned(struct wire_reader *reader)
{
    struct wire_span value = der_get(reader, DER_INTEGER);

    if (value.len == 0 || value.data[0] & 0x80) {
        reader->failed = true;
        return (struct wire_span){0};
    }
    if (value.len == 1 || value.data[0] != 0)
        return value;
    /* A leading zero is there for the sign alone. */
    if (!(value.data[1] & 0x80))
        reader->failed = true;
    return (struct wire_span){value.data + 1, value.len - 1};
}

struct wire_span der_get_bit_string(struct wire_reader *reader)
{
    struct wire_span value = der_get(reader, DER_BIT_STRING);

    if (value.len == 0 || value.data[0] != 0) {
        reader->failed = true;
        return (struct wire_span){0};
    }
    return (struct wire_span){value.data + 1, value.len - 1};
}

void der_put_raw(struct wire_writer *writer, struct wire_span der)
{
    for (size_t i = 0; i < der.len; i++)
        wire_put_u8(writer, der.data[i]);
}

void der_put(struct wire_writer *writer, uint8_t tag, struct wire_span content)
{
    if (content.len > DER_CONTENT_MAX) {
        writer->failed = true;
        return;
    }
    wire_put_u8(writer, tag);
    if (content.len > 0xff) {
        wire_put_u8(writer, 0x82);
        wire_put_u8(writer, (uint8_t)(content.len >> 8));
    } else if (content.len > DER_SHORT_MAX) {
        wire_put_u8(writer, 0x81);
    }
    wire_put_u8(writer, (uint8_t)content.len);
    der_put_raw(writer, content);
}
