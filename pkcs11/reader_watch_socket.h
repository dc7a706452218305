/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for pcscd to come, or to come back: for its socket to appear, without looking again and
 * again. Where the socket's folder is not there either, for that.
 */
#ifndef MTLS_PKCS11_READER_WATCH_SOCKET_H
#define MTLS_PKCS11_READER_WATCH_SOCKET_H

#include <stdbool.h>

#include "common/cleanup.h"

/** socket_path() - where pcscd listens for this process; borrowed. */
const char *socket_path(void);

/** socket_is_there() - the file is; somebody may listen behind it. */
bool socket_is_there(void);

/**
 * socket_watch() - begin to watch; before a try to connect, so that nothing is missed
 * @ret_complete: filled: whatever brings the socket will be seen
 *
 * Return: a descriptor for socket_wait(), or -1 when the system has none to watch with.
 */
int socket_watch(bool *ret_complete);

/**
 * socket_wait() - sleep until something changes where the socket is expected
 * @fd:         of socket_watch(), or -1
 * @limit_ms:   sleep no longer than that; negative: without limit
 *
 * Return: true when something has changed, false when the time is over.
 */
bool socket_wait(int fd, int limit_ms);

#endif
