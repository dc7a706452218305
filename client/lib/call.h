/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its reply, over the connection that all threads of a handle share. Requests are
 * pipelined. Of the threads that wait, one reads and hands out what comes, and passes that role on
 * when its own reply is there; the library needs no thread of its own.
 *
 * When a request is sent again over a new connection (three attempts in all: the connection that
 * died while idle, one that an agent on its way out still let in, and its successor):
 *   - the kernel had not taken the whole frame: no agent can have read it;
 *   - the connection was reset, and no later frame was begun on it. An agent that closes a Unix
 *     socket without having read everything resets it, so the end of this frame was not read;
 *   - the request changes nothing.
 * A plain end of the connection is different: the agent read the request before it closed, so a
 * signature may have been made, or a PIN tried. That is MTLS_AGENT_E_CONNECTION.
 */
#ifndef MTLS_CLIENT_CALL_H
#define MTLS_CLIENT_CALL_H

#include "client/lib/agent.h"

struct call;

/* What one kind of request is. Both functions run with the handle's lock and must not block. */
struct call_type {
    uint8_t reply;      /* enum protocol_type of the answer */
    bool is_idempotent; /* may be carried out twice */
    /* appends one frame, which the caller made sure is not too long: fails without memory alone */
    int (*encode)(struct wire_writer *writer, const struct call *call);
    /* 0; MTLS_AGENT_E_PROTOCOL when the body is not a reply, which ends the connection; another
     * code when only this call fails. It fills call->error in the second case. */
    int (*handle_reply)(struct call *call, struct wire_span body);
};

struct call {
    const struct call_type *type;
    void *context; /* of the type's functions */
    int pass_fd;   /* travels with the request; -1: none. Borrowed. */
    struct mtls_agent_error *error;

    uint32_t id; /* for encode */
    uint64_t deadline_us;

    /* private to call.c */
    int code;
    bool is_sent;
    bool is_done;
    bool may_retry;
    bool is_listed;
    pthread_cond_t changed;
    struct call *next;
    struct call *previous;
};

/**
 * call_run() - send the request, wait for the reply, have it handled
 * @call:       type, context, pass_fd and error are set, the rest is zero
 *
 * Blocks until the handle's deadline at most, counted from here.
 * Return: 0, or enum mtls_agent_code with call->error filled.
 */
int call_run(struct mtls_agent *agent, struct call *call) _must_check_;

/**
 * call_run_until() - the same, with a deadline that several calls share
 * @deadline_us: on CLOCK_MONOTONIC
 */
int call_run_until(struct mtls_agent *agent, struct call *call, uint64_t deadline_us) _must_check_;

#endif
