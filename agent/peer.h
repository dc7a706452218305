/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is at the other end of a connection, as the kernel says it: never what the client says.
 */
#ifndef MTLS_AGENT_PEER_H
#define MTLS_AGENT_PEER_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/cleanup.h"

#define PEER_UID_OVERFLOW 65534u /* the kernel's word for "a uid that I cannot name here" */

/* Bytes of `json`: a path of PATH_MAX bytes, each of which may be escaped to six. */
#define PEER_JSON_MAX (8u * 4096u)

/* Shared by a connection and its requests, which outlive it until they are audited. */
struct peer {
    unsigned int ref_count;
    uid_t uid;
    gid_t gid;
    pid_t pid; /* 0: of another pid namespace */
    /* From here on empty before peer_look(): */
    char *exe;  /* path of the executable; NULL: unknown */
    char *unit; /* systemd unit; NULL: none or unknown */
    char *text; /* once it was asked for; see peer_get_text() */
    char *json;
};

/**
 * peer_new() - uid, gid and pid of the peer of a connected Unix socket, by SO_PEERCRED
 * @fd:         borrowed
 * @ret_peer:   filled; one reference, owned by the caller
 *
 * Return: 0, or -errno.
 */
int peer_new(int fd, struct peer **ret_peer) _must_check_;

/**
 * peer_look() - what the process is, once, before its first request
 * @fd:         as given to peer_new()
 *
 * With SO_PEERPIDFD where the kernel has it: a process that ended while it was looked at leaves exe
 * and unit unknown. Blocks on /proc only, for some 50 us.
 */
void peer_look(struct peer *peer, int fd);

/**
 * peer_get_text() - all of it for a log line, escaped
 * peer_get_json() - as members of a JSON object, beginning with a comma
 *
 * Kept, as they stand in every audit line; idle clients need none. Return: NULL without memory.
 */
const char *peer_get_text(struct peer *peer) _must_check_;
const char *peer_get_json(struct peer *peer) _must_check_;

struct peer *peer_ref(struct peer *peer);
struct peer *peer_unref(struct peer *peer);

DEFINE_CLEANUP(struct peer *, peer, peer_unref)

#endif
