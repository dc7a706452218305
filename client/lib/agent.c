/* SPDX-License-Identifier: Apache-2.0 */
/* The handle and its connection; see agent.h. */
#include "client/lib/agent.h"

#include <string.h>

#include "build-config.h"
#include "client/lib/deadline.h"
#include "client/lib/error.h"
#include "common/paths.h"
#include "common/utf8.h"

static int agent_init_locks(struct mtls_agent *agent)
{
    int r = -pthread_mutex_init(&agent->mutex, NULL);

    return r ? r : deadline_init_condition(&agent->connect_done);
}

/*
 * In the child of a fork. Threads of the parent do not exist here, and the mutex may have been held
 * by one of them. When nothing was under way the old connection is released; otherwise its memory
 * may be half changed, so all but its descriptor is left alone, once per such fork. The descriptor
 * is closed in both cases: the parent has its own. The connection itself is there in any case, as
 * the handle lets go of one before it is released.
 */
static void agent_renew_after_fork(struct mtls_agent *agent)
{
    bool was_unlocked = pthread_mutex_trylock(&agent->mutex) == 0;
    struct connection *connection = atomic_exchange(&agent->connection, NULL);

    if (was_unlocked)
        (void)pthread_mutex_unlock(&agent->mutex);
    if (connection && was_unlocked && connection->ref_count == 1)
        connection_unref(connection);
    else if (connection)
        connection_abandon(connection);
    agent->is_connecting = false;
    (void)agent_init_locks(agent);
}

void agent_lock(struct mtls_agent *agent)
{
    if (!fork_guard_is_own(&agent->guard) && fork_guard_begin_renewal(&agent->guard)) {
        agent_renew_after_fork(agent);
        fork_guard_end_renewal(&agent->guard);
    }
    (void)pthread_mutex_lock(&agent->mutex);
}

void agent_unlock(struct mtls_agent *agent)
{
    (void)pthread_mutex_unlock(&agent->mutex);
}

/* Connects without the lock, so that other threads keep to their own deadlines. */
static int agent_connect(struct mtls_agent *agent, uint64_t deadline_us, bool *ret_retry,
                         struct mtls_agent_error *error)
{
    struct connection *connection = NULL;
    char client_name[sizeof(agent->client_name)];

    memcpy(client_name, agent->client_name, sizeof(client_name));
    agent->is_connecting = true;
    agent_unlock(agent);
    int r = connection_new(agent->path, client_name, deadline_us, &connection, ret_retry, error);
    (void)pthread_mutex_lock(&agent->mutex);
    agent->is_connecting = false;
    (void)pthread_cond_broadcast(&agent->connect_done);
    if (r)
        return r;
    agent->connection = connection;
    return 0;
}

int agent_get_connection(struct mtls_agent *agent, uint64_t deadline_us,
                         struct connection **ret_connection, bool *ret_retry,
                         struct mtls_agent_error *error)
{
    *ret_retry = false;
    while (!agent->connection) {
        int r = 0;
        if (!agent->is_connecting)
            r = agent_connect(agent, deadline_us, ret_retry, error);
        else if (!deadline_wait(&agent->connect_done, &agent->mutex, deadline_us))
            r = client_error_set(error, MTLS_AGENT_E_TIMEOUT,
                                 "the agent did not answer in time; if it hangs, restart it");
        if (r)
            return r;
    }
    *ret_connection = agent->connection;
    (*ret_connection)->ref_count++;
    return 0;
}

void agent_drop_connection(struct mtls_agent *agent, struct connection *connection)
{
    if (agent->connection != connection)
        return;
    agent->connection = NULL;
    connection_unref(connection);
}

/* Cut to what the wire takes, at the border of a character; what is not UTF-8 is left out. */
static void agent_store_name(struct mtls_agent *agent, const char *name)
{
    size_t len = 0;

    while (name[len] != '\0') {
        uint32_t code = 0;
        size_t used = utf8_decode((const uint8_t *)name + len, strlen(name + len), &code);
        if (used == 0 || len + used > PROTOCOL_NAME_MAX)
            break;
        len += used;
    }
    memcpy(agent->client_name, name, len);
    agent->client_name[len] = '\0';
}

static struct mtls_agent *agent_release(struct mtls_agent *agent)
{
    fork_guard_deinit(&agent->guard);
    free(agent->path);
    free(agent);
    return NULL;
}

struct mtls_agent *mtls_agent_new(const char *socket_path)
{
    struct mtls_agent *agent = calloc(1, sizeof(*agent));

    if (!agent)
        return NULL;
    atomic_init(&agent->deadline_ms, MTLS_AGENT_DEADLINE_MS);
    agent_store_name(agent, program_invocation_short_name);
    if (socket_path)
        agent->path = strdup(socket_path);
    else if (paths_socket(&agent->path))
        agent->path = NULL;
    if (!agent->path || fork_guard_init(&agent->guard) || agent_init_locks(agent))
        return agent_release(agent);
    return agent;
}

struct mtls_agent *mtls_agent_free(struct mtls_agent *agent)
{
    if (!agent)
        return NULL;
    agent_lock(agent);
    struct connection *connection = agent->connection;
    if (connection)
        agent_drop_connection(agent, connection);
    agent_unlock(agent);
    (void)pthread_cond_destroy(&agent->connect_done);
    (void)pthread_mutex_destroy(&agent->mutex);
    return agent_release(agent);
}

void mtls_agent_set_deadline(struct mtls_agent *agent, unsigned int deadline_ms)
{
    atomic_store(&agent->deadline_ms, deadline_ms > 0 ? deadline_ms : 1);
}

void mtls_agent_set_client_name(struct mtls_agent *agent, const char *name)
{
    agent_lock(agent);
    agent_store_name(agent, name ? name : program_invocation_short_name);
    agent_unlock(agent);
}

const char *mtls_agent_version(void)
{
    return MTLS_VERSION;
}
