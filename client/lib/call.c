/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of several threads over one connection; see call.h. All state is guarded by the handle's
 * lock, which is released for exactly three waits: for bytes (the reader), for room in the kernel
 * (the writer), and on condition variables.
 */
#include "client/lib/call.h"

#include <string.h>

#include "client/lib/deadline.h"
#include "client/lib/error.h"
#include "common/escape.h"

#define CALL_ATTEMPTS 3u
#define CALL_PATH_TEXT_LEN 512u

static void call_list_append(struct connection *connection, struct call *call)
{
    call->next = NULL;
    call->previous = connection->last_call;
    if (call->previous)
        call->previous->next = call;
    else
        connection->first_call = call;
    connection->last_call = call;
    call->is_listed = true;
}

static void call_list_remove(struct connection *connection, struct call *call)
{
    if (!call->is_listed)
        return;
    if (call->previous)
        call->previous->next = call->next;
    else
        connection->first_call = call->next;
    if (call->next)
        call->next->previous = call->previous;
    else
        connection->last_call = call->previous;
    call->is_listed = false;
}

static struct call *call_list_find(const struct connection *connection, uint32_t id)
{
    struct call *call = connection->first_call;

    while (call && call->id != id)
        call = call->next;
    return call;
}

/* The call has its outcome; its thread wakes up. */
static void call_finish(struct connection *connection, struct call *call, int code)
{
    call_list_remove(connection, call);
    call->code = code;
    call->is_done = true;
    (void)pthread_cond_signal(&call->changed);
}

static int call_set_timeout(struct mtls_agent *agent, struct call *call)
{
    unsigned int ms = atomic_load(&agent->deadline_ms);
    bool is_in_seconds = ms % 1000 == 0;

    return client_error_set(call->error, MTLS_AGENT_E_TIMEOUT,
                            "no answer from the agent within %u %s; a touch or a PIN may be waited "
                            "for, `mtls status` tells",
                            is_in_seconds ? ms / 1000 : ms, is_in_seconds ? "s" : "ms");
}

/* Code and sentence for a connection that failed under this call: the answer of connection.h. */
static int call_set_broken(const struct mtls_agent *agent, struct call *call, int r)
{
    char path[CALL_PATH_TEXT_LEN];

    (void)escape_cstring(agent->path, path, sizeof(path));
    if (r == -ENOMEM)
        return client_error_set_memory(call->error);
    if (r == -EBADMSG)
        return client_error_set(call->error, MTLS_AGENT_E_PROTOCOL,
                                "the agent at %s broke the protocol; the connection was closed. "
                                "Are the agent and this program of the same version?",
                                path);
    if (r < 0)
        return client_error_set(call->error, MTLS_AGENT_E_CONNECTION,
                                "the connection to the agent at %s failed: %s", path, strerror(-r));
    if (call->may_retry)
        return client_error_set(call->error, MTLS_AGENT_E_CONNECTION,
                                "the agent at %s closed the connection; its log says why", path);
    return client_error_set(call->error, MTLS_AGENT_E_CONNECTION,
                            "the agent at %s closed the connection before it answered; the request "
                            "was not repeated, as it may have been carried out: try again",
                            path);
}

/* The connection cannot be used any more: every call on it ends, later ones make a new one. */
static void call_break_connection(struct mtls_agent *agent, struct connection *connection, int r)
{
    while (connection->first_call) {
        struct call *call = connection->first_call;
        bool was_unread = r == CONNECTION_E_RESET && call->id == connection->last_begun_id;
        bool has_ended = r == CONNECTION_E_RESET || r == CONNECTION_E_END;

        call->may_retry = has_ended && (!call->is_sent || was_unread || call->type->is_idempotent);
        call_finish(connection, call, call_set_broken(agent, call, r));
    }
    connection->is_broken = true;
    agent_drop_connection(agent, connection);
}

/* An ERROR message: of one request, or (id 0) the agent's last words on this connection. */
static int call_handle_error(struct mtls_agent *agent, struct connection *connection,
                             struct wire_span body)
{
    struct protocol_error msg;

    if (protocol_error_parse(body, &msg) || msg.code == 0)
        return -EBADMSG;
    if (msg.id != 0) {
        struct call *call = call_list_find(connection, msg.id);
        if (call)
            call_finish(connection, call, client_error_set_from_agent(call->error, &msg));
        return 0;
    }
    while (connection->first_call) {
        struct call *call = connection->first_call;
        call_finish(connection, call, client_error_set_from_agent(call->error, &msg));
    }
    connection->is_broken = true;
    agent_drop_connection(agent, connection);
    return 0;
}

/* An id that was given out on this connection; that of a call which left is fine. */
static bool call_id_was_issued(const struct connection *connection, uint32_t id)
{
    return id != 0 && (connection->issued > UINT32_MAX || id <= connection->issued);
}

static int call_handle_frame(struct mtls_agent *agent, struct connection *connection,
                             const struct frame *frame)
{
    struct wire_reader reader;
    struct protocol_event event;

    if (frame->type == PROTOCOL_EVENT) /* nothing here subscribes */
        return protocol_event_parse(frame->body, &event) ? -EBADMSG : 0;

    wire_reader_init(&reader, frame->body);
    uint32_t id = wire_get_u32(&reader);
    bool is_error = frame->type == PROTOCOL_ERROR;
    if (reader.failed || (!call_id_was_issued(connection, id) && !(is_error && id == 0)))
        return -EBADMSG;
    if (is_error)
        return call_handle_error(agent, connection, frame->body);

    struct call *call = call_list_find(connection, id);
    if (!call)
        return 0;
    if (frame->type != call->type->reply)
        return -EBADMSG;
    int code = call->type->handle_reply(call, frame->body);
    if (code == MTLS_AGENT_E_PROTOCOL)
        return -EBADMSG;
    call_finish(connection, call, code);
    return 0;
}

static void call_dispatch(struct mtls_agent *agent, struct connection *connection)
{
    struct frame frame;

    for (;;) {
        int r = frame_buffer_next(&connection->in, &frame);
        if (r == WIRE_E_MORE)
            return;
        r = r ? -EBADMSG : call_handle_frame(agent, connection, &frame);
        if (r) {
            call_break_connection(agent, connection, r);
            return;
        }
    }
}

/* One turn as the reader. */
static void call_read(struct mtls_agent *agent, struct connection *connection, struct call *call)
{
    connection->has_reader = true;
    agent_unlock(agent);
    int r = connection_receive(connection, call->deadline_us);
    (void)pthread_mutex_lock(&agent->mutex);
    connection->has_reader = false;

    if (r == 0)
        call_dispatch(agent, connection);
    else if (r == CONNECTION_E_TIMEOUT)
        call_finish(connection, call, call_set_timeout(agent, call));
    else
        call_break_connection(agent, connection, r);
}

/* Some thread must read as long as any waits; the oldest call is the likely next to be answered. */
static void call_pass_reader_role(const struct connection *connection)
{
    struct call *call = connection->first_call;

    if (connection->has_reader)
        return;
    while (call && !call->is_sent)
        call = call->next;
    if (call)
        (void)pthread_cond_signal(&call->changed);
}

static void call_await_reply(struct mtls_agent *agent, struct connection *connection,
                             struct call *call)
{
    while (!call->is_done) {
        if (!connection->has_reader)
            call_read(agent, connection, call);
        else if (!deadline_wait(&call->changed, &agent->mutex, call->deadline_us))
            call_finish(connection, call, call_set_timeout(agent, call));
    }
}

/* Sends what `out` holds, with the lock released while the kernel has no room. */
static int call_flush(struct mtls_agent *agent, struct connection *connection,
                      const struct call *call, int pass_fd)
{
    size_t len = connection->out.len;

    for (;;) {
        int r = connection_send(connection, connection->out.len == len ? pass_fd : -1);
        if (r != CONNECTION_E_AGAIN)
            return r;
        agent_unlock(agent);
        r = connection_wait_writable(connection, call->deadline_us);
        (void)pthread_mutex_lock(&agent->mutex);
        if (r)
            return r;
        if (call->is_done)
            return 0;
    }
}

static uint32_t call_next_id(struct connection *connection)
{
    uint32_t id = 0;

    while (id == 0)
        id = (uint32_t)++connection->issued;
    return id;
}

/*
 * With the writer's role. A frame that was begun stays in `out` when the deadline passes, and the
 * next writer sends the rest first, so that the stream stays whole; one that was not begun is taken
 * back.
 */
static int call_write(struct mtls_agent *agent, struct connection *connection, struct call *call)
{
    struct wire_writer *out = &connection->out;
    int r = call_flush(agent, connection, call, -1);

    if (r || connection->is_broken)
        return r ? r : CONNECTION_E_RESET;
    call->id = call_next_id(connection);
    if (call->type->encode(out, call)) {
        wire_writer_reset(out);
        return -ENOMEM;
    }
    size_t len = out->len;
    uint32_t last_begun_id = connection->last_begun_id;
    connection->last_begun_id = call->id;
    call_list_append(connection, call);
    r = call_flush(agent, connection, call, call->pass_fd);
    if (r == 0) {
        call->is_sent = true;
    } else if (out->len == len) {
        wire_writer_reset(out);
        connection->last_begun_id = last_begun_id;
    }
    return r;
}

static int call_send(struct mtls_agent *agent, struct connection *connection, struct call *call)
{
    while (connection->has_writer) {
        if (!deadline_wait(&connection->writer_left, &agent->mutex, call->deadline_us))
            return CONNECTION_E_TIMEOUT;
    }
    connection->has_writer = true;
    int r = call_write(agent, connection, call);
    connection->has_writer = false;
    (void)pthread_cond_signal(&connection->writer_left);
    return r;
}

/* A request that did not leave. Replies to others may still come: their readers go on. */
static void call_handle_unsent(struct mtls_agent *agent, struct connection *connection,
                               struct call *call, int r)
{
    if (r == CONNECTION_E_TIMEOUT) {
        call_finish(connection, call, call_set_timeout(agent, call));
        return;
    }
    call->may_retry = r == CONNECTION_E_RESET;
    call_finish(connection, call, call_set_broken(agent, call, r));
    if (r == -ENOMEM)
        return;
    connection->is_broken = true;
    agent_drop_connection(agent, connection);
}

static int call_attempt(struct mtls_agent *agent, struct call *call)
{
    struct connection *connection = NULL;

    call->is_done = false;
    call->is_sent = false;
    int r =
        agent_get_connection(agent, call->deadline_us, &connection, &call->may_retry, call->error);
    if (r)
        return r;
    r = call_send(agent, connection, call);
    if (r && !call->is_done)
        call_handle_unsent(agent, connection, call, r);
    call_await_reply(agent, connection, call);
    call_pass_reader_role(connection);
    connection_unref(connection);
    return call->code;
}

/* A thread that is cancelled while it reads would leave the others without a reader. */
int call_run_until(struct mtls_agent *agent, struct call *call, uint64_t deadline_us)
{
    int cancel_state = 0;
    int code = 0;

    call->deadline_us = deadline_us;
    if (deadline_init_condition(&call->changed))
        return client_error_set_memory(call->error);
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    agent_lock(agent);
    for (unsigned int i = 0; i < CALL_ATTEMPTS; i++) {
        code = call_attempt(agent, call);
        if (code == 0 || !call->may_retry)
            break;
    }
    agent_unlock(agent);
    (void)pthread_setcancelstate(cancel_state, NULL);
    (void)pthread_cond_destroy(&call->changed);
    return code;
}

int call_run(struct mtls_agent *agent, struct call *call)
{
    return call_run_until(agent, call, deadline_after_ms(atomic_load(&agent->deadline_ms)));
}
