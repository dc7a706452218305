/* SPDX-License-Identifier: Apache-2.0 */
/* mtls_agent_use_ssl_ctx() in the shared library: loads the module for OpenSSL at its first call.
 */
#include <dlfcn.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>

#include "client/lib/error.h"
#include "client/ssl/module.h"
#include "common/escape.h"

/* Beside this library itself, wherever it was loaded from: never by a search path. */
static int ssl_find_module(char path[PATH_MAX])
{
    static const char here; /* an address in this library */
    Dl_info info;

    if (!dladdr(&here, &info) || !info.dli_fname)
        return -ENOENT;
    const char *slash = strrchr(info.dli_fname, '/');
    if (!slash)
        return -ENOENT;
    int len = snprintf(path, PATH_MAX, "%.*s/%s", (int)(slash - info.dli_fname), info.dli_fname,
                       SSL_MODULE_FILE);
    return len < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* NULL with @error filled when the module is not there. */
static ssl_module_fn ssl_load_module(struct mtls_agent_error *error)
{
    static _Atomic(ssl_module_fn) loaded;
    ssl_module_fn use = atomic_load(&loaded);
    char path[PATH_MAX] = SSL_MODULE_FILE;
    char shown[640];

    if (use)
        return use;
    void *module =
        ssl_find_module(path) == 0 ? dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) : NULL;
    use = module ? (ssl_module_fn)dlsym(module, SSL_MODULE_SYMBOL) : NULL;
    if (!use) {
        const char *reason = dlerror();
        (void)client_error_set(error, MTLS_AGENT_E_TLS,
                               "the library's part for OpenSSL cannot be loaded (is mtls-agent "
                               "installed as a whole?): %s",
                               escape_cstring(reason ? reason : path, shown, sizeof(shown)));
        return NULL;
    }
    atomic_store(&loaded, use);
    return use;
}

int mtls_agent_use_ssl_ctx(struct ssl_ctx_st *ssl_ctx, const char *selector,
                           struct mtls_agent *agent, struct mtls_agent_error *error)
{
    ssl_module_fn use = ssl_load_module(error);

    return use ? use(ssl_ctx, selector, agent, error) : (int)MTLS_AGENT_E_TLS;
}
