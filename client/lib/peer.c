/* SPDX-License-Identifier: Apache-2.0 */
/* The check of the process behind the socket; see peer.h. */
#include "client/lib/peer.h"

#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Nobody but root, the caller and @uid can rename or replace what lies in @dir. */
static bool peer_dir_is_closed(const char *dir, uid_t uid, uid_t *ret_owner)
{
    struct stat st;

    if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
        return false;
    *ret_owner = st.st_uid;
    return (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
           (st.st_uid == 0 || st.st_uid == geteuid() || st.st_uid == uid);
}

bool peer_path_belongs_to(const char *path, uid_t uid)
{
    char dir[PATH_MAX];
    uid_t owner = 0;
    bool is_innermost = true;

    if (path[0] != '/' || strlen(path) >= sizeof(dir))
        return false;
    memcpy(dir, path, strlen(path) + 1);
    for (;;) {
        char *slash = strrchr(dir, '/');
        bool is_root = slash == dir;

        slash[is_root ? 1 : 0] = '\0';
        if (!peer_dir_is_closed(dir, uid, &owner))
            return false;
        if (is_innermost && owner != uid)
            return false;
        if (is_root)
            return true;
        is_innermost = false;
    }
}

int peer_check(int fd, const char *path, uid_t *ret_uid)
{
    struct ucred peer = {0};
    socklen_t len = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return -errno;
    *ret_uid = peer.uid;
    if (peer.uid == geteuid() || peer.uid == 0 || peer_path_belongs_to(path, peer.uid))
        return 0;
    return PEER_E_FOREIGN;
}
