/* SPDX-License-Identifier: Apache-2.0 */
/* One process-wide log with a settable handler; see log.h. */
#include "common/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#define LOG_LINE_MAX 1024

static log_handler_fn log_handler;
static enum log_level log_max_level = LOG_LEVEL_INFO;

void log_set_handler(log_handler_fn handler, enum log_level max_level)
{
    log_handler = handler;
    log_max_level = max_level;
}

void log_to_stderr(enum log_level level, const char *line)
{
    static int journal = -1;
    char out[LOG_LINE_MAX + 16];

    if (journal < 0)
        journal = secure_getenv("JOURNAL_STREAM") != NULL;
    int len = journal ? snprintf(out, sizeof(out), "<%d>%s\n", (int)level, line)
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
