/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream reader: however the bytes arrive, the same frames come out, the end is the same, and
 * no more memory is held than one frame needs. Input: one byte that seeds the chunking, the stream.
 */
#include <string.h>

#include "common/frame.h"
#include "fuzz.h"

#define FRAME_BUFFER_CAP_MAX (WIRE_HEADER_LEN + WIRE_FRAME_MAX)
#define FNV_OFFSET 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

/* What a reader saw: enough to compare two runs. */
struct outcome {
    uint64_t hash; /* over type, length and bytes of every frame */
    size_t count;
    bool is_malformed;
};

static void outcome_add(struct outcome *outcome, const void *data, size_t len)
{
    const uint8_t *at = data;

    for (size_t i = 0; i < len; i++)
        outcome->hash = (outcome->hash ^ at[i]) * FNV_PRIME;
}

static void take_frames(struct frame_buffer *buffer, struct outcome *outcome)
{
    struct frame frame;
    struct frame again;

    for (;;) {
        int r = frame_buffer_next(buffer, &frame);
        fuzz_check(r == 0 || r == WIRE_E_MORE || r == WIRE_E_MALFORMED);
        outcome->is_malformed = r == WIRE_E_MALFORMED;
        if (r)
            return;
        const uint8_t *packet = frame.body.data - 1 - WIRE_HEADER_LEN;
        size_t packet_len = WIRE_HEADER_LEN + 1 + frame.body.len;
        fuzz_check(frame_parse((struct wire_span){packet, packet_len}, &again) == 0);
        fuzz_check(again.type == frame.type && again.body.len == frame.body.len);
        outcome_add(outcome, packet, packet_len);
        outcome->count++;
    }
}

/* Feeds the stream in chunks: of whatever fits when @seed is 0, else of pseudo-random length. */
static struct outcome read_stream(const uint8_t *data, size_t size, uint32_t seed)
{
    struct frame_buffer buffer = FRAME_BUFFER_INIT;
    struct outcome outcome = {.hash = FNV_OFFSET};

    while (size > 0 && !outcome.is_malformed) {
        uint8_t *room = NULL;
        size_t room_len = 0;
        fuzz_check(frame_buffer_reserve(&buffer, &room, &room_len) == 0);
        fuzz_check(room_len >= 1 && buffer.cap <= FRAME_BUFFER_CAP_MAX);
        size_t step = size < room_len ? size : room_len;
        if (seed > 0) {
            seed = seed * 1664525u + 1013904223u;
            size_t chunk = 1 + (seed >> 24) % 32;
            step = chunk < step ? chunk : step;
        }
        memcpy(room, data, step);
        frame_buffer_commit(&buffer, step);
        data += step;
        size -= step;
        take_frames(&buffer, &outcome);
    }
    frame_buffer_deinit(&buffer);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct outcome whole = read_stream(data + 1, size - 1, 0);
    struct outcome pieces = read_stream(data + 1, size - 1, 1u + data[0]);
    fuzz_check(whole.hash == pieces.hash && whole.count == pieces.count);
    fuzz_check(whole.is_malformed == pieces.is_malformed);
    return 0;
}
