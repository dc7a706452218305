/* SPDX-License-Identifier: Apache-2.0 */
/* Knowing our own module; see own_module.h. */
#include "pkcs11/own_module.h"

#include <dlfcn.h>
#include <string.h>

#define OWN_MODULE_SYMBOL "mtls_agent_pkcs11_module" /* client/module exports it for this */
#define OWN_MODULE_MAKER "mtls-agent"                /* its manufacturerID */

bool own_module_is_file(void *handle)
{
    return dlsym(handle, OWN_MODULE_SYMBOL) != NULL;
}

bool own_module_is_mapped(const char *path)
{
    void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
    bool is_ours = handle && own_module_is_file(handle);

    if (handle)
        (void)dlclose(handle);
    return is_ours;
}

static bool own_module_is_maker(const char *manufacturer)
{
    return manufacturer && strcmp(manufacturer, OWN_MODULE_MAKER) == 0;
}

bool own_module_is_reached(const PKCS11_CTX *ctx, const PKCS11_SLOT *slots, size_t slot_count)
{
    if (own_module_is_maker(ctx->manufacturer))
        return true;
    for (size_t i = 0; i < slot_count; i++)
        if (own_module_is_maker(slots[i].manufacturer) ||
            (slots[i].token && own_module_is_maker(slots[i].token->manufacturer)))
            return true;
    return false;
}
