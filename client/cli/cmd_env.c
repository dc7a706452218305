/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mtls env`: what `mtls run` gives to one command, for a whole shell: eval "$(mtls env)". The
 * files stay at a place that is the same for each key, so that many shells share them.
 */
#include "client/cli/cli.h"

#include "client/cli/client_files.h"
#include "client/cli/key_view.h"
#include "client/cli/private_dir.h"
#include "client/cli/shell_quote.h"
#include "common/escape.h"

enum {
    ENV_KEY,
    ENV_UNSET,
};

static const struct cli_option env_options[] = {
    [ENV_KEY] = {"key", 'k', "KEY", "the key; without: the only one with a certificate"},
    [ENV_UNSET] = {"unset", 'u', NULL, "print the lines that take it back"},
};

#define ENV_HASH_DIGITS 16 /* of the key's hash, in the name of its directory */

static void env_put_export(struct wire_writer *out, const char *name, const char *value)
{
    escape_put_raw(out, "export ");
    escape_put_raw(out, name);
    wire_put_u8(out, '=');
    shell_quote(out, value);
    wire_put_u8(out, '\n');
}

static int env_print_unset(void)
{
    _cleanup_openssl_conf_base_ struct openssl_conf_base base = OPENSSL_CONF_BASE_INIT;
    _cleanup_wire_writer_ struct wire_writer out = {0};

    int r = openssl_conf_find_base(&base);
    if (r)
        return cli_fail_errno("cannot find openssl.cnf", r);
    wire_writer_init(&out, CLI_OUTPUT_MAX);
    escape_put_raw(&out, "unset " CLIENT_FILES_CERT_ENV " " CLIENT_FILES_KEY_ENV "\n");
    if (base.from_environment)
        env_put_export(&out, OPENSSL_CONF_ENV, base.path ? base.path : "");
    else
        escape_put_raw(&out, "unset " OPENSSL_CONF_ENV "\n");
    return cli_print(&out);
}

static int env_open_dir(const struct mtls_agent_key *key, char **ret_dir)
{
    char hash[KEY_VIEW_HASH_MAX];
    char name[sizeof("env-") + ENV_HASH_DIGITS];

    (void)snprintf(name, sizeof(name), "env-%.*s", ENV_HASH_DIGITS,
                   key_view_hash(key->hash, hash) + sizeof("sha256:") - 1);
    int r = private_dir_open_stable(name, ret_dir);
    if (r == PRIVATE_DIR_E_UNSAFE)
        return cli_fail(CLI_FAILURE,
                        "%s is not a directory of yours alone (mode 0700). Remove it "
                        "and try again",
                        *ret_dir);
    return r ? cli_fail_errno("cannot make a directory in $XDG_RUNTIME_DIR or /tmp", r) : CLI_OK;
}

static int env_print(const struct mtls_agent_key *key)
{
    _cleanup_openssl_conf_base_ struct openssl_conf_base base = OPENSSL_CONF_BASE_INIT;
    _cleanup_client_files_ struct client_files files = CLIENT_FILES_INIT;
    _cleanup_wire_writer_ struct wire_writer out = {0};
    _cleanup_free_ char *dir = NULL;

    int r = openssl_conf_find_base(&base);
    if (r)
        return cli_fail_errno("cannot find openssl.cnf", r);
    r = env_open_dir(key, &dir);
    if (r == CLI_OK)
        r = client_files_write(dir, key, &base, &files);
    if (r)
        return r;
    wire_writer_init(&out, CLI_OUTPUT_MAX);
    for (size_t i = 0; i < CLIENT_FILES_VARIABLES; i++)
        env_put_export(&out, files.variables[i].name, files.variables[i].value);
    return cli_print(&out);
}

static int env_run(const struct cli_args *args)
{
    _cleanup_agent_ struct mtls_agent *agent = NULL;
    _cleanup_agent_keys_ struct mtls_agent_keys *keys = NULL;
    const struct mtls_agent_key *key = NULL;

    if (args->values[ENV_UNSET])
        return env_print_unset();
    agent = cli_agent_new();
    if (!agent)
        return CLI_FAILURE;
    int r = key_view_find(agent, args->values[ENV_KEY], &keys, &key);
    if (r)
        return r;
    if (key->cert_count == 0)
        return key_view_fail_no_certificate(key);
    key_view_note_tls12(key);
    return env_print(key);
}

const struct cli_command cmd_env = {
    .name = "env",
    .operands = "",
    .summary = "Print shell lines that let all commands of a shell use a key",
    .details = "Use: eval \"$(mtls env)\". The variables are those of mtls run.",
    .options = env_options,
    .option_count = ARRAY_SIZE(env_options),
    .run = env_run,
};
