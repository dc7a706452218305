/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted peer of client tests; see client_peer.h. */
#include "client_peer.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define PEER_PATIENCE_MS 20000 /* a script that waits longer has gone wrong */

const uint8_t peer_hash[MTLS_AGENT_KEY_HASH_LEN] = {1, 2, 3, 4};

int peer_listen(struct peer *peer, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, peer->path, sizeof(peer->path));
    (void)unlink(peer->path);
    peer->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer->listen_fd < 0 ||
        bind(peer->listen_fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -1;
    return listen(peer->listen_fd, backlog);
}

int peer_setup(void **state)
{
    struct peer *peer = calloc(1, sizeof(*peer));

    if (!peer)
        return -1;
    *state = peer;
    peer->listen_fd = -1;
    peer->sync_fd = -1;
    (void)snprintf(peer->dir, sizeof(peer->dir), "/tmp/mtls-client-test-XXXXXX");
    if (!mkdtemp(peer->dir))
        return -1;
    (void)snprintf(peer->path, sizeof(peer->path), "%s/agent.sock", peer->dir);
    return peer_listen(peer, PEER_BACKLOG);
}

void peer_kill(struct peer *peer)
{
    if (peer->pid > 0) {
        (void)kill(peer->pid, SIGKILL);
        (void)peer_end(peer);
    }
}

int peer_teardown(void **state)
{
    struct peer *peer = *state;

    peer_kill(peer);
    peer->listen_fd = close_fd(peer->listen_fd);
    (void)unlink(peer->path);
    (void)rmdir(peer->dir);
    free(peer);
    return 0;
}

void peer_start(struct peer *peer, peer_script_fn script)
{
    int pair[2];

    (void)fflush(NULL);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        abort();
    peer->pid = fork();
    if (peer->pid < 0)
        abort();
    if (peer->pid == 0) {
        struct peer_side side = {.listen_fd = peer->listen_fd, .sync_fd = pair[1]};
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(pair[0]);
        script(&side);
        _exit(0);
    }
    (void)close(pair[1]);
    peer->sync_fd = pair[0];
    peer->listen_fd = close_fd(peer->listen_fd);
}

int peer_end(struct peer *peer)
{
    int status = 0;

    peer->sync_fd = close_fd(peer->sync_fd);
    if (waitpid(peer->pid, &status, 0) < 0)
        abort();
    peer->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

void peer_fail(const char *what)
{
    fprintf(stderr, "peer: %s (%s)\n", what, strerror(errno));
    _exit(1);
}

static void peer_wait_readable(int fd, const char *what)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    if (poll(&poll_fd, 1, PEER_PATIENCE_MS) != 1)
        peer_fail(what);
}

void peer_signal(int sync_fd)
{
    if (send(sync_fd, "!", 1, MSG_NOSIGNAL) != 1)
        peer_fail("signal");
}

void peer_await(int sync_fd)
{
    char byte = 0;

    peer_wait_readable(sync_fd, "await");
    if (read(sync_fd, &byte, 1) != 1)
        peer_fail("await: the other side is gone");
}

void peer_accept_raw(struct peer_side *side, struct peer_conn *conn)
{
    *conn = (struct peer_conn){.passed_fd = -1};
    peer_wait_readable(side->listen_fd, "nobody connects");
    conn->fd = accept4(side->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (conn->fd < 0)
        peer_fail("accept");
}

void peer_accept(struct peer_side *side, struct peer_conn *conn)
{
    struct peer_request request;
    struct wire_writer writer;
    const struct protocol_hello_reply reply = {
        .version = PROTOCOL_VERSION,
        .agent_version = WIRE_SPAN_LITERAL("peer"),
    };

    peer_accept_raw(side, conn);
    peer_expect(conn, PROTOCOL_HELLO, &request);
    wire_writer_init(&writer, WIRE_FRAME_MAX);
    if (protocol_hello_reply_encode(&writer, &reply))
        peer_fail("encode");
    peer_send_writer(conn, &writer);
}

void peer_close(struct peer_conn *conn)
{
    conn->fd = close_fd(conn->fd);
}

static ssize_t peer_receive(struct peer_conn *conn, uint8_t *room, size_t len)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = room, .iov_len = len};
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };

    peer_wait_readable(conn->fd, "no bytes come");
    ssize_t received = recvmsg(conn->fd, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = received > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(&conn->passed_fd, CMSG_DATA(header), sizeof(int));
    return received;
}

bool peer_read(struct peer_conn *conn, struct peer_request *request)
{
    struct frame frame;

    for (;;) {
        int r = frame_buffer_next(&conn->in, &frame);
        if (r == 0)
            break;
        uint8_t *room = NULL;
        size_t len = 0;
        if (r != WIRE_E_MORE || frame_buffer_reserve(&conn->in, &room, &len))
            peer_fail("frame");
        ssize_t received = peer_receive(conn, room, len);
        if (received < 0 && errno != ECONNRESET)
            peer_fail("recv");
        if (received <= 0)
            return false;
        frame_buffer_commit(&conn->in, (size_t)received);
    }
    struct wire_reader reader;
    wire_reader_init(&reader, frame.body);
    *request = (struct peer_request){.type = frame.type, .id = wire_get_u32(&reader)};
    request->body = malloc(frame.body.len + 1);
    request->len = frame.body.len;
    if (!request->body)
        peer_fail("memory");
    if (frame.body.len > 0)
        memcpy(request->body, frame.body.data, frame.body.len);
    return true;
}

void peer_expect(struct peer_conn *conn, uint8_t type, struct peer_request *request)
{
    if (!peer_read(conn, request))
        peer_fail("the client closed the connection");
    if (request->type != type)
        peer_fail("another request than expected");
}

void peer_expect_end(struct peer_conn *conn)
{
    struct peer_request request;

    if (peer_read(conn, &request))
        peer_fail("a request where the end was expected");
    peer_close(conn);
}

void peer_send(struct peer_conn *conn, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    while (len > 0) {
        ssize_t sent = send(conn->fd, at, len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EPIPE && conn->client_may_leave)
            return;
        if (sent <= 0)
            peer_fail("send");
        at += sent;
        len -= (size_t)sent;
    }
}

void peer_send_writer(struct peer_conn *conn, struct wire_writer *writer)
{
    peer_send(conn, writer->data, writer->len);
    wire_writer_deinit(writer);
}

void peer_reply_signature(struct peer_conn *conn, uint32_t id, const char *signature)
{
    struct wire_writer writer;
    const struct protocol_sign_reply reply = {
        .id = id,
        .signature = wire_span_from_text(signature),
    };

    wire_writer_init(&writer, WIRE_FRAME_MAX);
    if (protocol_sign_reply_encode(&writer, &reply))
        peer_fail("encode");
    peer_send_writer(conn, &writer);
}

void peer_reply_error(struct peer_conn *conn, uint32_t id, uint32_t code, const char *text)
{
    struct wire_writer writer;
    const struct protocol_error error = {
        .id = id,
        .code = code,
        .text = wire_span_from_text(text),
    };

    wire_writer_init(&writer, WIRE_FRAME_MAX);
    if (protocol_error_encode(&writer, &error))
        peer_fail("encode");
    peer_send_writer(conn, &writer);
}

void peer_reply_echo(struct peer_conn *conn, const struct peer_request *request)
{
    struct protocol_sign sign;
    struct wire_writer writer;

    if (protocol_sign_parse((struct wire_span){request->body, request->len}, &sign))
        peer_fail("sign request");
    const struct protocol_sign_reply reply = {.id = sign.id, .signature = sign.content};
    wire_writer_init(&writer, WIRE_FRAME_MAX);
    if (protocol_sign_reply_encode(&writer, &reply))
        peer_fail("encode");
    peer_send_writer(conn, &writer);
}

void peer_serve_echo(struct peer_conn *conn)
{
    struct peer_request request;

    while (peer_read(conn, &request)) {
        if (request.type != PROTOCOL_SIGN)
            peer_fail("another request than sign");
        peer_reply_echo(conn, &request);
        free(request.body);
    }
    peer_close(conn);
}

void peer_script_echo(struct peer_side *side)
{
    struct peer_conn conn;

    peer_accept(side, &conn);
    peer_serve_echo(&conn);
}

int peer_sign(struct mtls_agent *agent, const char *content, char signature[64],
              struct mtls_agent_error *error)
{
    size_t len = 0;
    int code = mtls_agent_sign(agent, peer_hash, SCHEME_ECDSA_SHA256, MTLS_AGENT_TLS13, content,
                               strlen(content), (uint8_t *)signature, 63, &len, error);

    signature[code == 0 ? len : 0] = '\0';
    return code;
}

size_t peer_count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t count = 0;

    if (!dir)
        abort();
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count;
}
