/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one SIGN: admitted by the policy, hashed, queued, with a worker, answered, audited.
 * It may outlive its connection: a signature that a token is already making is audited all the
 * same.
 */
#ifndef MTLS_AGENT_SIGN_REQUEST_H
#define MTLS_AGENT_SIGN_REQUEST_H

#include "agent/fair_queue.h"
#include "agent/hold.h"
#include "agent/peer.h"
#include "agent/request.h"
#include "common/protocol.h"
#include "common/worker_protocol.h"

#define SIGN_REQUEST_DEADLINE_MS 120000u /* the agent's own limit */

struct agent;
struct keyring_key;
struct module;
struct pin_source;

struct sign_request {
    struct request request; /* its place in its connection */
    struct fair_item item;  /* its place in the module's queue */
    struct list link;       /* in agent->sign_requests */
    struct agent *agent;
    struct module *module;  /* NULL while it is held */
    uint64_t held_until_ms; /* when it has waited for people long enough; 0: it never did */
    struct hold hold;
    struct peer *peer; /* a reference */
    uint8_t key_hash[PROTOCOL_KEY_HASH_LEN];
    unsigned int key_bits;
    char *key_name;
    char *token_label; /* of the token that it is meant for, or waits for */
    char *token_serial;
    const struct scheme *scheme;
    uint32_t kind;
    uint64_t received_us;
    uint64_t deadline_ms;  /* CLOCK_MONOTONIC */
    unsigned int attempts; /* how often it was with a worker */
    unsigned int moves;    /* how often a module gave it back */
    bool is_with_worker;
    uint32_t worker_token; /* the worker's number of the token that is, or was, asked */
    bool is_told;          /* that it may wait for a touch */
    bool is_answered;      /* the client has its reply, or left; only the audit line is due */
    /* Of an always-authenticate key; module_context.c. */
    struct pin_source *pin_source;
    struct list pin_link;        /* in its module's context_requests or context_sources */
    struct module *pin_module;   /* whose token's PIN it is: @module, or NULL */
    size_t pin_token;            /* place of that token in module->tokens */
    bool pin_is_told;            /* people are told to type it at the reader */
    enum worker_tries pin_tries; /* which tries its PIN may cost */
    bool pin_is_kept;            /* it got the token's kept PIN */
    bool pin_is_typed;           /* a person types it at the reader */
    bool waits_for_pin;          /* it is asked for, or will be: the request is in no queue */
    uint8_t digest[DIGEST_LEN_MAX];
    size_t data_len;
    uint8_t *message; /* instead of a digest, where the scheme takes the message */
};

struct connection;

/**
 * sign_request_start() - handle one SIGN message
 *
 * Answers at once when it is refused; else the answer comes later.
 * Return: 0, or -errno.
 */
int sign_request_start(struct connection *connection,
                       const struct protocol_sign *message) _must_check_;

/** sign_request_set_token() - from now on it is this token that it waits for. Return: 0, or
 * -ENOMEM. */
int sign_request_set_token(struct sign_request *request,
                           const struct worker_token *token) _must_check_;

/** sign_request_get_token() - label and serial of the token that it is meant for. Borrows. */
struct worker_token sign_request_get_token(const struct sign_request *request);

/** sign_request_get_data() - what the worker is to sign: the digest, or the message. */
struct wire_span sign_request_get_data(const struct sign_request *request);

/** sign_request_succeed() - answer, audit, free. The signature's form is checked first. */
void sign_request_succeed(struct sign_request *request, struct wire_span signature);

/**
 * sign_request_fail() - answer with an error, audit, free
 * @text:       a sentence for a person
 */
void sign_request_fail(struct sign_request *request, enum protocol_error_code code,
                       const char *text);

/** sign_request_enqueue() - into the queue of a module; its client is there. */
void sign_request_enqueue(struct sign_request *request, struct module *module);

/**
 * sign_request_move() - to another module that can sign with the key now
 *
 * The token has not begun with it. It is in no queue. Return: false when there is none.
 */
bool sign_request_move(struct sign_request *request);

/**
 * sign_request_give_back() - its module cannot take it: another may, or it waits for a person
 * @code, @text: the answer when neither is possible
 *
 * The token has not begun with it. It is in no queue.
 */
void sign_request_give_back(struct sign_request *request, enum protocol_error_code code,
                            const char *text);

/** sign_request_expire() - its deadline is over: answer now; free unless a worker still has it. */
void sign_request_expire(struct sign_request *request);

#endif
