/* SPDX-License-Identifier: Apache-2.0 */
/* An input as a list of steps: one byte that names the step, a length of two bytes, a payload. */
#ifndef MTLS_TESTS_FUZZ_OPS_H
#define MTLS_TESTS_FUZZ_OPS_H

#include "common/wire.h"

#define FUZZ_OPS_MAX 64 /* steps of one input: longer ones show nothing new and are slow */

/* Steps of fuzz_dispatch.c. */
enum dispatch_step {
    DISPATCH_SEND,
    DISPATCH_SEND_AND_TURN,
    DISPATCH_SEND_WITH_PIPE,
    DISPATCH_TURN,
    DISPATCH_SIGN,
    DISPATCH_HELLO,
    DISPATCH_CONNECT,
    DISPATCH_SEND_FRAME, /* the payload is type and body; the length is put before it */
    DISPATCH_STEP_COUNT,
};

/* Steps of fuzz_worker_reply.c. */
enum hostile_step {
    HOSTILE_PACKET,     /* the payload, as it is */
    HOSTILE_MESSAGE,    /* type and body; the length is put before it */
    HOSTILE_SIGN_REPLY, /* the payload behind the right sequence number */
    HOSTILE_INVENTORY,
    HOSTILE_SIGN,
    HOSTILE_DIE,
    HOSTILE_TURN,
    HOSTILE_CLIENT_LEAVES,
    HOSTILE_READER_PACKET, /* the payload, as it is, from reader-watch */
    HOSTILE_READER_REPORT, /* the payload in reader-watch's only message */
    HOSTILE_READER,        /* the token's reader: its state and counter are in the payload */
    HOSTILE_PCSC,          /* an inventory of a module that uses readers */
    HOSTILE_STEP_COUNT,
};

/* Steps of fuzz_module.c. */
enum module_step {
    MODULE_WORLD, /* what the agent has changes */
    MODULE_SLOTS,
    MODULE_OPEN,
    MODULE_CLOSE,
    MODULE_LOGIN,
    MODULE_FIND,
    MODULE_ATTRIBUTES,
    MODULE_SIGN_INIT,
    MODULE_SIGN,
    MODULE_VERIFY_INIT,
    MODULE_VERIFY,
    MODULE_DIGEST,
    MODULE_EVENT,
    MODULE_CANCEL,
    MODULE_RESTART,
    MODULE_STEP_COUNT,
};

/** fuzz_next_op() - take a step off @input; a payload that is cut is as long as what is there. */
static inline bool fuzz_next_op(struct wire_span *input, uint8_t *ret_op,
                                struct wire_span *ret_payload)
{
    if (input->len < 3)
        return false;
    size_t len = (size_t)input->data[1] << 8 | input->data[2];
    if (len > input->len - 3)
        len = input->len - 3;
    *ret_op = input->data[0];
    *ret_payload = (struct wire_span){input->data + 3, len};
    *input = (struct wire_span){input->data + 3 + len, input->len - 3 - len};
    return true;
}

#endif
