/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole core in the fuzzer's process: real agent, real connections over a socket pair, and a
 * token worker whose other end the fuzzer holds (worker_spawn() is wrapped by the linker). The loop
 * is turned by hand until nothing is left to do, so that every input runs the same way.
 */
#ifndef MTLS_TESTS_FUZZ_AGENT_H
#define MTLS_TESTS_FUZZ_AGENT_H

#include "agent/agent.h"
#include "common/frame.h"
#include "common/worker_protocol.h"

/* Keys of the inventory that fuzz_worker_answer() gives. */
enum fuzz_key {
    FUZZ_KEY_EC,
    FUZZ_KEY_ED25519,
    FUZZ_KEY_COUNT,
};

struct fuzz_agent {
    struct agent *agent;
    int client;        /* our end of the client's connection; -1: none */
    int worker;        /* our end of the worker's socket; -1: none */
    int helper;        /* our end of reader-watch's socket; -1: none */
    bool is_answering; /* the worker works: fuzz_agent_turn() answers for it */
    bool is_locked;    /* the token, since the core ended a login and until it asks for one */
    struct frame_buffer replies;
    size_t request_count; /* frames that were sent to the agent */
    size_t reply_count;   /* answers to requests that came back */
    uint32_t last_seq;    /* of the last SIGN that the worker got */
    uint8_t key_hash[FUZZ_KEY_COUNT][PROTOCOL_KEY_HASH_LEN];
};

/** fuzz_agent_init() - a fresh core with one module, whose worker has been started */
void fuzz_agent_init(struct fuzz_agent *fuzz);
void fuzz_agent_deinit(struct fuzz_agent *fuzz);

/** fuzz_agent_connect() - a client's connection in place of the one there was, HELLO not said */
void fuzz_agent_connect(struct fuzz_agent *fuzz);

/** fuzz_agent_say_hello() - HELLO, and the reply to it is awaited. */
void fuzz_agent_say_hello(struct fuzz_agent *fuzz);

/** fuzz_agent_send() - bytes from the client; with the read end of a pipe when @with_pipe. */
void fuzz_agent_send(struct fuzz_agent *fuzz, struct wire_span bytes, bool with_pipe);

/** fuzz_agent_send_sign() - a SIGN request of the right form for one of the keys */
void fuzz_agent_send_sign(struct fuzz_agent *fuzz, enum fuzz_key key, uint32_t id);

/** fuzz_agent_turn() - let the core work until it waits; checks everything that it sent. */
void fuzz_agent_turn(struct fuzz_agent *fuzz);

/** fuzz_agent_check_alive() - a new client gets an answer. */
void fuzz_agent_check_alive(struct fuzz_agent *fuzz);

/** fuzz_worker_send() - one packet from the worker */
void fuzz_worker_send(struct fuzz_agent *fuzz, struct wire_span packet);

/** fuzz_worker_send_inventory() - one token, both keys. @uses_pcsc: the token is in a reader. */
void fuzz_worker_send_inventory(struct fuzz_agent *fuzz, bool uses_pcsc);

/** fuzz_helper_send() - one packet from reader-watch, of which a fresh one is there. */
void fuzz_helper_send(struct fuzz_agent *fuzz, struct wire_span packet);

/** fuzz_helper_send_reader() - a report of the token's reader, or of none when @state is 0. */
void fuzz_helper_send_reader(struct fuzz_agent *fuzz, uint8_t state, uint8_t counter);

/** fuzz_worker_close() - the worker dies */
void fuzz_worker_close(struct fuzz_agent *fuzz);

#endif
