/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the installation; see install_paths.h. */
#include "client/cli/install_paths.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/crypto.h>

#include "build-config.h"

#define INSTALL_PATHS_PROVIDER "mtls-agent.so"

/* A variable that is set and not empty. */
static const char *install_paths_getenv(const char *name)
{
    const char *value = secure_getenv(name);

    return value && *value ? value : NULL;
}

/* The directory of the running program; false when the kernel does not tell. */
static bool install_paths_own_dir(char dir[static PATH_MAX])
{
    ssize_t len = readlink("/proc/self/exe", dir, PATH_MAX - 1);

    if (len <= 0)
        return false;
    dir[len] = '\0';
    char *slash = strrchr(dir, '/');
    if (!slash)
        return false;
    *slash = '\0';
    return true;
}

/* "DIR/NAME" if such a file can be used; else *ret_path stays as it is. */
static int install_paths_try(const char *root, const char *dir, const char *name, int access_mode,
                             char **ret_path)
{
    _cleanup_free_ char *path = NULL;

    if (asprintf(&path, "%s%s/%s", root, dir, name) < 0)
        return -ENOMEM;
    if (access(path, access_mode) == 0)
        *ret_path = TAKE_PTR(path);
    return 0;
}

int install_paths_agent(char **ret_path)
{
    const char *override = install_paths_getenv(INSTALL_PATHS_AGENT_ENV);
    char own_dir[PATH_MAX];
    char *path = NULL;

    if (!override && install_paths_own_dir(own_dir)) {
        int r = install_paths_try(own_dir, "", "mtls-agent", X_OK, &path);
        if (r)
            return r;
    }
    if (!path) {
        path = strdup(override ? override : "mtls-agent");
        if (!path)
            return -ENOMEM;
    }
    *ret_path = path;
    return 0;
}

/* "/stage" when the program runs as /stage/usr/bin/mtls and was built for /usr/bin; else false. */
static bool install_paths_staging_root(char root[static PATH_MAX])
{
    size_t bin_len = sizeof(MTLS_BINDIR) - 1;

    if (!install_paths_own_dir(root))
        return false;
    size_t len = strlen(root);
    if (len < bin_len || strcmp(root + len - bin_len, MTLS_BINDIR) != 0)
        return false;
    root[len - bin_len] = '\0';
    return true;
}

int install_paths_provider(char **ret_path)
{
    const char *override = install_paths_getenv(INSTALL_PATHS_MODULES_ENV);
    const char *modules_dir = OPENSSL_info(OPENSSL_INFO_MODULES_DIR);
    char root[PATH_MAX];
    char *path = NULL;
    int r = 0;

    if (override)
        r = install_paths_try("", override, INSTALL_PATHS_PROVIDER, R_OK, &path);
    if (r == 0 && !path && install_paths_staging_root(root))
        r = install_paths_try(root, MTLS_MODULESDIR, INSTALL_PATHS_PROVIDER, R_OK, &path);
    if (r == 0 && !path && modules_dir)
        r = install_paths_try("", modules_dir, INSTALL_PATHS_PROVIDER, R_OK, &path);
    if (r)
        return r;
    /* Absolute, as the program that uses it may run elsewhere. */
    *ret_path = path ? realpath(path, NULL) : NULL;
    free(path);
    return 0;
}

int install_paths_module(char **ret_path)
{
    const char *override = install_paths_getenv(INSTALL_PATHS_MODULE_ENV);
    char root[PATH_MAX];
    char *path = NULL;
    int r = 0;

    if (override) {
        /* Absolute, as the program that uses it may run elsewhere. */
        *ret_path = realpath(override, NULL);
        return 0;
    }
    if (install_paths_staging_root(root))
        r = install_paths_try(root, MTLS_PKCS11_MODULE_DIR, INSTALL_PATHS_MODULE, R_OK, &path);
    if (r == 0 && !path)
        r = install_paths_try("", MTLS_PKCS11_MODULE_DIR, INSTALL_PATHS_MODULE, R_OK, &path);
    if (r)
        return r;
    *ret_path = path;
    return 0;
}
