/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sign requests that wait for a person: to put a token in, or to give its PIN. A request is held
 * only where somebody can be told of it, for as long as `wait =` and its client allow; it belongs
 * to no module meanwhile, and goes to whichever has its key first.
 */
#ifndef MTLS_AGENT_HOLD_H
#define MTLS_AGENT_HOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/protocol.h"

struct agent;
struct keyring_key;
struct sign_request;

/* Part of a sign request. All zero: it is not held. */
struct hold {
    enum protocol_error_code code; /* what it is answered with when nothing comes of it; 0: none */
    uint64_t until_ms;             /* CLOCK_MONOTONIC */
    char *reason;                  /* names the token: one notice for all that wait for it; owned */
    char *text;                    /* what is waited for, for a person; owned */
    unsigned int round;            /* of looking at all held requests, when it was last looked at */
};

/**
 * hold_begin() - keep a request that no module can take now, and ask for the PIN of a locked token
 * @key:        as the keyring has it; what is needed of it is copied
 * @code:       PROTOCOL_E_TOKEN_GONE or PROTOCOL_E_LOCKED; of others none is held
 * @text:       why, and what to do
 *
 * The request is in no queue and with no worker. Return: true: it is held, and will be answered;
 * false: nobody can be told or asked, or nothing is to be waited for: answer it with *@code and
 * *@text, which may have become others.
 */
bool hold_begin(struct sign_request *request, const struct keyring_key *key,
                enum protocol_error_code *code, const char **text) _must_check_;

/** hold_is_held() - it waits for a person. */
bool hold_is_held(const struct sign_request *request);

/** hold_end() - it is answered, cancelled, or goes to a module. Fine for one that is not held. */
void hold_end(struct sign_request *request);

/** hold_review_soon() - keys or tokens have changed: look at all held requests from the loop. */
void hold_review_soon(struct agent *agent);

/** hold_init() - what hold_review_soon() needs. Return: 0, or -errno. */
int hold_init(struct agent *agent) _must_check_;
void hold_deinit(struct agent *agent);

/** hold_check_limit() - answer a request that has been held for as long as it may be. */
void hold_check_limit(struct sign_request *request, uint64_t now_ms);

/** hold_fail_all() - the agent ends: nobody need wait any longer. */
void hold_fail_all(struct agent *agent);

#endif
