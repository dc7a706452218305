/* SPDX-License-Identifier: Apache-2.0 */
/* p11-kit's registry; see discover.h. */
#include "pkcs11/discover.h"

#include <p11-kit/p11-kit.h>
#include <string.h>

#include "pkcs11/link.h"
#include "pkcs11/own_module.h"

/* The beginnings of file names, without their directory, that are never served. */
static const char *const discover_unwanted[] = {"mtls-agent", "p11-kit-client", "p11-kit-proxy",
                                                "p11-kit-trust"};

static bool discover_begins_unwanted(const char *text)
{
    for (size_t i = 0; i < ARRAY_SIZE(discover_unwanted); i++)
        if (strncmp(text, discover_unwanted[i], strlen(discover_unwanted[i])) == 0)
            return true;
    return false;
}

bool discover_is_wanted(const char *name, const char *path)
{
    const char *slash = strrchr(path, '/');

    return path[0] == '/' && !discover_begins_unwanted(name) &&
           !discover_begins_unwanted(slash + 1);
}

static bool discover_is_trust(CK_FUNCTION_LIST *module)
{
    _cleanup_free_ char *policy = p11_kit_config_option(module, "trust-policy");

    return policy && strcmp(policy, "yes") == 0;
}

static int discover_send_module(int link, struct wire_writer *writer, CK_FUNCTION_LIST *module)
{
    _cleanup_free_ char *name = p11_kit_module_get_name(module);
    _cleanup_free_ char *path = p11_kit_module_get_filename(module);

    /* A module without a file is a remote one, which only p11-kit can reach. */
    if (!name || !path || !discover_is_wanted(name, path) || discover_is_trust(module) ||
        own_module_is_mapped(path))
        return 0;
    const struct worker_module msg = {.name = wire_span_from_text(name),
                                      .path = wire_span_from_text(path)};
    wire_writer_reset(writer);
    if (worker_module_encode(writer, &msg))
        return -EMSGSIZE;
    return link_send(link, writer);
}

int discover_send(int link, struct wire_writer *writer)
{
    CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);

    for (size_t i = 0; modules && modules[i]; i++) {
        int r = discover_send_module(link, writer, modules[i]);
        if (r)
            return r;
    }
    wire_writer_reset(writer);
    if (worker_empty_encode(writer, WORKER_DISCOVER_END))
        return -ENOMEM;
    return link_send(link, writer);
}
