/* SPDX-License-Identifier: Apache-2.0 */
/* Loading the module's part for libcrypto; see crypto_load.h. */
#include "client/module/crypto_load.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>

/*
 * Beside this module itself, never by a search path. Configurations of programs often name a module
 * by a link in a folder of theirs: the folder of the file itself counts.
 */
static int crypto_find(char path[PATH_MAX])
{
    static const char here; /* an address in this module */
    char module[PATH_MAX];
    Dl_info info;

    if (!dladdr(&here, &info) || !info.dli_fname || !realpath(info.dli_fname, module))
        return -ENOENT;
    const char *slash = strrchr(module, '/');
    if (!slash)
        return -ENOENT;
    int len =
        snprintf(path, PATH_MAX, "%.*s/%s", (int)(slash - module), module, MODULE_CRYPTO_FILE);
    return len < PATH_MAX ? 0 : -ENAMETOOLONG;
}

const struct module_crypto *module_crypto_load(void)
{
    static _Atomic(const struct module_crypto *) loaded;
    const struct module_crypto *crypto = atomic_load(&loaded);
    char path[PATH_MAX];

    if (crypto)
        return crypto;
    if (crypto_find(path))
        return NULL;
    void *file = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    module_crypto_fn get = file ? (module_crypto_fn)dlsym(file, MODULE_CRYPTO_SYMBOL) : NULL;
    crypto = get ? get() : NULL;
    if (crypto)
        atomic_store(&loaded, crypto);
    return crypto;
}
