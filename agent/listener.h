/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening socket: inherited from systemd and checked, or made safely by ourselves. Hands
 * every accepted descriptor to its owner; knows nothing of the protocol.
 */
#ifndef MTLS_AGENT_LISTENER_H
#define MTLS_AGENT_LISTENER_H

#include <systemd/sd-event.h>

#include "common/cleanup.h"

/* Positive answer: the reason was logged as an error. */
enum {
    LISTENER_E_REFUSED = 1,
};

struct listener;

/* @fd: connected, close-on-exec, non-blocking; taken. */
typedef void (*listener_accept_fn)(void *userdata, int fd);

/**
 * listener_new() - take over or make the socket
 * @path:       of the socket to make; NULL only with socket activation
 *
 * With LISTEN_FDS in the environment exactly one listening AF_UNIX stream socket must have been
 * passed to this process. Otherwise: the directory is made with mode 0700 if missing, must belong
 * to us and not be writable by others; a lock file decides who owns the path; a live agent there is
 * left alone; a stale socket is replaced; anything else there is refused.
 * A socket file that is deleted later is made again.
 * Return: 0, LISTENER_E_REFUSED, or -errno.
 */
int listener_new(sd_event *event, const char *path, listener_accept_fn accept_fn, void *userdata,
                 struct listener **ret_listener) _must_check_;

/** listener_free() - close, and remove the file that we made. Return: NULL. */
struct listener *listener_free(struct listener *listener);

DEFINE_CLEANUP(struct listener *, listener, listener_free)

#endif
