/* SPDX-License-Identifier: Apache-2.0 */
/* Sending packets; see packet.h. */
#include "agent/packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int packet_send(int fd, const struct wire_writer *packet, int pass_fd)
{
    struct iovec iov = {packet->data, packet->len};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

    if (pass_fd >= 0) {
        message.msg_control = control.space;
        message.msg_controllen = sizeof(control.space);
        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &pass_fd, sizeof(pass_fd));
    }
    for (;;) {
        if (sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}
