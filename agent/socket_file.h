/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a Unix socket in the file system so that no one else can put their own in its place, and
 * so that of many agents started at once exactly one wins.
 */
#ifndef MTLS_AGENT_SOCKET_FILE_H
#define MTLS_AGENT_SOCKET_FILE_H

#include "common/cleanup.h"

/* Positive answer: the reason was logged as an error. */
enum {
    SOCKET_FILE_E_REFUSED = 1,
};

/**
 * socket_file_lock() - check the directory, and claim the path
 * @path:       of the socket
 * @ret_lock_fd: filled; the claim lasts while it is open; owned by the caller
 *
 * Return: 0, SOCKET_FILE_E_REFUSED, or -errno.
 */
int socket_file_lock(const char *path, int *ret_lock_fd) _must_check_;

/**
 * socket_file_check_claim() - the claim's file is still there
 *
 * Who removes the directory removes it first, so it also tells that a watch which was set after
 * socket_file_lock() watches the directory that is there. Return: as socket_file_lock().
 */
int socket_file_check_claim(const char *path, int lock_fd) _must_check_;

/**
 * socket_file_listen() - make the socket of a claimed path
 * @ret_fd:     filled; listening, non-blocking, close-on-exec; mode 0600; owned by the caller
 *
 * Return: 0, SOCKET_FILE_E_REFUSED, or -errno.
 */
int socket_file_listen(const char *path, int *ret_fd) _must_check_;

#endif
