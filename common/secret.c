/* SPDX-License-Identifier: Apache-2.0 */
/* PIN memory; see secret.h. */
#include "common/secret.h"

#include <poll.h>
#include <string.h>
#include <sys/mman.h>

#include "common/clock.h"

#define SECRET_MAP_LEN 4096u

_Static_assert(sizeof(struct secret) <= SECRET_MAP_LEN, "a secret fits the pages mapped for it");

struct secret *secret_new(void)
{
    void *map =
        mmap(NULL, SECRET_MAP_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (map == MAP_FAILED)
        return NULL;
    /* Each is a further layer; none is needed for correctness, so a refusal is not an error. */
    (void)mlock(map, SECRET_MAP_LEN);
    (void)madvise(map, SECRET_MAP_LEN, MADV_DONTDUMP);
    (void)madvise(map, SECRET_MAP_LEN, MADV_WIPEONFORK);
    return map;
}

void secret_wipe(struct secret *secret)
{
    explicit_bzero(secret, sizeof(*secret));
}

struct secret *secret_free(struct secret *secret)
{
    if (!secret)
        return NULL;
    secret_wipe(secret);
    (void)munmap(secret, SECRET_MAP_LEN);
    return NULL;
}

/* Waits until @fd can be read or the clock reads @deadline_ms. */
static int secret_wait(int fd, uint64_t deadline_ms)
{
    for (;;) {
        uint64_t now_ms = clock_monotonic_ms();
        if (now_ms >= deadline_ms)
            return SECRET_E_TIMEOUT;
        struct pollfd pollfd = {.fd = fd, .events = POLLIN};
        int ready = poll(&pollfd, 1, clock_poll_timeout(deadline_ms - now_ms));
        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return -errno;
    }
}

/* The secret is what was read, less one line end, if it is usable at all. */
static int secret_finish(struct secret *secret, size_t len)
{
    uint8_t *newline = memchr(secret->data, '\n', len);

    if (newline)
        len = (size_t)(newline - secret->data);
    if (newline && len > 0 && secret->data[len - 1] == '\r')
        len--;
    if (len == 0)
        return SECRET_E_EMPTY;
    if (len > SECRET_MAX)
        return SECRET_E_TOO_LONG;
    if (memchr(secret->data, '\0', len))
        return SECRET_E_NUL;
    explicit_bzero(secret->data + len, sizeof(secret->data) - len);
    secret->len = len;
    return 0;
}

/* No read takes more than @at_once bytes; with 1 nothing behind the line's end is taken. */
static int secret_read_until(struct secret *secret, int fd, size_t at_once, uint64_t deadline_ms)
{
    size_t len = 0;

    for (;;) {
        if (len == sizeof(secret->data))
            return SECRET_E_TOO_LONG;
        int r = secret_wait(fd, deadline_ms);
        if (r)
            return r;
        size_t room = sizeof(secret->data) - len;
        ssize_t got = read(fd, secret->data + len, at_once < room ? at_once : room);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got < 0)
            return -errno;
        if (got == 0 || memchr(secret->data + len, '\n', (size_t)got))
            return secret_finish(secret, len + (size_t)got);
        len += (size_t)got;
    }
}

int secret_read(struct secret *secret, int fd, unsigned int timeout_ms)
{
    secret_wipe(secret);
    int r = secret_read_until(secret, fd, sizeof(secret->data), clock_monotonic_ms() + timeout_ms);
    if (r)
        secret_wipe(secret);
    return r;
}

int secret_read_pair(struct secret *first, struct secret *second, int fd, unsigned int timeout_ms)
{
    uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;

    secret_wipe(first);
    secret_wipe(second);
    int r = secret_read_until(first, fd, 1, deadline_ms);
    if (r == 0)
        r = secret_read_until(second, fd, 1, deadline_ms);
    if (r) {
        secret_wipe(first);
        secret_wipe(second);
    }
    return r;
}

const char *secret_error_text(int answer)
{
    switch (answer) {
    case SECRET_E_EMPTY:
        return "the PIN is empty";
    case SECRET_E_TOO_LONG:
        return "the PIN is longer than 255 bytes";
    case SECRET_E_NUL:
        return "the PIN contains a NUL byte";
    case SECRET_E_TIMEOUT:
        return "no PIN came in time";
    default:
        return "the PIN could not be read";
    }
}
