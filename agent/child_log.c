/* SPDX-License-Identifier: Apache-2.0 */
/* A child's standard error; see child_log.h. */
#include "agent/child_log.h"

#include <fcntl.h>
#include <string.h>

#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"

#define CHILD_LOG_LINE_MAX 512u
#define CHILD_LOG_PERIOD_MS 10000u
#define CHILD_LOG_LINES_PER_PERIOD 20u
#define CHILD_LOG_READS_PER_EVENT 4

struct child_log {
    char *name;
    int fd;
    sd_event_source *io;
    uint8_t line[CHILD_LOG_LINE_MAX];
    size_t len;
    char last[CHILD_LOG_LINE_MAX * 2];
    uint64_t period_start_ms;
    unsigned int period_lines;
    uint64_t dropped_bytes;
};

struct child_log *child_log_free(struct child_log *log)
{
    if (!log)
        return NULL;
    sd_event_source_disable_unref(log->io);
    (void)close_fd(log->fd);
    free(log->name);
    free(log);
    return NULL;
}

static void child_log_end_line(struct child_log *log)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (log->len == 0)
        return;
    if (now_ms - log->period_start_ms >= CHILD_LOG_PERIOD_MS) {
        if (log->dropped_bytes > 0)
            log_warning("%s: %llu more bytes of output were dropped", log->name,
                        (unsigned long long)log->dropped_bytes);
        log->period_start_ms = now_ms;
        log->period_lines = 0;
        log->dropped_bytes = 0;
    }
    if (log->period_lines++ < CHILD_LOG_LINES_PER_PERIOD) {
        escape_text((struct wire_span){log->line, log->len}, log->last, sizeof(log->last));
        log_info("%s: %s", log->name, log->last);
    } else {
        log->dropped_bytes += log->len + 1;
    }
    log->len = 0;
}

static void child_log_take(struct child_log *log, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n' || log->len == sizeof(log->line))
            child_log_end_line(log);
        if (data[i] != '\n')
            log->line[log->len++] = data[i];
    }
}

/* False when nothing is left to read for now. */
static bool child_log_read(struct child_log *log)
{
    uint8_t data[4096];
    ssize_t len = read(log->fd, data, sizeof(data));

    if (len > 0) {
        child_log_take(log, data, (size_t)len);
        return true;
    }
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    child_log_end_line(log);
    log->io = sd_event_source_disable_unref(log->io);
    return false;
}

void child_log_drain(struct child_log *log)
{
    /* Bounded: a grandchild may hold the pipe open and go on writing. */
    for (int i = 0; i < 64 && child_log_read(log); i++)
        continue;
    child_log_end_line(log);
}

static int child_log_handle_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct child_log *log = userdata;

    (void)source;
    (void)fd;
    (void)events;
    for (int i = 0; i < CHILD_LOG_READS_PER_EVENT && child_log_read(log); i++)
        continue;
    return 0;
}

int child_log_new(sd_event *event, const char *name, struct child_log **ret_log, int *ret_write_fd)
{
    _cleanup_(cleanup_child_log) struct child_log *log = calloc(1, sizeof(*log));
    _cleanup_close_ int write_fd = -1;
    int fds[2];

    if (!log)
        return -ENOMEM;
    log->fd = -1;
    log->name = strdup(name);
    if (!log->name)
        return -ENOMEM;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    log->fd = fds[0];
    write_fd = fds[1];
    if (fcntl(log->fd, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    int r = sd_event_add_io(event, &log->io, log->fd, EPOLLIN, child_log_handle_io, log);
    if (r < 0)
        return r;
    /* A talking module must not hold up signatures. */
    r = sd_event_source_set_priority(log->io, SD_EVENT_PRIORITY_IDLE);
    if (r < 0)
        return r;
    *ret_log = TAKE_PTR(log);
    *ret_write_fd = TAKE_FD(write_fd);
    return 0;
}

const char *child_log_last_line(const struct child_log *log)
{
    return log->last;
}
