/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dispatcher over a worker that works: whatever a client sends, the core stays, answers in the
 * protocol's form, never more often than it was asked, and serves the next client. Input: steps
 * (fuzz_ops.h).
 */
#include "fuzz.h"
#include "fuzz_agent.h"
#include "fuzz_ops.h"

static void send_frame(struct fuzz_agent *fuzz, struct wire_span message)
{
    uint8_t length[WIRE_HEADER_LEN] = {0, 0, (uint8_t)(message.len >> 8), (uint8_t)message.len};

    fuzz_agent_send(fuzz, (struct wire_span){length, sizeof(length)}, false);
    fuzz_agent_send(fuzz, message, false);
    fuzz_agent_turn(fuzz);
}

static void do_step(struct fuzz_agent *fuzz, uint8_t op, struct wire_span payload)
{
    switch (op % DISPATCH_STEP_COUNT) {
    case DISPATCH_SEND:
        fuzz_agent_send(fuzz, payload, false);
        break;
    case DISPATCH_SEND_AND_TURN:
        fuzz_agent_send(fuzz, payload, false);
        fuzz_agent_turn(fuzz);
        break;
    case DISPATCH_SEND_WITH_PIPE:
        fuzz_agent_send(fuzz, payload, true);
        fuzz_agent_turn(fuzz);
        break;
    case DISPATCH_TURN:
        fuzz_agent_turn(fuzz);
        break;
    case DISPATCH_SIGN:
        fuzz_agent_send_sign(fuzz, payload.len % FUZZ_KEY_COUNT, (uint32_t)payload.len);
        break;
    case DISPATCH_HELLO:
        fuzz_agent_say_hello(fuzz);
        break;
    case DISPATCH_CONNECT:
        fuzz_agent_connect(fuzz);
        break;
    case DISPATCH_SEND_FRAME:
        send_frame(fuzz, payload);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_span input = {data, size};
    struct wire_span payload;
    struct fuzz_agent fuzz;
    uint8_t op = 0;

    fuzz_agent_init(&fuzz);
    fuzz.is_answering = true;
    fuzz_agent_turn(&fuzz);
    fuzz_agent_connect(&fuzz);
    for (int i = 0; i < FUZZ_OPS_MAX && fuzz_next_op(&input, &op, &payload); i++)
        do_step(&fuzz, op, payload);
    fuzz_agent_turn(&fuzz);
    fuzz_agent_check_alive(&fuzz);
    fuzz_agent_deinit(&fuzz);
    return 0;
}
