/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real token-worker, started over a socket pair exactly as the core does it, and the core's half
 * of the conversation. Every wait ends: what is not there after 20 seconds is a failed assertion.
 */
#ifndef MTLS_TESTS_WORKER_PROCESS_H
#define MTLS_TESTS_WORKER_PROCESS_H

#include <sys/types.h>

#include "common/frame.h"
#include "common/worker_protocol.h"

#define WORKER_PROCESS_KEYS_MAX 64
#define WORKER_PROCESS_STDERR_MAX 16384

struct worker_process {
    pid_t pid;
    int fd;
    int stderr_fd; /* read end */
    struct worker_ledger *ledger;
    uint8_t *packet; /* the last one received */
    struct frame frame;

    /* the last inventory; what the spans point to is owned */
    size_t token_count;
    struct worker_token tokens[8];
    size_t key_count;
    struct worker_key keys[WORKER_PROCESS_KEYS_MAX];
    size_t kept_count;
    uint8_t *kept[2 * WORKER_PROCESS_KEYS_MAX];

    struct worker_reply reply; /* the last reply; spans into @packet */
    uint32_t seq;
    char stderr_text[WORKER_PROCESS_STDERR_MAX];
};

/**
 * worker_process_start() - fork and exec
 * @env:        NULL-terminated "NAME=VALUE" list: the worker's whole environment
 */
void worker_process_start(struct worker_process *worker, const char *const *env);

/** worker_process_stop() - close the socket, wait; returns the status of waitpid(). */
int worker_process_stop(struct worker_process *worker);

/** worker_process_wait() - for its end by itself; returns the status of waitpid(). */
int worker_process_wait(struct worker_process *worker);

/** worker_process_send() - one packet; @pass_fd goes with it unless negative. */
void worker_process_send(struct worker_process *worker, const struct wire_writer *writer,
                         int pass_fd);

/** worker_process_receive() - one packet into `frame`; false at the end of the socket. */
bool worker_process_receive(struct worker_process *worker);

/** worker_process_load() - send LOAD. */
void worker_process_load(struct worker_process *worker, const struct worker_load *load);

/** worker_process_read_inventory() - packets up to INVENTORY. */
void worker_process_read_inventory(struct worker_process *worker);

/** worker_process_login() - with this PIN; the new inventory, if any, and then the reply. */
const struct worker_reply *worker_process_login(struct worker_process *worker, uint32_t token,
                                                const char *pin, bool person);

const struct worker_reply *worker_process_logout(struct worker_process *worker, uint32_t token);

/** worker_process_send_sign() - SIGN, without waiting. @pin: NULL for none. Returns its seq. */
uint32_t worker_process_send_sign(struct worker_process *worker, uint32_t slot, uint32_t key,
                                  uint32_t scheme, struct wire_span data, const char *pin);

/** worker_process_read_reply() - the next packet, which must be a reply of @type. */
const struct worker_reply *worker_process_read_reply(struct worker_process *worker, uint8_t type);

/** worker_process_sign() - SIGN and its reply. */
const struct worker_reply *worker_process_sign(struct worker_process *worker, uint32_t key,
                                               uint32_t scheme, struct wire_span data,
                                               const char *pin);

/** worker_process_find_key() - by label in the last inventory, or NULL. */
const struct worker_key *worker_process_find_key(const struct worker_process *worker,
                                                 const char *label);

/** worker_process_stderr() - what it has written to standard error so far. */
const char *worker_process_stderr(struct worker_process *worker);

#endif
