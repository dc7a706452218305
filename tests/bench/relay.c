/* SPDX-License-Identifier: Apache-2.0 */
/* Two hops around a signature; see relay.h. */
#include "relay.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* About what a request and a reply of the agent take. */
#define RELAY_REQUEST_LEN 200
#define RELAY_REPLY_LEN 80

/* Waits in poll(), as the agent's client and core do. */
static bool relay_receive(int fd, size_t expected)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    char buffer[RELAY_REQUEST_LEN];

    return poll(&poll_fd, 1, -1) == 1 && recv(fd, buffer, sizeof(buffer), 0) == (ssize_t)expected;
}

static bool relay_send(int fd, size_t len)
{
    static const char buffer[RELAY_REQUEST_LEN];

    return send(fd, buffer, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static int relay_run_signer(int fd, const struct signer_options *options)
{
    struct signer *signer = NULL;
    struct signer_thread *thread = NULL;

    if (signer_open(options, &signer) || signer_thread_open(signer, &thread))
        return 1;
    while (relay_receive(fd, RELAY_REQUEST_LEN))
        if (signer_sign(thread) || !relay_send(fd, RELAY_REPLY_LEN))
            return 1;
    signer_thread_close(thread);
    signer_close(signer);
    return 0;
}

static int relay_run_middle(int client, int signer)
{
    while (relay_receive(client, RELAY_REQUEST_LEN))
        if (!relay_send(signer, RELAY_REQUEST_LEN) || !relay_receive(signer, RELAY_REPLY_LEN) ||
            !relay_send(client, RELAY_REPLY_LEN))
            return 1;
    return 0;
}

int relay_start(const struct signer_options *options, struct relay *ret_relay)
{
    int outer[2] = {-1, -1};
    int inner[2] = {-1, -1};
    pid_t pid = -1;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, outer) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, inner) < 0 || (pid = fork()) < 0) {
        perror("relay");
        return 1;
    }
    if (pid == 0) {
        (void)close_fd(outer[0]);
        (void)close_fd(outer[1]);
        (void)close_fd(inner[0]);
        _exit(relay_run_signer(inner[1], options));
    }
    (void)close_fd(inner[1]);
    pid = fork();
    if (pid < 0) {
        perror("fork");
        return 1;
    }
    if (pid == 0) {
        (void)close_fd(outer[0]);
        _exit(relay_run_middle(outer[1], inner[0]));
    }
    (void)close_fd(outer[1]);
    (void)close_fd(inner[0]);
    ret_relay->fd = outer[0];
    return 0;
}

int relay_sign(void *relay)
{
    int fd = ((struct relay *)relay)->fd;

    return relay_send(fd, RELAY_REQUEST_LEN) && relay_receive(fd, RELAY_REPLY_LEN) ? 0 : 1;
}
