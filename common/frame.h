/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cuts a byte stream into frames: uint32 length, type byte, fields. Bytes in, frames out; it knows
 * no socket. The announced length is checked against WIRE_FRAME_MAX before memory is taken for it.
 */
#ifndef MTLS_COMMON_FRAME_H
#define MTLS_COMMON_FRAME_H

#include "common/wire.h"

/* One frame, borrowed from the buffer until the next call on it. */
struct frame {
    uint8_t type;
    struct wire_span body; /* the fields after the type byte */
};

struct frame_buffer {
    uint8_t *data;
    size_t start; /* first byte not yet handed out */
    size_t end;   /* one past the last byte received */
    size_t cap;
};

#define FRAME_BUFFER_INIT ((struct frame_buffer){0})

void frame_buffer_deinit(struct frame_buffer *buffer);

/**
 * frame_buffer_reserve() - room for bytes to be received
 * @ret_room:   filled with the start of the room
 * @ret_len:    filled with its size in bytes: at least 1, never past the frame that is being read
 *              plus one page
 *
 * Invalidates frames handed out before.
 * Return: 0, or -ENOMEM.
 */
int frame_buffer_reserve(struct frame_buffer *buffer, uint8_t **ret_room,
                         size_t *ret_len) _must_check_;

/** frame_buffer_commit() - @len bytes of the reserved room were filled. */
void frame_buffer_commit(struct frame_buffer *buffer, size_t len);

/**
 * frame_buffer_next() - the next whole frame
 *
 * Return: 0 with *ret_frame filled; WIRE_E_MORE when bytes are missing; WIRE_E_MALFORMED when the
 * announced length is 0 or over WIRE_FRAME_MAX: the stream cannot be read any further.
 */
int frame_buffer_next(struct frame_buffer *buffer, struct frame *ret_frame) _must_check_;

/** frame_buffer_is_empty() - no byte of an unfinished frame is held. */
bool frame_buffer_is_empty(const struct frame_buffer *buffer);

/**
 * frame_parse() - a packet that must be exactly one frame
 *
 * For transports that keep message borders.
 * Return: 0, or WIRE_E_MALFORMED.
 */
int frame_parse(struct wire_span packet, struct frame *ret_frame) _must_check_;

#endif
