/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files; see new_file.h. */
#include "client/cli/new_file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* "DIR/.NAME.XXXXXX" for "DIR/NAME": the same directory, so that rename() is possible. */
static char *new_file_template(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    char *template = NULL;

    if (asprintf(&template, "%.*s.%s.XXXXXX", (int)(name - path), path, name) < 0)
        return NULL;
    return template;
}

static int new_file_check_place(const char *path, bool replace)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISREG(st.st_mode))
        return NEW_FILE_E_NOT_REGULAR;
    return replace ? 0 : NEW_FILE_E_EXISTS;
}

static int new_file_fill(int fd, const void *data, size_t len, mode_t mode)
{
    const char *at = data;

    while (len > 0) {
        ssize_t written = write(fd, at, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        at += written;
        len -= (size_t)written;
    }
    if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
        return -errno;
    return 0;
}

/* The check before was for the message; this one holds against whoever came in between. */
static int new_file_place(const char *temporary, const char *path, bool replace)
{
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, replace ? 0 : RENAME_NOREPLACE) == 0)
        return 0;
    if (errno == EEXIST)
        return NEW_FILE_E_EXISTS;
    if (replace || errno != EINVAL)
        return -errno;
    /* A file system without RENAME_NOREPLACE: a hard link never replaces either. */
    if (link(temporary, path) < 0)
        return errno == EEXIST ? NEW_FILE_E_EXISTS : -errno;
    return unlink(temporary) < 0 ? -errno : 0;
}

int new_file_write(const char *path, const void *data, size_t len, mode_t mode, bool replace)
{
    _cleanup_free_ char *temporary = new_file_template(path);
    _cleanup_close_ int fd = -1;

    if (!temporary)
        return -ENOMEM;
    int r = new_file_check_place(path, replace);
    if (r)
        return r;
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = new_file_fill(fd, data, len, mode);
    if (r == 0)
        r = new_file_place(temporary, path, replace);
    if (r)
        (void)unlink(temporary);
    return r;
}
