/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket. Only connect() blocks, with a timeout; else poll() waits, so that an exchange is one
 * send, one poll and one recv.
 */
#include "client/lib/connection.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "client/lib/deadline.h"
#include "client/lib/error.h"
#include "client/lib/peer.h"
#include "common/escape.h"
#include "common/protocol.h"

/* Room for a frame of full size behind the rest of one that could not be sent in time. */
#define CONNECTION_OUT_MAX (2u * (WIRE_FRAME_MAX + WIRE_HEADER_LEN))

#define CONNECTION_PATH_TEXT_LEN 512u

static int connection_set_send_timeout(int fd, uint64_t left_us)
{
    struct timeval timeout = deadline_to_timeval(left_us);

    return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ? -errno : 0;
}

/* A program may run with its standard descriptors closed; its output must not end up here. */
static int connection_open_socket(int *ret_fd)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (fd <= STDERR_FILENO) {
        int higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (higher < 0)
            return -errno;
        *ret_fd = higher;
        return 0;
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/*
 * A blocking connect with a send timeout: where the listener's backlog is full the kernel waits for
 * room, which a non-blocking connect on a Unix socket does not do.
 */
static int connection_connect(int fd, const struct sockaddr_un *address, uint64_t deadline_us)
{
    for (;;) {
        uint64_t left_us = deadline_left_us(deadline_us);
        if (left_us == 0)
            return CONNECTION_E_TIMEOUT;
        int r = connection_set_send_timeout(fd, left_us);
        if (r)
            return r;
        if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
            return 0;
        if (errno == EAGAIN)
            return CONNECTION_E_TIMEOUT;
        if (errno != EINTR)
            return -errno;
    }
}

static int connection_explain_connect(const char *path, int r, struct mtls_agent_error *error)
{
    char shown[CONNECTION_PATH_TEXT_LEN];

    (void)escape_cstring(path, shown, sizeof(shown));
    switch (r) {
    case CONNECTION_E_TIMEOUT:
        return client_error_set(error, MTLS_AGENT_E_TIMEOUT,
                                "the agent at %s did not accept a connection in time", shown);
    case -ENOENT:
    case -ECONNREFUSED:
    case -ENOTDIR:
        return client_error_set(error, MTLS_AGENT_E_NO_AGENT,
                                "no agent listens at %s; start it with `systemctl --user start "
                                "mtls-agent.socket` or `mtls-agent`, or set MTLS_AGENT_SOCK to the "
                                "socket of a running one",
                                shown);
    case -EACCES:
    case -EPERM:
        return client_error_set(error, MTLS_AGENT_E_NO_AGENT,
                                "no permission for the agent's socket %s; set MTLS_AGENT_SOCK to "
                                "the socket of your own agent",
                                shown);
    case -ENOMEM:
    case -ENOBUFS:
        return client_error_set_memory(error);
    default:
        return client_error_set(error, MTLS_AGENT_E_NO_AGENT,
                                "cannot connect to the agent at %s: %s", shown, strerror(-r));
    }
}

static int connection_check_peer(int fd, const char *path, struct mtls_agent_error *error)
{
    char shown[CONNECTION_PATH_TEXT_LEN];
    uid_t uid = 0;
    int r = peer_check(fd, path, &uid);

    if (r == 0)
        return 0;
    if (r < 0)
        return connection_explain_connect(path, r, error);
    return client_error_set(error, MTLS_AGENT_E_NO_AGENT,
                            "the process that listens at %s runs as uid %u, which is neither you, "
                            "nor root, nor the owner of a directory that only it can write to; it "
                            "is not trusted: set MTLS_AGENT_SOCK to the socket of your own agent",
                            escape_cstring(path, shown, sizeof(shown)), (unsigned int)uid);
}

static int connection_open(const char *path, uint64_t deadline_us, int *ret_fd,
                           struct mtls_agent_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _cleanup_close_ int fd = -1;

    if (path[0] == '\0' || strlen(path) >= sizeof(address.sun_path)) {
        char shown[CONNECTION_PATH_TEXT_LEN];
        return client_error_set(error, MTLS_AGENT_E_ARGUMENT,
                                "the path of a socket has 1 to %zu bytes; \"%s\" has %zu: set "
                                "MTLS_AGENT_SOCK to a shorter one",
                                sizeof(address.sun_path) - 1,
                                escape_cstring(path, shown, sizeof(shown)), strlen(path));
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int r = connection_open_socket(&fd);
    if (r == 0)
        r = connection_connect(fd, &address, deadline_us);
    if (r)
        return connection_explain_connect(path, r, error);
    r = connection_check_peer(fd, path, error);
    if (r)
        return r;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static struct connection *connection_free(struct connection *connection)
{
    (void)close_fd(atomic_exchange(&connection->fd, -1));
    frame_buffer_deinit(&connection->in);
    wire_writer_deinit(&connection->out);
    (void)pthread_cond_destroy(&connection->writer_left);
    free(connection);
    return NULL;
}

DEFINE_CLEANUP(struct connection *, connection, connection_free)

void connection_unref(struct connection *connection)
{
    if (--connection->ref_count == 0)
        (void)connection_free(connection);
}

void connection_abandon(struct connection *connection)
{
    (void)close_fd(atomic_exchange(&connection->fd, -1));
}

static ssize_t connection_send_with_fd(int fd, const struct wire_writer *out, int pass_fd)
{
    struct iovec iov = {.iov_base = out->data, .iov_len = out->len};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };

    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &pass_fd, sizeof(pass_fd));
    return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int connection_send(struct connection *connection, int pass_fd)
{
    struct wire_writer *out = &connection->out;
    int fd = connection->fd;

    while (out->len > 0) {
        ssize_t sent = pass_fd >= 0 ? connection_send_with_fd(fd, out, pass_fd)
                                    : send(fd, out->data, out->len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            pass_fd = -1;
            wire_writer_consume(out, (size_t)sent);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return CONNECTION_E_AGAIN;
        if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
            return CONNECTION_E_RESET;
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

/* Returns 0 when the socket has one of @events, also after the deadline; CONNECTION_E_TIMEOUT, or
 * -errno. */
static int connection_wait(const struct connection *connection, short events, uint64_t deadline_us)
{
    for (;;) {
        struct pollfd poll_fd = {.fd = connection->fd, .events = events};
        uint64_t left_ms = (deadline_left_us(deadline_us) + 999u) / 1000u;
        int ready = poll(&poll_fd, 1, clock_poll_timeout(left_ms));
        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (left_ms == 0)
            return CONNECTION_E_TIMEOUT;
    }
}

int connection_wait_writable(const struct connection *connection, uint64_t deadline_us)
{
    return connection_wait(connection, POLLOUT, deadline_us);
}

/*
 * Waits in poll(), not in recv(): when the agent reads a request, the kernel tells the sender that
 * there is room again, and that wakes a thread in recv() for nothing, one that polls for input not.
 */
int connection_receive(struct connection *connection, uint64_t deadline_us)
{
    uint8_t *room = NULL;
    size_t len = 0;
    int r = frame_buffer_reserve(&connection->in, &room, &len);

    while (r == 0) {
        r = connection_wait(connection, POLLIN, deadline_us);
        if (r)
            break;
        ssize_t received = recv(connection->fd, room, len, MSG_DONTWAIT);
        if (received > 0) {
            frame_buffer_commit(&connection->in, (size_t)received);
            return 0;
        }
        if (received == 0)
            return CONNECTION_E_END;
        if (errno == ECONNRESET || errno == EPIPE)
            return CONNECTION_E_RESET;
        if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
            return -errno;
    }
    return r;
}

int connection_flush(struct connection *connection, uint64_t deadline_us)
{
    for (;;) {
        int r = connection_send(connection, -1);
        if (r != CONNECTION_E_AGAIN)
            return r;
        r = connection_wait_writable(connection, deadline_us);
        if (r)
            return r;
    }
}

int connection_receive_frame(struct connection *connection, uint64_t deadline_us,
                             struct frame *ret_frame)
{
    for (;;) {
        int r = frame_buffer_next(&connection->in, ret_frame);
        if (r == 0)
            return 0;
        if (r != WIRE_E_MORE)
            return -EBADMSG;
        r = connection_receive(connection, deadline_us);
        if (r)
            return r;
    }
}

static int connection_send_hello(struct connection *connection, const char *client_name,
                                 uint64_t deadline_us)
{
    const struct protocol_hello hello = {
        .version_min = PROTOCOL_VERSION,
        .version_max = PROTOCOL_VERSION,
        .client_name = wire_span_from_text(client_name),
    };

    if (protocol_hello_encode(&connection->out, &hello))
        return -ENOMEM;
    return connection_flush(connection, deadline_us);
}

static int connection_explain_hello(const char *path, int r, struct mtls_agent_error *error)
{
    char shown[CONNECTION_PATH_TEXT_LEN];

    (void)escape_cstring(path, shown, sizeof(shown));
    switch (r) {
    case CONNECTION_E_TIMEOUT:
        return client_error_set(error, MTLS_AGENT_E_TIMEOUT,
                                "the agent at %s did not answer in time; if it hangs, restart it",
                                shown);
    case CONNECTION_E_END:
    case CONNECTION_E_RESET:
        return client_error_set(error, MTLS_AGENT_E_CONNECTION,
                                "the agent at %s closed the connection at once; its log says why",
                                shown);
    case -ENOMEM:
        return client_error_set_memory(error);
    case -EBADMSG:
        return client_error_set(error, MTLS_AGENT_E_PROTOCOL,
                                "what listens at %s does not speak the agent's protocol", shown);
    default:
        return client_error_set(error, MTLS_AGENT_E_CONNECTION,
                                "the connection to the agent at %s failed: %s", shown,
                                strerror(-r));
    }
}

/* The answer to HELLO: our version, or one sentence why not. */
static int connection_take_hello_reply(const char *path, const struct frame *frame,
                                       struct mtls_agent_error *error)
{
    struct protocol_hello_reply reply;
    struct protocol_error failure;

    if (frame->type == PROTOCOL_ERROR && protocol_error_parse(frame->body, &failure) == 0)
        return client_error_set_from_agent(error, &failure);
    if (frame->type != PROTOCOL_HELLO_REPLY || protocol_hello_reply_parse(frame->body, &reply))
        return connection_explain_hello(path, -EBADMSG, error);
    if (reply.version != PROTOCOL_VERSION)
        return client_error_set(error, MTLS_AGENT_E_VERSION,
                                "the agent chose protocol version %u, which was not offered",
                                (unsigned int)reply.version);
    return 0;
}

/*
 * An agent that has no room says so and closes before it reads HELLO, so a send that finds the
 * connection closed is no reason to leave the agent's sentence unread.
 */
static int connection_greet(struct connection *connection, const char *path,
                            const char *client_name, uint64_t deadline_us, bool *ret_retry,
                            struct mtls_agent_error *error)
{
    struct frame frame;
    int r = connection_send_hello(connection, client_name, deadline_us);

    if (r == 0 || r == CONNECTION_E_RESET)
        r = connection_receive_frame(connection, deadline_us, &frame);
    if (r) {
        *ret_retry = r == CONNECTION_E_END || r == CONNECTION_E_RESET;
        return connection_explain_hello(path, r, error);
    }
    return connection_take_hello_reply(path, &frame, error);
}

/* Takes @fd, also when it fails. */
static struct connection *connection_alloc(int fd)
{
    _cleanup_close_ int owned_fd = fd;
    _cleanup_free_ struct connection *connection = calloc(1, sizeof(*connection));

    if (!connection || deadline_init_condition(&connection->writer_left))
        return NULL;
    connection->ref_count = 1;
    atomic_init(&connection->fd, TAKE_FD(owned_fd));
    wire_writer_init(&connection->out, CONNECTION_OUT_MAX);
    return TAKE_PTR(connection);
}

int connection_new(const char *path, const char *client_name, uint64_t deadline_us,
                   struct connection **ret_connection, bool *ret_retry,
                   struct mtls_agent_error *error)
{
    int fd = -1;

    *ret_retry = false;
    int r = connection_open(path, deadline_us, &fd, error);
    if (r)
        return r;
    _cleanup_(cleanup_connection) struct connection *connection = connection_alloc(fd);
    if (!connection)
        return client_error_set_memory(error);
    r = connection_greet(connection, path, client_name, deadline_us, ret_retry, error);
    if (r)
        return r;
    *ret_connection = TAKE_PTR(connection);
    return 0;
}
