/* SPDX-License-Identifier: Apache-2.0 */
/* Incremental frame assembly; see frame.h. */
#include "common/frame.h"

#include <string.h>

#define FRAME_BUFFER_STEP 4096u

_Static_assert(WIRE_FRAME_MAX <= UINT32_MAX, "a frame's length is a uint32");

void frame_buffer_deinit(struct frame_buffer *buffer)
{
    free(buffer->data);
    *buffer = FRAME_BUFFER_INIT;
}

static uint32_t frame_load_length(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool frame_length_is_valid(uint32_t len)
{
    return len >= 1 && len <= WIRE_FRAME_MAX;
}

/* Bytes that the frame at the front needs in all; a bare step while its length is not known. */
static size_t frame_buffer_wanted(const struct frame_buffer *buffer)
{
    size_t held = buffer->end - buffer->start;

    if (held < WIRE_HEADER_LEN)
        return FRAME_BUFFER_STEP;
    uint32_t len = frame_load_length(buffer->data + buffer->start);
    if (!frame_length_is_valid(len))
        return held + 1;
    return WIRE_HEADER_LEN + len;
}

int frame_buffer_reserve(struct frame_buffer *buffer, uint8_t **ret_room, size_t *ret_len)
{
    size_t held = buffer->end - buffer->start;

    if (buffer->start > 0) {
        if (held > 0)
            memmove(buffer->data, buffer->data + buffer->start, held);
        buffer->start = 0;
        buffer->end = held;
    }
    size_t wanted = frame_buffer_wanted(buffer);
    if (wanted <= held)
        wanted = held + 1;
    if (wanted < FRAME_BUFFER_STEP)
        wanted = FRAME_BUFFER_STEP;
    if (wanted > buffer->cap) {
        uint8_t *data = realloc(buffer->data, wanted);
        if (!data)
            return -ENOMEM;
        buffer->data = data;
        buffer->cap = wanted;
    }
    *ret_room = buffer->data + buffer->end;
    *ret_len = buffer->cap - buffer->end;
    return 0;
}

void frame_buffer_commit(struct frame_buffer *buffer, size_t len)
{
    buffer->end += len;
}

int frame_buffer_next(struct frame_buffer *buffer, struct frame *ret_frame)
{
    size_t held = buffer->end - buffer->start;

    if (held < WIRE_HEADER_LEN)
        return WIRE_E_MORE;
    const uint8_t *at = buffer->data + buffer->start;
    uint32_t len = frame_load_length(at);
    if (!frame_length_is_valid(len))
        return WIRE_E_MALFORMED;
    if (held - WIRE_HEADER_LEN < len)
        return WIRE_E_MORE;
    *ret_frame = (struct frame){
        .type = at[WIRE_HEADER_LEN],
        .body = {at + WIRE_HEADER_LEN + 1, len - 1},
    };
    buffer->start += WIRE_HEADER_LEN + len;
    return 0;
}

bool frame_buffer_is_empty(const struct frame_buffer *buffer)
{
    return buffer->start == buffer->end;
}

int frame_parse(struct wire_span packet, struct frame *ret_frame)
{
    if (packet.len < WIRE_HEADER_LEN + 1)
        return WIRE_E_MALFORMED;
    uint32_t len = frame_load_length(packet.data);
    if (!frame_length_is_valid(len) || packet.len - WIRE_HEADER_LEN != len)
        return WIRE_E_MALFORMED;
    *ret_frame = (struct frame){
        .type = packet.data[WIRE_HEADER_LEN],
        .body = {packet.data + WIRE_HEADER_LEN + 1, len - 1},
    };
    return 0;
}
