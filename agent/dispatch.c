/* SPDX-License-Identifier: Apache-2.0 */
/* The table of requests; see dispatch.h. */
#include "agent/dispatch.h"

#include "agent/agent.h"
#include "agent/connection.h"
#include "agent/keyring.h"
#include "agent/list_request.h"
#include "agent/sign_request.h"
#include "agent/status_request.h"
#include "agent/token_request.h"
#include "build-config.h"

/* Positive answers of a row's handler. */
enum {
    DISPATCH_E_MALFORMED = 1, /* the body did not parse */
};

typedef int (*dispatch_fn)(struct connection *connection, struct wire_span body);

/* The conditions that every request with an id shares. True when it may go on. */
static bool dispatch_admit(struct connection *connection, uint32_t id)
{
    if (id == 0) {
        connection_send_error(connection, 0, PROTOCOL_E_PROTO, "request id 0 is not allowed");
        return false;
    }
    if (connection_has_request(connection, id)) {
        connection_send_error(connection, id, PROTOCOL_E_PROTO,
                              "a request with this id is in flight on this connection");
        return false;
    }
    if (connection->request_count >= CONNECTION_REQUESTS_MAX ||
        connection->user->request_count >= USER_REQUESTS_MAX) {
        connection_send_error(connection, id, PROTOCOL_E_BUSY,
                              "too many requests are in flight; wait for answers");
        return false;
    }
    return true;
}

static int dispatch_hello(struct connection *connection, struct wire_span body)
{
    struct protocol_hello hello;
    const struct protocol_hello_reply reply = {PROTOCOL_VERSION, wire_span_from_text(MTLS_VERSION)};

    if (protocol_hello_parse(body, &hello))
        return DISPATCH_E_MALFORMED;
    if (connection->has_said_hello) {
        connection_send_error(connection, 0, PROTOCOL_E_PROTO, "HELLO was said twice");
        return 0;
    }
    if (hello.version_min > PROTOCOL_VERSION || hello.version_max < PROTOCOL_VERSION) {
        connection_send_error(connection, 0, PROTOCOL_E_VERSION,
                              "this agent speaks protocol version 1 to 1");
        return 0;
    }
    if (protocol_hello_reply_encode(&connection->output, &reply))
        return -ENOBUFS;
    /* Looking at the client in /proc takes as long as its way to the first request. */
    connection->has_said_hello = true;
    connection_send(connection);
    peer_look(connection->peer, connection->fd);
    return 0;
}

_Static_assert(PROTOCOL_VERSION == 1, "the sentence above names the supported range");

static int dispatch_list(struct connection *connection, struct wire_span body)
{
    struct protocol_list message;

    if (protocol_list_parse(body, &message))
        return DISPATCH_E_MALFORMED;
    return dispatch_admit(connection, message.id) ? list_request_answer(connection, &message) : 0;
}

static int dispatch_sign(struct connection *connection, struct wire_span body)
{
    struct protocol_sign message;

    if (protocol_sign_parse(body, &message))
        return DISPATCH_E_MALFORMED;
    return dispatch_admit(connection, message.id) ? sign_request_start(connection, &message) : 0;
}

static int dispatch_status(struct connection *connection, struct wire_span body)
{
    uint32_t id = 0;

    if (protocol_bare_parse(body, &id))
        return DISPATCH_E_MALFORMED;
    return dispatch_admit(connection, id) ? status_request_answer(connection, id) : 0;
}

static int dispatch_subscribe(struct connection *connection, struct wire_span body)
{
    struct protocol_subscribe message;

    if (protocol_subscribe_parse(body, &message))
        return DISPATCH_E_MALFORMED;
    if (!dispatch_admit(connection, message.id))
        return 0;
    /* A later subscription of the same connection replaces the earlier one. */
    connection->subscription_id = message.id;
    connection->subscription_mask = message.mask;
    return protocol_bare_encode(&connection->output, PROTOCOL_SUBSCRIBE_REPLY, message.id)
               ? -ENOBUFS
               : 0;
}

static int dispatch_unlock(struct connection *connection, struct wire_span body)
{
    struct protocol_token_request message;

    if (protocol_token_request_parse(body, &message))
        return DISPATCH_E_MALFORMED;
    if (!dispatch_admit(connection, message.id)) {
        (void)close_fd(connection_take_fd(connection)); /* its PIN goes with it */
        return 0;
    }
    return token_request_unlock(connection, &message);
}

static int dispatch_set_pin(struct connection *connection, struct wire_span body)
{
    struct protocol_set_pin message;

    if (protocol_set_pin_parse(body, &message))
        return DISPATCH_E_MALFORMED;
    if (!dispatch_admit(connection, message.id)) {
        (void)close_fd(connection_take_fd(connection)); /* its PINs go with it */
        return 0;
    }
    return token_request_set_pin(connection, &message);
}

static int dispatch_lock(struct connection *connection, struct wire_span body)
{
    struct protocol_token_request message;

    if (protocol_token_request_parse(body, &message))
        return DISPATCH_E_MALFORMED;
    return dispatch_admit(connection, message.id) ? token_request_lock(connection, &message) : 0;
}

static const struct {
    uint8_t type;
    dispatch_fn handle;
} dispatch_rows[] = {
    {PROTOCOL_SIGN, dispatch_sign},           {PROTOCOL_HELLO, dispatch_hello},
    {PROTOCOL_LIST, dispatch_list},           {PROTOCOL_STATUS, dispatch_status},
    {PROTOCOL_SUBSCRIBE, dispatch_subscribe}, {PROTOCOL_UNLOCK, dispatch_unlock},
    {PROTOCOL_LOCK, dispatch_lock},           {PROTOCOL_SET_PIN, dispatch_set_pin},
};

static dispatch_fn dispatch_find(uint8_t type)
{
    for (size_t i = 0; i < ARRAY_SIZE(dispatch_rows); i++)
        if (dispatch_rows[i].type == type)
            return dispatch_rows[i].handle;
    return NULL;
}

void dispatch_frame(struct connection *connection, const struct frame *frame)
{
    dispatch_fn handle = dispatch_find(frame->type);

    if (!connection->has_said_hello && frame->type != PROTOCOL_HELLO) {
        connection_send_error(connection, 0, PROTOCOL_E_PROTO,
                              "the first message of a connection is HELLO");
        return;
    }
    /* It came with the first byte of the last frame that was received. */
    if (connection->received_fd >= 0 && frame->type != PROTOCOL_UNLOCK &&
        frame->type != PROTOCOL_SET_PIN && frame_buffer_is_empty(&connection->input)) {
        connection_send_error(connection, 0, PROTOCOL_E_PROTO,
                              "a descriptor came with a request that takes none");
        return;
    }
    if (!handle) {
        connection_send_error(connection, 0, PROTOCOL_E_PROTO,
                              "this message type is not known in protocol version 1");
        return;
    }
    int r = handle(connection, frame->body);
    if (r == DISPATCH_E_MALFORMED)
        connection_send_error(connection, 0, PROTOCOL_E_PROTO, "the message is malformed");
    else if (r < 0)
        connection->is_closing = true; /* memory, or its output cap: this client only */
}
