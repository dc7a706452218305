/* SPDX-License-Identifier: Apache-2.0 */
/* Unix socket files; see socket_file.h. */
#include "agent/socket_file.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/log.h"

#define SOCKET_FILE_BACKLOG 1024

_printf_(1, 2) static int socket_file_refuse(const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    log_error("%s", text);
    return SOCKET_FILE_E_REFUSED;
}

static int socket_file_fill_address(const char *path, struct sockaddr_un *ret_address)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);

    if (len == 0 || path[0] != '/')
        return socket_file_refuse("the socket's path \"%s\" is not absolute", path);
    if (len >= sizeof(address.sun_path))
        return socket_file_refuse(
            "the socket's path is longer than %zu bytes; choose a shorter one "
            "with --socket or MTLS_AGENT_SOCK: %.200s",
            sizeof(address.sun_path) - 1, path);
    memcpy(address.sun_path, path, len + 1);
    *ret_address = address;
    return 0;
}

/* The directory of @path; @may_make: made with mode 0700 if only it is missing. */
static int socket_file_check_directory(const char *path, bool may_make)
{
    _cleanup_free_ char *dir = strdup(path);
    struct stat stat_buf;

    if (!dir)
        return -ENOMEM;
    *strrchr(dir, '/') = '\0';
    if (may_make && mkdir(dir, 0700) < 0 && errno != EEXIST)
        return socket_file_refuse("cannot make the directory %s: %s", dir, strerror(errno));
    if (lstat(dir, &stat_buf) < 0)
        return socket_file_refuse("%s: %s", dir, strerror(errno));
    if (S_ISLNK(stat_buf.st_mode))
        return socket_file_refuse("%s is a symbolic link; the socket's directory must be real",
                                  dir);
    if (!S_ISDIR(stat_buf.st_mode))
        return socket_file_refuse("%s is not a directory", dir);
    if (stat_buf.st_uid != geteuid())
        return socket_file_refuse("%s belongs to uid %u, not to us: choose another directory", dir,
                                  (unsigned int)stat_buf.st_uid);
    if (stat_buf.st_mode & (S_IWGRP | S_IWOTH))
        return socket_file_refuse("others can write into %s: chmod 700 it", dir);
    return 0;
}

int socket_file_lock(const char *path, int *ret_lock_fd)
{
    _cleanup_free_ char *lock_path = NULL;
    struct sockaddr_un address;

    int r = socket_file_fill_address(path, &address);
    if (!r)
        r = socket_file_check_directory(path, true);
    if (r)
        return r;
    if (asprintf(&lock_path, "%s.lock", path) < 0)
        return -ENOMEM;
    _cleanup_close_ int fd =
        open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0)
        return socket_file_refuse("cannot open %s: %s", lock_path, strerror(errno));
    /* A lock of the process, unlike flock(2): a child that is about to become a worker does not
     * hold it on for a moment when we are killed and started again. */
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_SETLK, &lock) < 0)
        return errno == EACCES || errno == EAGAIN
                   ? socket_file_refuse("an agent already runs at %s", path)
                   : socket_file_refuse("cannot lock %s: %s", lock_path, strerror(errno));
    *ret_lock_fd = TAKE_FD(fd);
    return 0;
}

int socket_file_check_claim(const char *path, int lock_fd)
{
    struct stat stat_buf;

    if (fstat(lock_fd, &stat_buf) < 0)
        return -errno;
    if (stat_buf.st_nlink == 0)
        return socket_file_refuse("the directory of %s was cleared while the socket was made",
                                  path);
    return 0;
}

/* True when somebody listens at the address. */
static bool socket_file_is_live(const struct sockaddr_un *address)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return true;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
        return true;
    return errno != ECONNREFUSED;
}

/* Takes away a socket that nobody listens at; leaves everything else alone. */
static int socket_file_clear(const struct sockaddr_un *address)
{
    struct stat stat_buf;

    if (lstat(address->sun_path, &stat_buf) < 0) {
        if (errno == ENOENT)
            return 0;
        return socket_file_refuse("%s: %s", address->sun_path, strerror(errno));
    }
    if (!S_ISSOCK(stat_buf.st_mode))
        return socket_file_refuse("%s is in the way and is not a socket: remove it",
                                  address->sun_path);
    if (socket_file_is_live(address))
        return socket_file_refuse("another program listens at %s", address->sun_path);
    if (unlink(address->sun_path) < 0)
        return socket_file_refuse("cannot remove the stale socket %s: %s", address->sun_path,
                                  strerror(errno));
    return 0;
}

int socket_file_listen(const char *path, int *ret_fd)
{
    struct sockaddr_un address;

    int r = socket_file_fill_address(path, &address);
    if (!r)
        r = socket_file_check_directory(path, false);
    if (!r)
        r = socket_file_clear(&address);
    if (r)
        return r;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    mode_t mask = umask(0177);
    int bound = bind(fd, (const struct sockaddr *)&address, sizeof(address));
    int bind_errno = errno;
    (void)umask(mask);
    if (bound < 0)
        return socket_file_refuse("cannot make the socket %s: %s", path, strerror(bind_errno));
    if (listen(fd, SOCKET_FILE_BACKLOG) < 0)
        return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}
