/* SPDX-License-Identifier: Apache-2.0 */
/* Well-known paths; see paths.h. */
#include "common/paths.h"

#include <limits.h>
#include <string.h>

#include "build-config.h"

/* A variable that is set and not empty; NULL in programs that run with raised privileges. */
static const char *paths_getenv(const char *name)
{
    const char *value = secure_getenv(name);

    return value && *value ? value : NULL;
}

static int paths_join(const char *dir, const char *name, char **ret_path)
{
    char *path = NULL;

    if (asprintf(&path, "%s/%s", dir, name) < 0)
        return -ENOMEM;
    *ret_path = path;
    return 0;
}

int paths_socket(char **ret_path)
{
    const char *path = paths_getenv(PATHS_SOCKET_ENV);
    const char *runtime_dir = paths_getenv("XDG_RUNTIME_DIR");

    if (!path)
        return paths_join(runtime_dir ? runtime_dir : "/run", "mtls-agent/agent.sock", ret_path);
    char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    *ret_path = copy;
    return 0;
}

/* PREFIX of PREFIX/bin/program, from the kernel's name of the running file. */
static int paths_own_prefix(char prefix[PATH_MAX])
{
    ssize_t len = readlink("/proc/self/exe", prefix, PATH_MAX - 1);

    if (len < 0)
        return -errno;
    prefix[len] = '\0';
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(prefix, '/');
        if (!slash)
            return -ENOENT;
        *slash = '\0';
    }
    return 0;
}

int paths_helper(const char *name, char **ret_path)
{
    const char *dir = paths_getenv(PATHS_LIBEXEC_ENV);
    char prefix[PATH_MAX];

    if (dir)
        return paths_join(dir, name, ret_path);
    if (paths_own_prefix(prefix) == 0) {
        _cleanup_free_ char *dir_path = NULL;
        _cleanup_free_ char *path = NULL;
        int r = paths_join(prefix, "libexec/mtls-agent", &dir_path);
        if (!r)
            r = paths_join(dir_path, name, &path);
        if (r)
            return r;
        if (access(path, X_OK) == 0) {
            *ret_path = TAKE_PTR(path);
            return 0;
        }
    }
    return paths_join(MTLS_LIBEXECDIR, name, ret_path);
}
