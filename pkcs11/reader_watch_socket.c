/* SPDX-License-Identifier: Apache-2.0 */
/* The coming of pcscd's socket; see reader_watch_socket.h. */
#include "pkcs11/reader_watch_socket.h"

#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#define SOCKET_PATH "/run/pcscd/pcscd.comm"   /* compiled into pcscd and its library */
#define SOCKET_VARIABLE "PCSCLITE_CSOCK_NAME" /* which the library takes instead */
#define SOCKET_EVENTS (IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_ATTRIB)

const char *socket_path(void)
{
    const char *path = secure_getenv(SOCKET_VARIABLE);

    return path ? path : SOCKET_PATH;
}

bool socket_is_there(void)
{
    struct stat st;

    return stat(socket_path(), &st) == 0;
}

/* Cuts the last part off; false when none is left. */
static bool socket_cut(char *path)
{
    char *slash = strrchr(path, '/');

    if (!slash || slash[1] == '\0')
        return false;
    slash[slash == path ? 1 : 0] = '\0';
    return true;
}

int socket_watch(bool *ret_complete)
{
    _cleanup_free_ char *path = strdup(socket_path());
    _cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    bool is_watched = false;

    *ret_complete = false;
    if (fd < 0 || !path)
        return -1;
    /* The folder; while it is not there, the first one above that is. */
    while (!is_watched && socket_cut(path))
        is_watched = inotify_add_watch(fd, path, SOCKET_EVENTS) >= 0;
    *ret_complete = is_watched;
    return TAKE_FD(fd);
}

bool socket_wait(int fd, int limit_ms)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    char events[4096];

    if (poll(&item, 1, limit_ms) <= 0)
        return false;
    /* What it was does not matter: whoever waits looks for himself. */
    while (read(fd, events, sizeof(events)) > 0)
        continue;
    return true;
}
