/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a helper process writes on its standard error: cut into lines, escaped, limited in rate, put
 * into our log. A module may print what it wants; it cannot fill a disk or fake a line of ours.
 */
#ifndef MTLS_AGENT_CHILD_LOG_H
#define MTLS_AGENT_CHILD_LOG_H

#include <systemd/sd-event.h>

#include "common/cleanup.h"

struct child_log;

/**
 * child_log_new() - a pipe whose other end a child gets
 * @name:       stands before each line; copied
 * @ret_write_fd: filled; for the child; owned by the caller
 *
 * Return: 0, or -errno.
 */
int child_log_new(sd_event *event, const char *name, struct child_log **ret_log,
                  int *ret_write_fd) _must_check_;
struct child_log *child_log_free(struct child_log *log);

/** child_log_drain() - read what the child has written so far, after its end. */
void child_log_drain(struct child_log *log);

/** child_log_last_line() - the last line so far, escaped; "" when there was none. Borrowed. */
const char *child_log_last_line(const struct child_log *log);

DEFINE_CLEANUP(struct child_log *, child_log, child_log_free)

#endif
