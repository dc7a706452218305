/* SPDX-License-Identifier: Apache-2.0 */
/* Files of `mtls setup`; see own_file.h. */
#include "client/cli/own_file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "client/cli/new_file.h"

/* Of a regular file alone; -ELOOP for a link, -EINVAL for anything else. */
static int own_file_open(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    return S_ISREG(st.st_mode) ? TAKE_FD(fd) : -EINVAL;
}

enum own_file_state own_file_look(const char *path)
{
    _cleanup_close_ int fd = own_file_open(path);
    char begin[sizeof(OWN_FILE_MARK_BEGIN)] = "";

    if (fd < 0)
        return fd == -ENOENT ? OWN_FILE_ABSENT : OWN_FILE_FOREIGN;
    if (read(fd, begin, sizeof(begin) - 1) < 0)
        return OWN_FILE_FOREIGN;
    return strcmp(begin, OWN_FILE_MARK_BEGIN) == 0 ? OWN_FILE_OURS : OWN_FILE_FOREIGN;
}

int own_file_read(const char *path, struct wire_writer *text)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    char buffer[4096];

    if (fd < 0 && errno != ENOENT)
        return -errno;
    while (fd >= 0) {
        ssize_t got = read(fd, buffer, sizeof(buffer));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        wire_put_raw(text, buffer, (size_t)got);
    }
    wire_put_u8(text, '\0');
    if (text->failed)
        return -EFBIG;
    text->len--;
    return 0;
}

int own_file_make_parents(const char *path)
{
    _cleanup_free_ char *copy = strdup(path);

    if (!copy)
        return -ENOMEM;
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0700) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return 0;
}

int own_file_write(const char *path, const void *data, size_t len)
{
    int r = own_file_make_parents(path);

    return r ? r : new_file_write(path, data, len, 0600, true);
}

int own_file_remove(const char *path)
{
    switch (own_file_look(path)) {
    case OWN_FILE_ABSENT:
        return 0;
    case OWN_FILE_OURS:
        return unlink(path) < 0 ? -errno : 0;
    default:
        return -EPERM;
    }
}

int own_file_config_home(char **ret_dir)
{
    const char *config_home = secure_getenv("XDG_CONFIG_HOME");
    const char *home = secure_getenv("HOME");
    char *dir = NULL;
    int len = 0;

    if (config_home && config_home[0] == '/')
        len = asprintf(&dir, "%s", config_home);
    else if (home && home[0] == '/')
        len = asprintf(&dir, "%s/.config", home);
    if (len < 0)
        return -ENOMEM;
    *ret_dir = dir;
    return 0;
}
