/* SPDX-License-Identifier: Apache-2.0 */
/* Who comes first; see precedence.h. */
#include "client/provider/precedence.h"

#include <openssl/core_dispatch.h>
#include <string.h>

/* What the callbacks of the provider store fill, and how they ask back. */
struct precedence_look {
    OSSL_FUNC_provider_name_fn *provider_name;
    bool has_ordinary_keys;
};

static int precedence_see(const OSSL_CORE_HANDLE *provider, void *arg)
{
    struct precedence_look *look = arg;
    const char *name = look->provider_name(provider);

    if (name && (strcmp(name, "default") == 0 || strcmp(name, "fips") == 0))
        look->has_ordinary_keys = true;
    return 1;
}

static int precedence_see_removal(const OSSL_CORE_HANDLE *provider, void *arg)
{
    (void)provider;
    (void)arg;
    return 1;
}

static int precedence_see_properties(const char *properties, void *arg)
{
    (void)properties;
    (void)arg;
    return 1;
}

void precedence_init(struct precedence *precedence, const OSSL_CORE_HANDLE *core,
                     const OSSL_DISPATCH *in)
{
    OSSL_FUNC_provider_register_child_cb_fn *register_callbacks = NULL;
    OSSL_FUNC_provider_deregister_child_cb_fn *deregister_callbacks = NULL;
    struct precedence_look look = {0};

    for (; in->function_id != 0; in++) {
        if (in->function_id == OSSL_FUNC_PROVIDER_REGISTER_CHILD_CB)
            register_callbacks = OSSL_FUNC_provider_register_child_cb(in);
        else if (in->function_id == OSSL_FUNC_PROVIDER_DEREGISTER_CHILD_CB)
            deregister_callbacks = OSSL_FUNC_provider_deregister_child_cb(in);
        else if (in->function_id == OSSL_FUNC_PROVIDER_NAME)
            look.provider_name = OSSL_FUNC_provider_name(in);
    }
    if (!register_callbacks || !deregister_callbacks || !look.provider_name)
        return;
    /* Registering tells of every provider that is active now; later ones do not matter. */
    if (register_callbacks(core, precedence_see, precedence_see_removal, precedence_see_properties,
                           &look))
        deregister_callbacks(core);
    precedence->is_last = look.has_ordinary_keys;
}

bool precedence_gives_way(struct precedence *precedence, int operation)
{
    if (precedence->is_last)
        return false;
    if (operation == OSSL_OP_KEYMGMT)
        return !atomic_exchange(&precedence->was_asked_for_keymgmt, true);
    if (operation == OSSL_OP_SIGNATURE)
        return !atomic_exchange(&precedence->was_asked_for_signature, true);
    return false;
}
