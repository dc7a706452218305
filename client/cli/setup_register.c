/* SPDX-License-Identifier: Apache-2.0 */
/*
 * p11-kit's registry (pkcs11.conf(5)), by which GnuTLS and its programs find the module. The
 * installation puts it there; where it did not, a user has a directory of his own, but not root.
 */
#include "client/cli/setup.h"

#include "client/cli/own_file.h"

#define REGISTER_NAME "pkcs11/modules/mtls-agent.module"
#define REGISTER_ADMIN_FILE "/etc/pkcs11/modules/mtls-agent.module"

static bool register_has_user_file(const struct setup *setup)
{
    _cleanup_free_ char *path = setup_path(setup, REGISTER_NAME);

    return geteuid() != 0 && path && access(path, R_OK) == 0;
}

bool setup_is_registered(const struct setup *setup)
{
    return access(MTLS_P11_MODULE_CONFIGS "/mtls-agent.module", R_OK) == 0 ||
           access(REGISTER_ADMIN_FILE, R_OK) == 0 || register_has_user_file(setup);
}

int setup_register(struct setup *setup)
{
    _cleanup_free_ char *body = NULL;

    if (setup_is_registered(setup)) {
        recipe_add(&setup->recipe, RECIPE_FOUND, "p11-kit knows the module");
        return CLI_OK;
    }
    if (geteuid() == 0) {
        recipe_add(&setup->recipe, RECIPE_NOTE,
                   "p11-kit does not know the module, and root has no registry of its own. Write "
                   "into " REGISTER_ADMIN_FILE ": module: %s",
                   setup->module);
        return CLI_OK;
    }
    if (asprintf(&body, "module: %s\ndisable-in: mtls-agent, token-worker\ncritical: no\n",
                 setup->module) < 0) {
        body = NULL;
        return setup_fail_memory();
    }
    return setup_put_file(setup, REGISTER_NAME, body);
}
