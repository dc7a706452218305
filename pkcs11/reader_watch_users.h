/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may hold a card: PC/SC does not tell, so it is the user's programs that have pcsclite's
 * client library mapped (/proc/PID/maps). Not the agent and its other helpers.
 */
#ifndef MTLS_PKCS11_READER_WATCH_USERS_H
#define MTLS_PKCS11_READER_WATCH_USERS_H

#include <stddef.h>
#include <sys/types.h>

/**
 * users_describe() - "scdaemon (pid 815), opensc-tool (pid 902)"
 * @agent:      pid of the core: it and its children are left out
 * @text:       filled, NUL-terminated, UTF-8; empty when nobody was found
 *
 * Blocks on /proc alone.
 */
void users_describe(pid_t agent, char *text, size_t size);

#endif
