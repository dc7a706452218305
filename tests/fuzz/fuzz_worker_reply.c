/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core as the victim of its worker and of reader-watch: whatever packets come from there, in
 * whatever order, the core stays, no client gets anything but a signature of the right form or an
 * error, and the next client is served. Input: steps (fuzz_ops.h).
 */
#include "fuzz.h"
#include "fuzz_agent.h"
#include "fuzz_ops.h"

#include "common/reader_protocol.h"

static void send_message(struct fuzz_agent *fuzz, uint8_t type, const uint32_t *seq,
                         struct wire_span rest)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};

    wire_writer_init(&writer, 2 * WIRE_FRAME_MAX);
    size_t mark = wire_begin_frame(&writer, type);
    if (seq)
        wire_put_u32(&writer, *seq);
    for (size_t i = 0; i < rest.len; i++)
        wire_put_u8(&writer, rest.data[i]);
    if (wire_end_frame(&writer, mark) == 0)
        fuzz_worker_send(fuzz, (struct wire_span){writer.data, writer.len});
}

static void send_report(struct fuzz_agent *fuzz, struct wire_span body)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};

    wire_writer_init(&writer, WIRE_HEADER_LEN + WIRE_FRAME_MAX);
    size_t mark = wire_begin_frame(&writer, READER_REPORT);
    wire_put_raw(&writer, body.data, body.len);
    if (wire_end_frame(&writer, mark) == 0)
        fuzz_helper_send(fuzz, (struct wire_span){writer.data, writer.len});
}

static void do_step(struct fuzz_agent *fuzz, uint8_t op, struct wire_span payload)
{
    switch (op % HOSTILE_STEP_COUNT) {
    case HOSTILE_PACKET:
        fuzz_worker_send(fuzz, payload);
        break;
    case HOSTILE_MESSAGE:
        if (payload.len > 0)
            send_message(fuzz, payload.data[0], NULL,
                         (struct wire_span){payload.data + 1, payload.len - 1});
        break;
    case HOSTILE_SIGN_REPLY:
        send_message(fuzz, WORKER_SIGN_REPLY, &fuzz->last_seq, payload);
        break;
    case HOSTILE_INVENTORY:
        fuzz_worker_send_inventory(fuzz, false);
        break;
    case HOSTILE_SIGN:
        fuzz_agent_send_sign(fuzz, payload.len % FUZZ_KEY_COUNT, 1 + (uint32_t)payload.len);
        break;
    case HOSTILE_DIE:
        fuzz_worker_close(fuzz);
        break;
    case HOSTILE_TURN:
        break;
    case HOSTILE_CLIENT_LEAVES:
        fuzz_agent_connect(fuzz);
        fuzz_agent_say_hello(fuzz);
        break;
    case HOSTILE_READER_PACKET:
        fuzz_helper_send(fuzz, payload);
        break;
    case HOSTILE_READER_REPORT:
        send_report(fuzz, payload);
        break;
    case HOSTILE_READER:
        fuzz_helper_send_reader(fuzz, payload.len > 0 ? payload.data[0] : 0,
                                payload.len > 1 ? payload.data[1] : 0);
        break;
    case HOSTILE_PCSC:
        fuzz_worker_send_inventory(fuzz, true);
        break;
    }
    fuzz_agent_turn(fuzz);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_span input = {data, size};
    struct wire_span payload;
    struct fuzz_agent fuzz;
    uint8_t op = 0;

    fuzz_agent_init(&fuzz);
    fuzz_agent_connect(&fuzz);
    fuzz_agent_say_hello(&fuzz);
    for (int i = 0; i < FUZZ_OPS_MAX && fuzz_next_op(&input, &op, &payload); i++)
        do_step(&fuzz, op, payload);
    fuzz_agent_check_alive(&fuzz);
    fuzz_agent_deinit(&fuzz);
    return 0;
}
