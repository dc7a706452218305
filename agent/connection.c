/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of one client; see connection.h. One recv() per turn of the loop, replies are sent at once;
 * the loop is asked for room only when the socket is full.
 */
#include "agent/connection.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "agent/agent.h"
#include "agent/dispatch.h"
#include "agent/fair_queue.h"
#include "common/clock.h"
#include "common/log.h"

/* Room for the control data of one descriptor more than is ever right; the kernel drops the rest.
 */
#define CONNECTION_FDS_ROOM 2
#define CONNECTION_INPUT_KEEP 16384u  /* a buffer beyond this is not kept */
#define CONNECTION_STRANGER_MS 60000u /* between two log lines about peers that are not served */

static int connection_update_events(struct connection *connection)
{
    bool wants_output = connection->output.len > 0;
    bool wants_input =
        !connection->is_read_closed && !connection->is_closing && !connection->is_parked;

    if (wants_output == connection->wants_output && wants_input)
        return 0;
    connection->wants_output = wants_output;
    int r =
        sd_event_source_set_io_events(connection->io, (wants_input ? (uint32_t)EPOLLIN : 0u) |
                                                          (wants_output ? (uint32_t)EPOLLOUT : 0u));
    return r < 0 ? r : 0;
}

/* True when nothing more will happen on it. */
static bool connection_is_done(const struct connection *connection)
{
    if (connection->is_closing)
        return connection->output.len == 0 || connection->output.failed;
    return connection->is_read_closed && list_is_empty(&connection->requests) &&
           connection->output.len == 0 && !connection->is_parked;
}

struct connection *connection_free(struct connection *connection)
{
    if (!connection)
        return NULL;
    list_remove(&connection->link);
    list_for_each_safe (link, &connection->requests) {
        struct request *request = list_entry(link, struct request, link);
        connection_remove_request(request);
        request->cancel(request);
    }
    fair_lines_free(&connection->lines);
    sd_event_source_disable_unref(connection->io);
    (void)close_fd(connection->fd);
    (void)close_fd(connection->received_fd);
    frame_buffer_deinit(&connection->input);
    wire_writer_deinit(&connection->output);
    (void)peer_unref(connection->peer);
    if (connection->user) {
        user_remove_connection(&connection->agent->users, connection->user);
        connection->agent->counters.connections--;
    }
    free(connection);
    return NULL;
}

void connection_send(struct connection *connection)
{
    while (connection->output.len > 0) {
        ssize_t sent = send(connection->fd, connection->output.data, connection->output.len,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN) {
            /* It left: what it has in flight is cancelled when the loop tells us so. */
            wire_writer_reset(&connection->output);
            connection->is_closing = true;
        }
        if (sent < 0)
            break;
        wire_writer_consume(&connection->output, (size_t)sent);
        if (connection->output.len > 0)
            connection->active_ms = clock_monotonic_ms();
    }
    if (connection->output.failed)
        connection->is_closing = true;
    else if (connection->output.len == 0 && connection->output.cap > 0) {
        /* An idle client keeps none. */
        wire_writer_deinit(&connection->output);
        wire_writer_init(&connection->output, CONNECTION_OUTPUT_MAX);
    }
    if (connection_update_events(connection) < 0)
        connection->is_closing = true;
    if (connection_is_done(connection))
        agent_retire_connection(connection->agent, connection);
}

void connection_send_error(struct connection *connection, uint32_t id,
                           enum protocol_error_code code, const char *text)
{
    const struct protocol_error error = {.id = id, .code = code, .text = protocol_text(text)};

    if (protocol_error_encode(&connection->output, &error) || id == 0)
        connection->is_closing = true;
    connection_send(connection);
}

bool connection_has_request(const struct connection *connection, uint32_t id)
{
    list_for_each (link, &connection->requests) {
        const struct request *request = list_entry(link, struct request, link);
        if (request->id == id)
            return true;
    }
    return false;
}

void connection_add_request(struct connection *connection, struct request *request, uint32_t id,
                            request_cancel_fn cancel)
{
    request->connection = connection;
    request->id = id;
    request->cancel = cancel;
    list_append(&connection->requests, &request->link);
    connection->request_count++;
    connection->user->request_count++;
}

void connection_remove_request(struct request *request)
{
    struct connection *connection = request->connection;

    if (!connection)
        return;
    list_remove(&request->link);
    request->connection = NULL;
    connection->request_count--;
    connection->user->request_count--;
    connection->active_ms = clock_monotonic_ms();
}

int connection_take_fd(struct connection *connection)
{
    return TAKE_FD(connection->received_fd);
}

/* Between frames the buffer is the next client's. */
static void connection_release_input(struct connection *connection)
{
    struct agent *agent = connection->agent;

    if (agent->spare_input.cap > 0 || connection->input.cap > CONNECTION_INPUT_KEEP) {
        frame_buffer_deinit(&connection->input);
        return;
    }
    agent->spare_input = connection->input;
    connection->input = FRAME_BUFFER_INIT;
}

/* Keeps the clocks: a frame has a fixed time from its first byte, however slowly it drips. */
static void connection_note_frames(struct connection *connection, bool got_whole_frame)
{
    bool had_partial_frame = connection->has_partial_frame && !got_whole_frame;

    connection->has_partial_frame = !frame_buffer_is_empty(&connection->input);
    if (got_whole_frame)
        connection->active_ms = clock_monotonic_ms();
    if (connection->has_partial_frame && !had_partial_frame && connection->has_said_hello)
        connection->frame_since_ms = clock_monotonic_ms();
    if (connection->has_partial_frame)
        agent_watch(connection->agent);
    else
        connection_release_input(connection);
}

static void connection_handle_frames(struct connection *connection)
{
    bool got_whole_frame = false;

    while (!connection->is_closing) {
        struct frame frame;
        if (connection->has_said_hello && !connection->agent->is_settled) {
            connection->is_parked = true;
            break;
        }
        int r = frame_buffer_next(&connection->input, &frame);
        if (r == WIRE_E_MORE)
            break;
        if (r) {
            log_debug("a client announced a frame of an impossible length; closed");
            wire_writer_reset(&connection->output);
            connection->is_closing = true;
            break;
        }
        dispatch_frame(connection, &frame);
        got_whole_frame = true;
    }
    connection_note_frames(connection, got_whole_frame);
}

void connection_stop_reading(struct connection *connection)
{
    connection->is_read_closed = true;
    connection->subscription_id = 0;
    connection_send(connection);
}

void connection_resume(struct connection *connection)
{
    if (!connection->is_parked)
        return;
    connection->is_parked = false;
    connection_handle_frames(connection);
    /* Also arms reading again. */
    connection->wants_output = connection->output.len == 0;
    connection_send(connection);
}

/* Descriptors that came along: one is kept for the frame, more are an attack on our table. */
static bool connection_take_control(struct connection *connection, struct msghdr *message)
{
    bool is_refused = false;

    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t fds = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < fds; i++) {
            int fd = -1;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
            if (connection->received_fd < 0 && !is_refused) {
                connection->received_fd = fd;
                continue;
            }
            (void)close_fd(fd);
            is_refused = true;
        }
    }
    return !is_refused && !(message->msg_flags & MSG_CTRUNC);
}

/* Receives what is there. 1: bytes came, 0: none for now, -1: the client closed or failed. */
static int connection_receive(struct connection *connection)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(CONNECTION_FDS_ROOM * sizeof(int))];
    } control;
    uint8_t *room = NULL;
    size_t room_len = 0;

    if (connection->input.cap == 0) {
        connection->input = connection->agent->spare_input;
        connection->agent->spare_input = FRAME_BUFFER_INIT;
    }
    if (frame_buffer_reserve(&connection->input, &room, &room_len))
        return -1;
    struct iovec iov = {room, room_len};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof(control.space)};
    ssize_t len = recvmsg(connection->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (len < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (!connection_take_control(connection, &message)) {
        connection_send_error(connection, 0, PROTOCOL_E_PROTO,
                              "more than one descriptor came with a request");
        return 1;
    }
    if (len == 0)
        return -1;
    frame_buffer_commit(&connection->input, (size_t)len);
    return 1;
}

/* A descriptor that no frame asked for belongs to nobody. */
static void connection_check_stray_fd(struct connection *connection)
{
    if (connection->received_fd < 0 || connection->is_closing || connection->is_parked ||
        connection->has_partial_frame)
        return;
    connection->received_fd = close_fd(connection->received_fd);
    connection_send_error(connection, 0, PROTOCOL_E_PROTO,
                          "a descriptor came with a request that takes none");
}

static int connection_handle_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct connection *connection = userdata;
    struct agent *agent = connection->agent;

    (void)source;
    (void)fd;
    if (events & (EPOLLHUP | EPOLLERR)) {
        (void)connection_free(connection);
        return 0;
    }
    if ((events & EPOLLIN) && !connection->is_closing) {
        int got = connection_receive(connection);
        if (got < 0)
            connection->is_read_closed = true;
        if (got > 0) {
            connection_handle_frames(connection);
            connection_check_stray_fd(connection);
        }
    }
    connection_send(connection);
    agent_free_retired(agent);
    return 0;
}

void connection_check_deadline(struct connection *connection, uint64_t now_ms)
{
    bool must_speak = connection->has_partial_frame || !connection->has_said_hello;
    bool must_listen = connection->output.len > 0;
    bool is_idle = list_is_empty(&connection->requests) && !connection->subscription_id;

    if (connection->is_parked)
        return;
    if ((must_speak && clock_is_over(now_ms, connection->frame_since_ms, CONNECTION_FRAME_MS)) ||
        (must_listen && clock_is_over(now_ms, connection->active_ms, CONNECTION_FRAME_MS)) ||
        (is_idle && clock_is_over(now_ms, connection->active_ms, CONNECTION_IDLE_MS))) {
        log_debug("closed a connection of pid %d that was silent for too long",
                  (int)connection->peer->pid);
        /* Freed later: what it waited for is told to others, who may end with that. */
        agent_retire_connection(connection->agent, connection);
    }
}

/* Turns a peer away with a reason before it has said anything. */
static void connection_turn_away(int fd, enum protocol_error_code code, const char *text)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer output;
    const struct protocol_error error = {.code = code, .text = wire_span_from_text(text)};

    wire_writer_init(&output, WIRE_FRAME_MAX);
    if (protocol_error_encode(&output, &error) == 0)
        (void)send(fd, output.data, output.len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Once a minute: whoever is turned away must not be able to fill our log. */
static void connection_log_stranger(struct agent *agent, const struct peer *peer)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (agent->stranger_logged_ms && now_ms - agent->stranger_logged_ms < CONNECTION_STRANGER_MS)
        return;
    agent->stranger_logged_ms = now_ms;
    log_warning("turned away uid %u (pid %d), %llu so far: not served; see `users =` in man 5 "
                "mtls-agent.conf",
                (unsigned int)peer->uid, (int)peer->pid,
                (unsigned long long)agent->counters.turned_away);
}

static int connection_admit(struct agent *agent, int fd, struct peer **ret_peer,
                            struct user **ret_user)
{
    _cleanup_(cleanup_peer) struct peer *peer = NULL;

    int r = peer_new(fd, &peer);
    if (r)
        return r;
    if (!agent_serves(agent, peer)) {
        agent->counters.turned_away++;
        agent->counters.refusals++;
        connection_log_stranger(agent, peer);
        connection_turn_away(fd, PROTOCOL_E_POLICY, "this agent does not serve your user");
        return 1;
    }
    r = user_add_connection(&agent->users, peer->uid, ret_user);
    if (r > 0)
        connection_turn_away(fd, PROTOCOL_E_BUSY, "your user has too many connections open");
    if (r)
        return r;
    *ret_peer = TAKE_PTR(peer);
    return 0;
}

void connection_accept(struct agent *agent, int fd)
{
    _cleanup_close_ int owned_fd = fd;
    struct peer *peer = NULL;
    struct user *user = NULL;

    if (connection_admit(agent, fd, &peer, &user))
        return;
    struct connection *connection = calloc(1, sizeof(*connection));
    if (!connection) {
        (void)peer_unref(peer);
        user_remove_connection(&agent->users, user);
        return;
    }
    list_init(&connection->link);
    list_init(&connection->requests);
    list_init(&connection->lines);
    connection->agent = agent;
    connection->fd = TAKE_FD(owned_fd);
    connection->received_fd = -1;
    connection->peer = peer;
    connection->user = user;
    connection->frame_since_ms = clock_monotonic_ms();
    connection->active_ms = connection->frame_since_ms;
    wire_writer_init(&connection->output, CONNECTION_OUTPUT_MAX);
    agent->counters.connections++;
    list_append(&agent->connections, &connection->link);
    if (sd_event_add_io(agent->event, &connection->io, connection->fd, EPOLLIN,
                        connection_handle_io, connection) < 0) {
        (void)connection_free(connection);
        return;
    }
    agent_watch(agent);
}
