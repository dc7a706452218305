/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of a message: RFC 4251 section 5 byte, boolean, uint32, uint64 and string, big-endian
 * and flat. One writer, one reader. Both fail stickily: after the first failure every further call
 * does nothing, and the caller looks once, at the end.
 */
#ifndef MTLS_COMMON_WIRE_H
#define MTLS_COMMON_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

/* Bytes of the type byte and the fields of one frame; the uint32 length before them is not counted.
 */
#define WIRE_FRAME_MAX (256u * 1024u)
#define WIRE_HEADER_LEN 4u

/* Positive answers of this module. */
enum {
    WIRE_E_MALFORMED = 1, /* the bytes are not a message of the expected form */
    WIRE_E_MORE,          /* the frame is not complete yet */
};

/* Borrowed bytes. Never owns, never NUL-terminated. */
struct wire_span {
    const uint8_t *data;
    size_t len;
};

#define WIRE_SPAN_LITERAL(text) ((struct wire_span){(const uint8_t *)(text), sizeof(text) - 1})

/* A growing output buffer of whole frames. `max` bounds what may be buffered in all. */
struct wire_writer {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t max;
    bool failed;
};

struct wire_reader {
    const uint8_t *at;
    size_t left;
    bool failed;
};

/**
 * wire_span_from_text() - a span over a C string
 * @text:       borrowed, NUL-terminated; NULL counts as empty
 */
struct wire_span wire_span_from_text(const char *text);

/** wire_span_is_equal() - same length and same bytes; not constant-time. */
bool wire_span_is_equal(struct wire_span a, struct wire_span b);

/**
 * wire_span_to_text() - a NUL-terminated copy, owned by the caller
 * @span:       borrowed; must not contain NUL (guaranteed by wire_get_text())
 *
 * Return: the copy, or NULL when memory is short.
 */
char *wire_span_to_text(struct wire_span span) _must_check_;

/**
 * wire_writer_init() - an empty buffer
 * @max:        most bytes it may ever hold; more is a sticky failure
 */
void wire_writer_init(struct wire_writer *writer, size_t max);
void wire_writer_deinit(struct wire_writer *writer);

/** wire_writer_reset() - forget content and failure, keep the memory. */
void wire_writer_reset(struct wire_writer *writer);

/** wire_writer_consume() - drop @len bytes from the front, e.g. those that were sent. */
void wire_writer_consume(struct wire_writer *writer, size_t len);

/**
 * wire_begin_frame() - start a frame: length to be filled in, type byte
 *
 * Return: a mark for wire_end_frame().
 */
size_t wire_begin_frame(struct wire_writer *writer, uint8_t type) _must_check_;

/**
 * wire_end_frame() - fill in the length
 *
 * A frame over WIRE_FRAME_MAX is a sticky failure. After a failure the frame is cut off again, so
 * that the buffer holds whole frames only.
 *
 * Return: 0, or WIRE_E_MALFORMED when the writer has failed since wire_begin_frame().
 */
int wire_end_frame(struct wire_writer *writer, size_t mark) _must_check_;

void wire_put_u8(struct wire_writer *writer, uint8_t value);
void wire_put_bool(struct wire_writer *writer, bool value);
void wire_put_u32(struct wire_writer *writer, uint32_t value);
void wire_put_u64(struct wire_writer *writer, uint64_t value);
/** wire_patch_u32() - write over the uint32 that was put at offset @at. */
void wire_patch_u32(struct wire_writer *writer, size_t at, uint32_t value);
void wire_put_string(struct wire_writer *writer, struct wire_span value);

/** wire_put_raw() - bytes as they are, without a length: for text that is built in a writer. */
void wire_put_raw(struct wire_writer *writer, const void *data, size_t len);

/** wire_begin_string() - a string whose fields follow; returns a mark for wire_end_string(). */
size_t wire_begin_string(struct wire_writer *writer) _must_check_;
void wire_end_string(struct wire_writer *writer, size_t mark);

void wire_reader_init(struct wire_reader *reader, struct wire_span bytes);

/** wire_reader_finish() - 0 when nothing failed and every byte was read, else WIRE_E_MALFORMED. */
int wire_reader_finish(const struct wire_reader *reader) _must_check_;

/* Getters give 0, false or an empty span after a failure. */
uint8_t wire_get_u8(struct wire_reader *reader);
bool wire_get_bool(struct wire_reader *reader); /* only 0 and 1 are booleans */
uint32_t wire_get_u32(struct wire_reader *reader);
uint64_t wire_get_u64(struct wire_reader *reader);

/** wire_get_string() - borrowed bytes of at most @max bytes. */
struct wire_span wire_get_string(struct wire_reader *reader, size_t max);

/** wire_get_fixed() - borrowed string that must have exactly @len bytes. */
struct wire_span wire_get_fixed(struct wire_reader *reader, size_t len);

/**
 * wire_get_text() - borrowed text of at most @max bytes: valid UTF-8 (RFC 3629) without NUL
 *
 * Control characters pass here; whoever shows a text escapes it (common/escape.h).
 */
struct wire_span wire_get_text(struct wire_reader *reader, size_t max);

static inline void cleanup_wire_writer(struct wire_writer *writer)
{
    wire_writer_deinit(writer);
}

#endif
