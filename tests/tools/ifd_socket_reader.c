/* SPDX-License-Identifier: Apache-2.0 */
/* The socket of a reader and the card behind it; see ifd_socket_reader.h. */
#include "ifd_socket_reader.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* pcscd does not act on the first one when it was about to take the power from the card. */
#define ABSENCES 2

static int listen_at(struct reader *reader)
{
    (void)unlink(reader->address.sun_path);
    reader->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (reader->listener < 0)
        return -errno;
    if (bind(reader->listener, (struct sockaddr *)&reader->address, sizeof(reader->address)) < 0)
        return -errno;
    return listen(reader->listener, 4) < 0 ? -errno : 0;
}

int reader_init(struct reader *reader, const char *path)
{
    int r;

    *reader = (struct reader){.address.sun_family = AF_UNIX, .listener = -1, .wake = -1};
    reader->link = -1;
    if (strlen(path) >= sizeof(reader->address.sun_path))
        return -ENAMETOOLONG;
    (void)memcpy(reader->address.sun_path, path, strlen(path));
    (void)pthread_mutex_init(&reader->lock, NULL);
    reader->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = reader->wake < 0 ? -errno : listen_at(reader);
    if (r < 0)
        reader_deinit(reader);
    return r;
}

void reader_deinit(struct reader *reader)
{
    if (reader->link >= 0)
        (void)shutdown(reader->link, SHUT_RDWR); /* as in reader_has_card() */
    (void)pthread_mutex_lock(&reader->lock);
    if (reader->link >= 0)
        (void)close(reader->link);
    if (reader->listener >= 0) {
        (void)close(reader->listener);
        (void)unlink(reader->address.sun_path);
    }
    if (reader->wake >= 0)
        (void)close(reader->wake);
    reader->link = reader->listener = reader->wake = -1;
    (void)pthread_mutex_unlock(&reader->lock);
    (void)pthread_mutex_destroy(&reader->lock);
}

static bool is_hung_up(int fd)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLRDHUP};

    return poll(&pollfd, 1, 0) == 1 && pollfd.revents != 0;
}

bool reader_has_card(struct reader *reader)
{
    if (reader->absences > 0) {
        reader->absences--;
        return false;
    }
    if (reader->link < 0) {
        reader->lost = false;
        reader->link = accept4(reader->listener, NULL, NULL, SOCK_CLOEXEC);
        return reader->link >= 0;
    }
    if (!reader->lost && !is_hung_up(reader->link))
        return true;
    (void)shutdown(reader->link, SHUT_RDWR); /* an exchange on its way ends and gives up the lock */
    (void)pthread_mutex_lock(&reader->lock);
    (void)close(reader->link);
    reader->link = -1;
    (void)pthread_mutex_unlock(&reader->lock);
    reader->absences = ABSENCES - 1;
    return false;
}

void reader_wait_change(struct reader *reader, int timeout_ms)
{
    bool is_there = reader->link >= 0;
    struct pollfd pollfds[] = {
        {.fd = is_there ? reader->link : reader->listener, .events = is_there ? POLLRDHUP : POLLIN},
        {.fd = reader->wake, .events = POLLIN},
    };

    uint64_t count;

    if (reader->lost || reader->absences > 0)
        return;
    if (poll(pollfds, 2, timeout_ms) > 0 && pollfds[1].revents != 0)
        (void)!read(reader->wake, &count, sizeof(count));
}

void reader_wake(struct reader *reader)
{
    const uint64_t one = 1;

    (void)!write(reader->wake, &one, sizeof(one)); /* when it is full, it is set */
}

/* Under the lock. The link is closed by reader_has_card(), which tells pcscd at the same time. */
static int fail(struct reader *reader)
{
    reader->lost = true;
    (void)shutdown(reader->link, SHUT_RDWR);
    return READER_E_NO_CARD;
}

static int send_locked(struct reader *reader, enum reader_kind kind, const void *data,
                       size_t data_len)
{
    uint8_t first = (uint8_t)kind;
    struct iovec parts[] = {{&first, 1}, {(void *)(uintptr_t)data, data_len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    if (data_len > READER_MESSAGE_MAX - 1)
        return READER_E_TOO_LONG;
    if (reader->link < 0 || reader->lost)
        return READER_E_NO_CARD;
    return sendmsg(reader->link, &message, MSG_NOSIGNAL) < 0 ? fail(reader) : 0;
}

static int receive_locked(struct reader *reader, void *answer, size_t answer_size, size_t *ret_len)
{
    uint8_t kind = 0;
    struct iovec parts[] = {{&kind, 1}, {answer, answer_size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t len;

    do
        len = recvmsg(reader->link, &message, 0);
    while (len < 0 && errno == EINTR);
    if (len < 1)
        return fail(reader);
    if (message.msg_flags & MSG_TRUNC)
        return READER_E_TOO_LONG;
    *ret_len = (size_t)len - 1;
    return 0;
}

int reader_send(struct reader *reader, enum reader_kind kind, const void *data, size_t data_len)
{
    int r;

    (void)pthread_mutex_lock(&reader->lock);
    r = send_locked(reader, kind, data, data_len);
    (void)pthread_mutex_unlock(&reader->lock);
    return r;
}

int reader_exchange(struct reader *reader, enum reader_kind kind, const void *data, size_t data_len,
                    void *answer, size_t answer_size, size_t *ret_len)
{
    int r;

    (void)pthread_mutex_lock(&reader->lock);
    r = send_locked(reader, kind, data, data_len);
    if (r == 0)
        r = receive_locked(reader, answer, answer_size, ret_len);
    (void)pthread_mutex_unlock(&reader->lock);
    return r;
}
