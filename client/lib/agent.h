/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handle: where the agent is, how long a call may take, and the one connection that all threads
 * share. A forked child finds the handle fresh: no connection, unlocked.
 */
#ifndef MTLS_CLIENT_AGENT_H
#define MTLS_CLIENT_AGENT_H

#include "client/lib/connection.h"
#include "client/lib/fork_guard.h"
#include "common/protocol.h"

struct mtls_agent {
    struct fork_guard guard;
    char *path; /* never changes */
    atomic_uint deadline_ms;

    pthread_mutex_t mutex;       /* guards all that follows, and the connection */
    pthread_cond_t connect_done; /* is_connecting was cleared */
    bool is_connecting;
    char client_name[PROTOCOL_NAME_MAX + 1];
    _Atomic(struct connection *) connection; /* holds one reference; NULL: none */
};

/** agent_lock() - every access to a handle begins here: notices a fork, then takes the mutex. */
void agent_lock(struct mtls_agent *agent);
void agent_unlock(struct mtls_agent *agent);

/**
 * agent_get_connection() - the shared connection, made if there is none
 * @deadline_us:    on CLOCK_MONOTONIC
 * @ret_connection: filled with a reference of its own: connection_unref()
 * @ret_retry:      as for connection_new()
 *
 * Called with the lock, which it releases while it waits. Blocks until the deadline at most.
 * Return: 0, or enum mtls_agent_code.
 */
int agent_get_connection(struct mtls_agent *agent, uint64_t deadline_us,
                         struct connection **ret_connection, bool *ret_retry,
                         struct mtls_agent_error *error) _must_check_;

/** agent_drop_connection() - later calls shall not use it. Called with the lock. */
void agent_drop_connection(struct mtls_agent *agent, struct connection *connection);

#endif
