/* SPDX-License-Identifier: Apache-2.0 */
/* Packets and descriptors over a real socket pair. */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "pkcs11/link.h"
#include "unit.h"

struct pair {
    int core;
    int worker;
    uint8_t *buffer;
};

static int setup(void **state)
{
    static struct pair pair;
    int fds[2];
    int size = 2 * (int)LINK_PACKET_MAX;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return -1;
    pair = (struct pair){fds[0], fds[1], malloc(LINK_PACKET_MAX)};
    *state = &pair;
    if (setsockopt(pair.core, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0)
        return -1;
    return pair.buffer ? link_init(pair.worker) : -1;
}

static int teardown(void **state)
{
    struct pair *pair = *state;

    pair->core = close_fd(pair->core);
    pair->worker = close_fd(pair->worker);
    free(pair->buffer);
    return 0;
}

static void send_with_fds(const struct pair *pair, const void *data, size_t len, size_t fd_count)
{
    union {
        struct cmsghdr align;
        char data[CMSG_SPACE(sizeof(int) * 100)];
    } control = {0};
    struct iovec iov = {(void *)(uintptr_t)data, len};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd_count > 0) {
        header.msg_control = control.data;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        for (size_t i = 0; i < fd_count; i++)
            memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &pair->core, sizeof(int));
    }
    assert_int_equal(sendmsg(pair->core, &header, 0), len);
}

static int lowest_free_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)close_fd(fd);
    return fd;
}

static void test_init_makes_blocking(void **state)
{
    struct pair *pair = *state;

    assert_int_equal(fcntl(pair->worker, F_GETFL) & O_NONBLOCK, 0);
}

static void test_receive_plain(void **state)
{
    struct pair *pair = *state;
    struct wire_span packet;
    int fd = 99;

    send_with_fds(pair, "hello", 5, 0);
    assert_int_equal(link_receive(pair->worker, true, pair->buffer, &packet, &fd), 0);
    assert_int_equal(packet.len, 5);
    assert_int_equal(fd, -1);
}

static void test_receive_without_waiting(void **state)
{
    struct pair *pair = *state;
    struct wire_span packet;
    int fd = -1;

    assert_int_equal(link_receive(pair->worker, false, pair->buffer, &packet, &fd), LINK_E_AGAIN);
    send_with_fds(pair, "hello", 5, 0);
    assert_int_equal(link_receive(pair->worker, false, pair->buffer, &packet, &fd), 0);
    assert_int_equal(packet.len, 5);
}

static void test_receive_one_descriptor(void **state)
{
    struct pair *pair = *state;
    struct wire_span packet;
    int fd = -1;

    send_with_fds(pair, "hello", 5, 1);
    assert_int_equal(link_receive(pair->worker, true, pair->buffer, &packet, &fd), 0);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    (void)close_fd(fd);
}

static void test_receive_many_descriptors_keeps_none(void **state)
{
    static const size_t counts[] = {2, 4, 5, 6, 100};
    struct pair *pair = *state;
    int before = lowest_free_fd();

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct wire_span packet;
        int fd = 99;
        send_with_fds(pair, "hello", 5, counts[i]);
        assert_int_equal(link_receive(pair->worker, true, pair->buffer, &packet, &fd), 0);
        assert_int_equal(fd, -1);
        assert_int_equal(lowest_free_fd(), before);
    }
}

static void test_largest_packet_both_ways(void **state)
{
    struct pair *pair = *state;
    uint8_t *large = calloc(1, LINK_PACKET_MAX);
    struct wire_writer writer = {.data = large, .len = LINK_PACKET_MAX};
    struct wire_span packet;
    int fd = -1;

    send_with_fds(pair, large, LINK_PACKET_MAX, 0);
    assert_int_equal(link_receive(pair->worker, true, pair->buffer, &packet, &fd), 0);
    assert_int_equal(packet.len, LINK_PACKET_MAX);
    assert_int_equal(link_send(pair->worker, &writer), 0);
    assert_int_equal(recv(pair->core, pair->buffer, LINK_PACKET_MAX, 0), LINK_PACKET_MAX);
    free(large);
}

static void test_receive_oversized_packet(void **state)
{
    struct pair *pair = *state;
    uint8_t *large = calloc(1, LINK_PACKET_MAX + 1);
    struct wire_span packet;
    int fd = 99;
    int before = lowest_free_fd();

    send_with_fds(pair, large, LINK_PACKET_MAX + 1, 1);
    assert_int_equal(link_receive(pair->worker, true, pair->buffer, &packet, &fd), -EMSGSIZE);
    assert_int_equal(lowest_free_fd(), before);
    free(large);
}

static void test_end(void **state)
{
    struct pair *pair = *state;
    uint8_t byte = 1;
    struct wire_writer writer = {.data = &byte, .len = 1};
    struct wire_span packet;
    int fd = -1;

    pair->core = close_fd(pair->core);
    assert_int_equal(link_receive(pair->worker, true, pair->buffer, &packet, &fd), LINK_E_END);
    assert_int_equal(link_send(pair->worker, &writer), -EPIPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_init_makes_blocking, setup, teardown),
        cmocka_unit_test_setup_teardown(test_receive_plain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_receive_without_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_receive_one_descriptor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_receive_many_descriptors_keeps_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_largest_packet_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(test_receive_oversized_packet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end, setup, teardown),
    };

    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
