/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mtls_agent_events: a subscription on a connection of its own, so that reading events never stands
 * in the way of requests and replies. Knows no other message.
 */
#include <string.h>

#include "client/lib/agent.h"
#include "client/lib/deadline.h"
#include "client/lib/error.h"

#define EVENTS_REQUEST_ID 1u

_Static_assert((int)MTLS_AGENT_EVENT_KEYS == (int)EVENT_KEYS_CHANGED, "kinds are the wire's");
_Static_assert((int)MTLS_AGENT_EVENT_TOKEN == (int)EVENT_TOKEN_CHANGED, "kinds are the wire's");
_Static_assert((int)MTLS_AGENT_EVENT_MODULE == (int)EVENT_MODULE_CHANGED, "kinds are the wire's");
_Static_assert((int)MTLS_AGENT_EVENT_WAITING == (int)EVENT_WAITING, "kinds are the wire's");
_Static_assert(sizeof(((struct mtls_agent_event *)NULL)->subject) == PROTOCOL_NAME_MAX + 1, "name");
_Static_assert(sizeof(((struct mtls_agent_event *)NULL)->text) == PROTOCOL_TEXT_MAX + 1, "text");

struct mtls_agent_events {
    struct connection *connection;
};

/* What stopped the subscription, as the caller's error. @r: an answer of connection.h. */
static int events_explain(int r, struct mtls_agent_error *error)
{
    switch (r) {
    case CONNECTION_E_TIMEOUT:
        return client_error_set(error, MTLS_AGENT_E_TIMEOUT, "the agent sent no event in time");
    case CONNECTION_E_END:
    case CONNECTION_E_RESET:
        return client_error_set(error, MTLS_AGENT_E_CONNECTION,
                                "the agent closed the connection; its log says why");
    case -ENOMEM:
        return client_error_set_memory(error);
    case -EBADMSG:
        return client_error_set(error, MTLS_AGENT_E_PROTOCOL,
                                "the agent broke the protocol; are the agent and this program of "
                                "the same version?");
    default:
        return client_error_set(error, MTLS_AGENT_E_CONNECTION,
                                "the connection to the agent failed: %s", strerror(-r));
    }
}

/* The agent says why it goes on no further. */
static int events_handle_error(const struct frame *frame, struct mtls_agent_error *error)
{
    struct protocol_error msg;

    if (protocol_error_parse(frame->body, &msg) || msg.code == 0)
        return events_explain(-EBADMSG, error);
    return client_error_set_from_agent(error, &msg);
}

static int events_subscribe(struct connection *connection, unsigned int mask, uint64_t deadline_us,
                            struct mtls_agent_error *error)
{
    const struct protocol_subscribe msg = {.id = EVENTS_REQUEST_ID, .mask = mask};
    struct frame frame;
    uint32_t id = 0;

    if (protocol_subscribe_encode(&connection->out, &msg))
        return client_error_set_memory(error);
    int r = connection_flush(connection, deadline_us);
    if (r == 0)
        r = connection_receive_frame(connection, deadline_us, &frame);
    if (r)
        return events_explain(r, error);
    if (frame.type == PROTOCOL_ERROR)
        return events_handle_error(&frame, error);
    if (frame.type != PROTOCOL_SUBSCRIBE_REPLY || protocol_bare_parse(frame.body, &id) ||
        id != EVENTS_REQUEST_ID)
        return events_explain(-EBADMSG, error);
    return 0;
}

/* The name to connect with may be changed by another thread meanwhile. */
static void events_copy_name(struct mtls_agent *agent, char name[static PROTOCOL_NAME_MAX + 1])
{
    agent_lock(agent);
    memcpy(name, agent->client_name, sizeof(agent->client_name));
    agent_unlock(agent);
}

static int events_open(struct mtls_agent *agent, unsigned int mask,
                       struct mtls_agent_events **ret_events, struct mtls_agent_error *error)
{
    uint64_t deadline_us = deadline_after_ms(atomic_load(&agent->deadline_ms));
    char name[PROTOCOL_NAME_MAX + 1];
    bool retry = false;

    if (mask == 0 || (mask & ~(unsigned int)EVENT_ALL))
        return client_error_set(error, MTLS_AGENT_E_ARGUMENT, "0x%x is no mask of events", mask);
    struct mtls_agent_events *events = calloc(1, sizeof(*events));
    if (!events)
        return client_error_set_memory(error);
    events_copy_name(agent, name);
    int code = connection_new(agent->path, name, deadline_us, &events->connection, &retry, error);
    if (code == 0)
        code = events_subscribe(events->connection, mask, deadline_us, error);
    if (code) {
        (void)mtls_agent_events_free(events);
        return code;
    }
    *ret_events = events;
    return 0;
}

/* A thread cannot be cancelled in a call of the library (mtls-agent.h). */
int mtls_agent_events_new(struct mtls_agent *agent, unsigned int mask,
                          struct mtls_agent_events **ret_events, struct mtls_agent_error *error)
{
    int cancel_state = 0;

    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    int code = events_open(agent, mask, ret_events, error);
    (void)pthread_setcancelstate(cancel_state, NULL);
    return code;
}

int mtls_agent_events_get_fd(const struct mtls_agent_events *events)
{
    return events->connection->fd;
}

static int events_handle_frame(const struct frame *frame, struct mtls_agent_event *ret_event,
                               struct mtls_agent_error *error)
{
    struct protocol_event msg;

    if (frame->type == PROTOCOL_ERROR)
        return events_handle_error(frame, error);
    if (frame->type != PROTOCOL_EVENT || protocol_event_parse(frame->body, &msg) ||
        msg.id != EVENTS_REQUEST_ID)
        return events_explain(-EBADMSG, error);
    *ret_event = (struct mtls_agent_event){.kind = (enum mtls_agent_event_kind)msg.kind};
    memcpy(ret_event->subject, msg.subject.data, msg.subject.len);
    memcpy(ret_event->text, msg.text.data, msg.text.len);
    return 0;
}

int mtls_agent_events_next(struct mtls_agent_events *events, unsigned int timeout_ms,
                           struct mtls_agent_event *ret_event, struct mtls_agent_error *error)
{
    struct frame frame;
    int cancel_state = 0;

    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    int r = connection_receive_frame(events->connection, deadline_after_ms(timeout_ms), &frame);
    int code = r ? events_explain(r, error) : events_handle_frame(&frame, ret_event, error);
    (void)pthread_setcancelstate(cancel_state, NULL);
    return code;
}

struct mtls_agent_events *mtls_agent_events_free(struct mtls_agent_events *events)
{
    if (!events)
        return NULL;
    if (events->connection)
        connection_unref(events->connection);
    free(events);
    return NULL;
}
