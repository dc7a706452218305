/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client's connection: bytes to frames to the dispatcher, replies to bytes. It owns the limits
 * of a single client: requests in flight, unsent output, time for a started frame.
 */
#ifndef MTLS_AGENT_CONNECTION_H
#define MTLS_AGENT_CONNECTION_H

#include <systemd/sd-event.h>

#include "agent/peer.h"
#include "agent/request.h"
#include "agent/user.h"
#include "common/frame.h"
#include "common/protocol.h"

#define CONNECTION_REQUESTS_MAX 64u
#define CONNECTION_OUTPUT_MAX                                                         \
    (1024u * 1024u)                /* bytes that wait for a client that does not read \
                                    */
#define CONNECTION_FRAME_MS 10000u /* for a started frame, and for HELLO */
#define CONNECTION_IDLE_MS \
    (60u * 60u * 1000u) /* without a request; clients reconnect by themselves */

struct agent;

struct connection {
    struct list link; /* in agent->connections */
    struct agent *agent;
    int fd;
    sd_event_source *io;
    struct peer *peer;
    struct user *user;
    struct frame_buffer input;
    struct wire_writer output;
    struct list requests; /* struct request, in flight */
    size_t request_count;
    struct list lines;       /* struct fair_line, its queues */
    uint64_t frame_since_ms; /* when the unfinished frame began; until HELLO: the connection */
    uint64_t active_ms;      /* last whole frame, answer, or byte that the client took */
    bool has_partial_frame;
    bool has_said_hello;
    bool is_read_closed;      /* the client has shut down its sending side */
    bool is_closing;          /* ends when its output is sent */
    bool is_parked;           /* frames wait until the agent knows its keys */
    bool wants_output;        /* EPOLLOUT is armed */
    bool is_retired;          /* waits to be freed at a safe point */
    uint32_t subscription_id; /* 0: none */
    uint32_t subscription_mask;
    int received_fd; /* came with the frame that is being received; -1: none */
};

/**
 * connection_accept() - take over an accepted socket
 * @fd:         taken
 *
 * A peer that is not served, or over its quota, is turned away here.
 */
void connection_accept(struct agent *agent, int fd);

/** connection_free() - close; queued requests are cancelled. Return: NULL. */
struct connection *connection_free(struct connection *connection);

/** connection_send() - replies were written to @connection->output: send what the socket takes. */
void connection_send(struct connection *connection);

/** connection_send_error() - an ERROR frame; with @id 0 the connection closes after it. */
void connection_send_error(struct connection *connection, uint32_t id,
                           enum protocol_error_code code, const char *text);

/** connection_stop_reading() - no further requests and events; it closes after what is in flight.
 */
void connection_stop_reading(struct connection *connection);

/** connection_resume() - handle the frames that waited while it was parked. */
void connection_resume(struct connection *connection);

/** connection_check_deadline() - close it when it has been started or idle for too long. */
void connection_check_deadline(struct connection *connection, uint64_t now_ms);

/** connection_take_fd() - the descriptor that came with the current frame; owned by the caller. */
int connection_take_fd(struct connection *connection) _must_check_;

/** connection_has_request() - the id is in flight. */
bool connection_has_request(const struct connection *connection, uint32_t id);

/** connection_add_request() - count it in; the quotas were checked. */
void connection_add_request(struct connection *connection, struct request *request, uint32_t id,
                            request_cancel_fn cancel);

/** connection_remove_request() - it is answered; NULL connection is fine. */
void connection_remove_request(struct request *request);

#endif
