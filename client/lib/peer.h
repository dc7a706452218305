/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is on the other side of a socket. A fake agent of another user could take a PIN or offer a
 * wrong certificate, so a connection is used only when the listening process runs as
 *   - the caller's effective user, or root, or
 *   - another user who owns the socket's directory, while nobody but root, the caller and that user
 *     can change any directory on the path (a system service in /run).
 */
#ifndef MTLS_CLIENT_PEER_H
#define MTLS_CLIENT_PEER_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/cleanup.h"

enum {
    PEER_E_FOREIGN = 1, /* the peer is none of those above */
};

/**
 * peer_check() - is the process that listens at a socket one that may be trusted?
 * @fd:         a connected Unix socket, borrowed
 * @path:       the path that it was connected by
 * @ret_uid:    filled with the peer's user, also with PEER_E_FOREIGN
 *
 * Return: 0, PEER_E_FOREIGN, or -errno.
 */
int peer_check(int fd, const char *path, uid_t *ret_uid) _must_check_;

/** peer_path_belongs_to() - the second rule above, for a peer that runs as @uid. */
bool peer_path_belongs_to(const char *path, uid_t uid);

#endif
