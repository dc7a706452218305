/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel at its most awkward: sends and receives of one byte, interrupted and refused again and
 * again. The library's calls come here first, by the linker's --wrap.
 */
#include <string.h>
#include <sys/socket.h>

#include "client_peer.h"
#include "unit.h"

static bool is_awkward;
static unsigned int turn;

/* The names are the linker's: --wrap=SYMBOL. */
ssize_t __real_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __real_recv(int fd, void *room, size_t len, int flags);
int __real_connect(int fd, const struct sockaddr *address, socklen_t len);
ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_recv(int fd, void *room, size_t len, int flags);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len);

/* True on two turns of three, with errno set: EINTR, then EAGAIN. */
static bool is_refused(void)
{
    static const int errors[] = {EINTR, EAGAIN, 0};

    if (!is_awkward)
        return false;
    errno = errors[turn++ % ARRAY_SIZE(errors)];
    return errno != 0;
}

ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags)
{
    if (is_refused())
        return -1;
    return __real_send(fd, bytes, is_awkward ? 1 : len, flags);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct iovec iov = message->msg_iov[0];
    struct msghdr copy = *message;

    if (is_refused())
        return -1;
    if (is_awkward)
        iov.iov_len = 1;
    copy.msg_iov = &iov;
    return __real_sendmsg(fd, &copy, flags);
}

ssize_t __wrap_recv(int fd, void *room, size_t len, int flags)
{
    if (is_refused())
        return -1;
    return __real_recv(fd, room, is_awkward ? 1 : len, flags);
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
    static bool was_interrupted;

    was_interrupted = is_awkward && !was_interrupted;
    if (was_interrupted) {
        errno = EINTR;
        return -1;
    }
    return __real_connect(fd, address, len);
}

static int setup_awkward(void **state)
{
    is_awkward = false;
    turn = 0;
    return peer_setup(state);
}

static int teardown_awkward(void **state)
{
    is_awkward = false;
    return peer_teardown(state);
}

static void test_sign_byte_by_byte(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    char signature[64];

    peer_start(peer, peer_script_echo);
    is_awkward = true;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(peer_sign(agent, "byte by byte", signature, NULL), 0);
        assert_string_equal(signature, "byte by byte");
    }
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void script_unlock(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;
    struct wire_writer writer;
    char byte = 0;

    peer_accept(side, &conn);
    peer_expect(&conn, PROTOCOL_UNLOCK, &request);
    if (conn.passed_fd < 0 || read(conn.passed_fd, &byte, 1) != 1 || byte != '7')
        peer_fail("no pipe came");
    wire_writer_init(&writer, WIRE_FRAME_MAX);
    if (protocol_bare_encode(&writer, PROTOCOL_UNLOCK_REPLY, request.id))
        peer_fail("encode");
    peer_send_writer(&conn, &writer);
    peer_expect_end(&conn);
}

static void test_unlock_byte_by_byte_passes_one_pipe(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    int pipe_fds[2];

    peer_start(peer, script_unlock);
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(write(pipe_fds[1], "7", 1), 1);
    is_awkward = true;
    int code = mtls_agent_unlock(agent, NULL, pipe_fds[0], NULL);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
    assert_int_equal(code, 0);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

#define AWKWARD_TEST(test) cmocka_unit_test_setup_teardown(test, setup_awkward, teardown_awkward)

int main(void)
{
    const struct CMUnitTest tests[] = {
        AWKWARD_TEST(test_sign_byte_by_byte),
        AWKWARD_TEST(test_unlock_byte_by_byte_passes_one_pipe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
