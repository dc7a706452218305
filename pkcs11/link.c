/* SPDX-License-Identifier: Apache-2.0 */
/* Packets to and from the core; see link.h. */
#include "pkcs11/link.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#define LINK_FDS_MAX 4u /* room for descriptors in one packet; the kernel drops the rest */

int link_init(int fd)
{
    int size = 2 * (int)LINK_PACKET_MAX;
    int flags = fcntl(fd, F_GETFL);

    /* socketpair() gives both ends the same flags, and the core's end is non-blocking. */
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return -errno;
    /* A packet must fit the send buffer as a whole. What an unprivileged process gets at most
     * (net.core.wmem_max, doubled by the kernel) is enough with any sane setting. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) < 0)
        return -errno;
    return 0;
}

/* The one descriptor of a packet; every other one is closed. */
static int link_take_fd(struct msghdr *header)
{
    int first = -1;
    size_t total = 0;

    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg; cmsg = CMSG_NXTHDR(header, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd = -1;
            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
            if (total++ == 0)
                first = fd;
            else
                (void)close_fd(fd);
        }
    }
    if (total > 1 || (header->msg_flags & MSG_CTRUNC))
        first = close_fd(first);
    return first;
}

int link_receive(int fd, bool wait, uint8_t *buffer, struct wire_span *ret_packet, int *ret_fd)
{
    union {
        struct cmsghdr align;
        char data[CMSG_SPACE(sizeof(int) * LINK_FDS_MAX)];
    } control;
    struct iovec iov = {.iov_len = LINK_PACKET_MAX};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t got;

    iov.iov_base = buffer;
    do {
        header.msg_control = control.data;
        header.msg_controllen = sizeof(control.data);
        got = recvmsg(fd, &header, wait ? MSG_CMSG_CLOEXEC : MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && !wait && (errno == EAGAIN || errno == EWOULDBLOCK))
        return LINK_E_AGAIN;
    if (got < 0)
        return errno == ECONNRESET ? LINK_E_END : -errno;

    int passed = header.msg_controllen > 0 ? link_take_fd(&header) : -1;
    if (got == 0 || (header.msg_flags & MSG_TRUNC)) {
        (void)close_fd(passed);
        return got == 0 ? LINK_E_END : -EMSGSIZE;
    }
    *ret_packet = (struct wire_span){buffer, (size_t)got};
    *ret_fd = passed;
    return 0;
}

int link_send(int fd, const struct wire_writer *writer)
{
    ssize_t sent;

    do {
        sent = send(fd, writer->data, writer->len, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}
