/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interpose.so, for LD_PRELOAD in tests: the kernel's less friendly answers. Every few calls a read
 * or write of a stream is cut short, or fails with EINTR or EAGAIN, as $INTERPOSE_SHORT asks; and
 * the real-time clock is off by the seconds that the file $INTERPOSE_CLOCK holds, which a test may
 * change at any time; likewise CLOCK_BOOTTIME by those in $INTERPOSE_SLEEP, which is what a program
 * sees of a sleep: CLOCK_MONOTONIC stood still. The sequence of faults is fixed by the seed: a
 * failure can be repeated.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum fault {
    FAULT_NONE,
    FAULT_SHORT,
    FAULT_EINTR,
    FAULT_EAGAIN,
};

/* The next function of that name behind this library. */
#define NEXT(name)                                                    \
    static _Atomic(__typeof__(&name)) next;                           \
    __typeof__(&name) real = atomic_load(&next);                      \
    if (!real) {                                                      \
        real = (__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name); \
        atomic_store(&next, real);                                    \
    }

/* One fault in about two calls; a linear congruence is random enough. */
static enum fault fault_next(void)
{
    static atomic_uint state;
    static atomic_int wanted = -1;

    if (atomic_load(&wanted) < 0) {
        const char *seed = getenv("INTERPOSE_SHORT");
        atomic_store(&state, seed ? (unsigned int)atoi(seed) : 0);
        atomic_store(&wanted, seed != NULL);
    }
    if (!atomic_load(&wanted))
        return FAULT_NONE;
    unsigned int drawn = atomic_fetch_add(&state, 1) * 2654435761u;
    switch (drawn >> 29) {
    case 0:
    case 1:
        return FAULT_SHORT;
    case 2:
        return FAULT_EINTR;
    case 3:
        return FAULT_EAGAIN;
    default:
        return FAULT_NONE;
    }
}

/* Packets are never cut by the kernel, and files are never interrupted: only streams are. */
static bool is_stream(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

static bool is_socket(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
}

/* True when the call fails now, with errno set. EAGAIN only where the kernel may say it. */
static bool fault_fails(enum fault fault, int fd, int flags)
{
    if (fault == FAULT_EAGAIN && !(flags & MSG_DONTWAIT) && !(fcntl(fd, F_GETFL) & O_NONBLOCK))
        return false;
    if (fault == FAULT_EINTR)
        errno = EINTR;
    else if (fault == FAULT_EAGAIN)
        errno = EAGAIN;
    else
        return false;
    return true;
}

/* A packet is refused for want of room only while others lie unread, which a test cannot know. */
static enum fault fault_next_send(int fd)
{
    enum fault fault = fault_next();

    return fault == FAULT_EAGAIN && !is_stream(fd) ? FAULT_NONE : fault;
}

static size_t fault_cut(enum fault fault, int fd, size_t len)
{
    return fault == FAULT_SHORT && len > 1 && is_stream(fd) ? 1 + len / 7 : len;
}

EXPORT ssize_t recv(int fd, void *buffer, size_t len, int flags)
{
    NEXT(recv)
    enum fault fault = fault_next();

    if (fault_fails(fault, fd, flags))
        return -1;
    return real(fd, buffer, fault_cut(fault, fd, len), flags);
}

EXPORT ssize_t send(int fd, const void *buffer, size_t len, int flags)
{
    NEXT(send)
    enum fault fault = fault_next_send(fd);

    if (fault_fails(fault, fd, flags))
        return -1;
    return real(fd, buffer, fault_cut(fault, fd, len), flags);
}

EXPORT ssize_t read(int fd, void *buffer, size_t len)
{
    NEXT(read)
    enum fault fault = is_socket(fd) ? fault_next() : FAULT_NONE;

    if (fault_fails(fault, fd, 0))
        return -1;
    return real(fd, buffer, fault_cut(fault, fd, len));
}

EXPORT ssize_t write(int fd, const void *buffer, size_t len)
{
    NEXT(write)
    enum fault fault = is_socket(fd) ? fault_next_send(fd) : FAULT_NONE;

    if (fault_fails(fault, fd, 0))
        return -1;
    return real(fd, buffer, fault_cut(fault, fd, len));
}

/* The message with its first buffer cut, the others left out. */
static struct msghdr message_cut(const struct msghdr *message, struct iovec *first)
{
    struct msghdr cut = *message;

    *first = message->msg_iov[0];
    first->iov_len = 1 + first->iov_len / 7;
    cut.msg_iov = first;
    cut.msg_iovlen = 1;
    return cut;
}

static bool message_can_be_cut(enum fault fault, int fd, const struct msghdr *message)
{
    return fault == FAULT_SHORT && message->msg_iovlen > 0 && message->msg_iov[0].iov_len > 1 &&
           is_stream(fd);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    NEXT(recvmsg)
    enum fault fault = fault_next();
    struct iovec first;

    if (fault_fails(fault, fd, flags))
        return -1;
    if (!message_can_be_cut(fault, fd, message))
        return real(fd, message, flags);
    struct msghdr cut = message_cut(message, &first);
    ssize_t len = real(fd, &cut, flags);
    message->msg_controllen = cut.msg_controllen;
    message->msg_namelen = cut.msg_namelen;
    message->msg_flags = cut.msg_flags;
    return len;
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    NEXT(sendmsg)
    enum fault fault = fault_next_send(fd);
    struct iovec first;

    if (fault_fails(fault, fd, flags))
        return -1;
    if (!message_can_be_cut(fault, fd, message))
        return real(fd, message, flags);
    struct msghdr cut = message_cut(message, &first);
    return real(fd, &cut, flags);
}

EXPORT int accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
    NEXT(accept4)

    if (fault_fails(fault_next(), fd, 0))
        return -1;
    return real(fd, address, len, flags);
}

EXPORT int epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
    NEXT(epoll_wait)

    if (fault_next() == FAULT_EINTR) {
        errno = EINTR;
        return -1;
    }
    return real(fd, events, count, timeout);
}

/* Seconds by which a clock is wrong at this moment. */
static time_t clock_offset(const char *variable)
{
    const char *path = getenv(variable);
    char text[32] = "";

    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
    (void)close(fd);
    return len > 0 ? (time_t)atoll(text) : 0;
}

EXPORT int clock_gettime(clockid_t clock, struct timespec *now)
{
    NEXT(clock_gettime)

    int r = real(clock, now);
    if (r == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += clock_offset("INTERPOSE_CLOCK");
    if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_BOOTTIME))
        now->tv_sec += clock_offset("INTERPOSE_SLEEP");
    return r;
}

EXPORT int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    NEXT(gettimeofday)

    int r = real(now, zone);
    if (r == 0)
        now->tv_sec += clock_offset("INTERPOSE_CLOCK") + clock_offset("INTERPOSE_SLEEP");
    return r;
}

EXPORT time_t time(time_t *ret_now)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (ret_now)
        *ret_now = now.tv_sec;
    return now.tv_sec;
}
