/* SPDX-License-Identifier: Apache-2.0 */
/* GnuTLS and the programs on it: they take pkcs11: URIs, and find the module through p11-kit. */
#include "client/cli/setup.h"

#include <string.h>

static int gnutls_prepare(struct setup *setup)
{
    _cleanup_free_ char *cert = setup_uri(setup, "cert");
    _cleanup_free_ char *key = setup_uri(setup, "private");
    _cleanup_free_ char *cert_word = cert ? setup_word(cert) : NULL;
    _cleanup_free_ char *key_word = key ? setup_word(key) : NULL;

    if (!cert_word || !key_word)
        return setup_fail_memory();
    int r = setup_register(setup);
    if (r)
        return r;
    recipe_add(&setup->recipe, RECIPE_USE, "gnutls-cli --x509certfile %s --x509keyfile %s SERVER",
               cert_word, key_word);
    recipe_add(&setup->recipe, RECIPE_USE, "wget --certificate %s --private-key %s https://SERVER/",
               cert_word, key_word);
    return CLI_OK;
}

/* Without registration the program is told the module, so that the rest is tried even so. */
static int gnutls_check(struct setup *setup)
{
    _cleanup_free_ char *program = setup_find_program(setup, "p11tool", "gnutls-bin");
    _cleanup_free_ char *uri = setup_uri(setup, "cert");
    _cleanup_wire_writer_ struct wire_writer output = {0};
    bool is_registered = setup_is_registered(setup);

    if (!program || !uri)
        return CLI_OK;
    const char *const by_registry[] = {program, "--batch", "--list-all", uri, NULL};
    const char *const by_path[] = {program,      "--batch", "--provider", setup->module,
                                   "--list-all", uri,       NULL};
    if (setup_try(setup, is_registered ? by_registry : by_path, NULL, &output, "p11tool"))
        return CLI_OK;
    bool is_listed = strstr((const char *)output.data, "X.509") != NULL;
    recipe_add_check(&setup->recipe, is_listed ? RECIPE_OK : RECIPE_FAILED,
                     "p11tool %s the certificate by its URI%s",
                     is_listed ? "finds" : "does not find",
                     is_registered ? "" : "; with --provider, as the module is not registered yet");
    return CLI_OK;
}

const struct setup_program setup_gnutls = {
    .name = "gnutls",
    .needs_module = true,
    .needs_key = true,
    .files = {"pkcs11/modules/mtls-agent.module"},
    .prepare = gnutls_prepare,
    .check = gnutls_check,
};
