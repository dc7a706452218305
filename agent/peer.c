/* SPDX-License-Identifier: Apache-2.0 */
/* Peer identity from the kernel; see peer.h. */
#include "agent/peer.h"

#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-login.h>

#include "common/escape.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5; older headers lack the name */
#endif

#define PEER_EXE_SHOWN 512 /* a longer path must not push out what follows it in a log line */

_Static_assert(PEER_JSON_MAX >= 7 * PATH_MAX, "the longest path fits, with a unit");

struct peer *peer_ref(struct peer *peer)
{
    peer->ref_count++;
    return peer;
}

struct peer *peer_unref(struct peer *peer)
{
    if (!peer || --peer->ref_count > 0)
        return NULL;
    free(peer->exe);
    free(peer->unit);
    free(peer->text);
    free(peer->json);
    free(peer);
    return NULL;
}

static char *peer_read_exe(pid_t pid)
{
    char link[64];
    char path[PATH_MAX];

    (void)snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
    ssize_t len = readlink(link, path, sizeof(path) - 1);
    if (len <= 0)
        return NULL;
    path[len] = '\0';
    return strdup(path);
}

static char *peer_read_unit(pid_t pid)
{
    char *unit = NULL;

    if (sd_pid_get_user_unit(pid, &unit) < 0 && sd_pid_get_unit(pid, &unit) < 0)
        return NULL;
    return unit;
}

/* True while the process that the descriptor names still runs. */
static bool peer_is_running(int pidfd)
{
    struct pollfd pollfd = {.fd = pidfd, .events = POLLIN};

    return poll(&pollfd, 1, 0) == 0;
}

void peer_look(struct peer *peer, int fd)
{
    _cleanup_close_ int pidfd = -1;
    socklen_t len = sizeof(pidfd);

    if (peer->pid <= 0)
        return;
    /* A kernel without it leaves the number alone to go by; any other failure: it has ended. */
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0) {
        pidfd = -1;
        if (errno != ENOPROTOOPT)
            return;
    }
    peer->exe = peer_read_exe(peer->pid);
    peer->unit = peer_read_unit(peer->pid);
    /* The number may have been given to another process while /proc was read. */
    if (pidfd >= 0 && !peer_is_running(pidfd)) {
        free(peer->exe);
        free(peer->unit);
        peer->exe = NULL;
        peer->unit = NULL;
    }
}

const char *peer_get_text(struct peer *peer)
{
    char exe[PEER_EXE_SHOWN];

    if (peer->text)
        return peer->text;
    escape_cstring(peer->exe ? peer->exe : "unknown", exe, sizeof(exe));
    if (asprintf(&peer->text, "%s (uid %u, pid %d)", exe, (unsigned int)peer->uid, (int)peer->pid) <
        0) {
        peer->text = NULL;
        return NULL;
    }
    return peer->text;
}

const char *peer_get_json(struct peer *peer)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer json = {0};
    char numbers[64];

    if (peer->json)
        return peer->json;
    wire_writer_init(&json, PEER_JSON_MAX);
    (void)snprintf(numbers, sizeof(numbers),
                   ",\"uid\":%u,\"pid\":%d,\"exe\":", (unsigned int)peer->uid, (int)peer->pid);
    escape_put_raw(&json, numbers);
    escape_json(&json, wire_span_from_text(peer->exe ? peer->exe : "unknown"));
    escape_put_raw(&json, ",\"unit\":");
    escape_json(&json, wire_span_from_text(peer->unit));
    if (!json.failed)
        peer->json = wire_span_to_text((struct wire_span){json.data, json.len});
    return peer->json;
}

int peer_new(int fd, struct peer **ret_peer)
{
    struct ucred cred = {0};
    socklen_t len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return -errno;
    struct peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        return -ENOMEM;
    peer->ref_count = 1;
    peer->uid = cred.uid;
    peer->gid = cred.gid;
    peer->pid = cred.pid;
    *ret_peer = peer;
    return 0;
}
