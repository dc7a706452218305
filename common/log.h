/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the daemon, its helpers and the command say what happened. Silent until a handler is set:
 * libraries link this and print nothing. Every untrusted string goes through common/escape.h first.
 */
#ifndef MTLS_COMMON_LOG_H
#define MTLS_COMMON_LOG_H

#include "common/cleanup.h"

/* Values of syslog(3). */
enum log_level {
    LOG_LEVEL_ERROR = 3,   /* the operator must act */
    LOG_LEVEL_WARNING = 4, /* a peer misbehaved; callers limit the rate */
    LOG_LEVEL_INFO = 6,    /* life cycle */
    LOG_LEVEL_DEBUG = 7,
};

typedef void (*log_handler_fn)(enum log_level level, const char *line);

/**
 * log_set_handler() - where lines go
 * @handler:    called with one line without its end; NULL: silence again
 * @max_level:  lines of a higher level are dropped before they are formatted
 */
void log_set_handler(log_handler_fn handler, enum log_level max_level);

/** log_to_stderr() - a handler: one write(2) per line, with the "<N>" prefix of sd-daemon(3) when
 * stderr is the journal. */
void log_to_stderr(enum log_level level, const char *line);

/** log_write() - one line, at most 1024 bytes. Keeps errno. */
void log_write(enum log_level level, const char *format, ...) _printf_(2, 3);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
