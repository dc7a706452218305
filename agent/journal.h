/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries for systemd-journald in its native protocol, one datagram each. libsystemd's own sender
 * waits while journald does not read, and with it the core would; this one never blocks.
 * Spec: systemd.io/JOURNAL_NATIVE_PROTOCOL
 */
#ifndef MTLS_AGENT_JOURNAL_H
#define MTLS_AGENT_JOURNAL_H

#include "common/wire.h"

/** journal_is_there() - a journald has its socket on this machine. */
bool journal_is_there(void);

/** journal_open() - a socket to send from. Return: 0, or -errno. */
int journal_open(int *ret_fd) _must_check_;

/** journal_put() - one field; @value may hold any bytes but NUL. The entry fails stickily. */
void journal_put(struct wire_writer *entry, const char *name, const char *value);

/** journal_send() - Return: 0, -EAGAIN while journald does not read, or -errno. */
int journal_send(int fd, const struct wire_writer *entry) _must_check_;

#endif
