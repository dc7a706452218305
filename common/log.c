/* SPDX-License-Identifier: Apache-2.0 */
/* One process-wide log with a settable handler; see log.h. */
#include "common/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#define LOG_LINE_MAX 1024

static log_handler_fn log_handler;
static enum log_level log_max_level = LOG_LEVEL_INFO;

void log_set_handler(log_handler_fn handler, enum log_level max_level)
{
    log_handler = handler;
    log_max_level = max_level;
}

/* Whether standard error goes to the journal: $JOURNAL_STREAM also reaches programs whose standard
 * error was redirected since, so it names the socket. See systemd.exec(5). */
static bool log_is_journal(void)
{
    const char *stream = secure_getenv("JOURNAL_STREAM");
    char own[64];
    struct stat stat_buf;

    if (!stream || fstat(STDERR_FILENO, &stat_buf) < 0)
        return false;
    (void)snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)stat_buf.st_dev,
                   (uintmax_t)stat_buf.st_ino);
    return strcmp(stream, own) == 0;
}

void log_to_stderr(enum log_level level, const char *line)
{
    char out[LOG_LINE_MAX + 16];
    int len = log_is_journal() ? snprintf(out, sizeof(out), "<%d>%s\n", (int)level, line)
                               : snprintf(out, sizeof(out), "%s\n", line);
    struct pollfd pollfd = {.fd = STDERR_FILENO, .events = POLLOUT};
    /* A reader that does not read costs lines, not the daemon's time. */
    if (len > 0 && poll(&pollfd, 1, 0) == 1)
        (void)!write(STDERR_FILENO, out, (size_t)len < sizeof(out) ? (size_t)len : sizeof(out) - 1);
}

void log_write(enum log_level level, const char *format, ...)
{
    int saved = errno;
    char line[LOG_LINE_MAX];
    va_list args;

    if (!log_handler || level > log_max_level)
        return;
    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    log_handler(level, line);
    errno = saved;
}
