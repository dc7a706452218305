/* SPDX-License-Identifier: Apache-2.0 */
/* Directories of our own; see private_dir.h. */
#include "client/cli/private_dir.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/*
 * NULL when the session has none, or when someone else could exchange what is in it: a shell of
 * root may have kept the variable of another user, and what we write there decides what code is
 * loaded.
 */
static const char *private_dir_runtime(void)
{
    const char *dir = secure_getenv("XDG_RUNTIME_DIR");
    struct stat st;

    if (!dir || dir[0] != '/' || lstat(dir, &st) < 0)
        return NULL;
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022) != 0)
        return NULL;
    return dir;
}

int private_dir_new(char **ret_path)
{
    const char *runtime = private_dir_runtime();
    _cleanup_free_ char *path = NULL;

    if (asprintf(&path, "%s/mtls-run-XXXXXX", runtime ? runtime : "/tmp") < 0) {
        path = NULL;
        return -ENOMEM;
    }
    if (!mkdtemp(path))
        return -errno;
    *ret_path = TAKE_PTR(path);
    return 0;
}

static int private_dir_make(const char *path)
{
    struct stat st;

    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    if (lstat(path, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
        return PRIVATE_DIR_E_UNSAFE;
    return 0;
}

int private_dir_open_stable(const char *name, char **ret_path)
{
    const char *runtime = private_dir_runtime();
    _cleanup_free_ char *parent = NULL;
    _cleanup_free_ char *path = NULL;

    int len = runtime ? asprintf(&parent, "%s/mtls-agent", runtime)
                      : asprintf(&parent, "/tmp/mtls-agent-%u", (unsigned int)geteuid());
    if (len < 0) {
        parent = NULL;
        return -ENOMEM;
    }
    int r = private_dir_make(parent);
    if (r) {
        if (r == PRIVATE_DIR_E_UNSAFE)
            *ret_path = TAKE_PTR(parent);
        return r;
    }
    if (asprintf(&path, "%s/%s", parent, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    r = private_dir_make(path);
    if (r >= 0)
        *ret_path = TAKE_PTR(path);
    return r;
}

void private_dir_remove(const char *path)
{
    _cleanup_closedir_ DIR *dir = opendir(path);
    struct dirent *entry = NULL;

    while (dir && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            unlinkat(dirfd(dir), entry->d_name, 0) < 0)
            (void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
    (void)rmdir(path);
}
