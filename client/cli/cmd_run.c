/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mtls run`: a command that uses a key of the agent through OpenSSL, without knowing of it. All is
 * in the child's environment and in a private directory that goes away with the child.
 */
#include "client/cli/cli.h"

#include <string.h>

#include "client/cli/child.h"
#include "client/cli/client_files.h"
#include "client/cli/key_view.h"
#include "client/cli/private_dir.h"

enum {
    RUN_KEY,
};

static const struct cli_option run_options[] = {
    [RUN_KEY] = {"key", 'k', "KEY", "the key; without: the only one with a certificate"},
};

static bool run_is_variable(const char *entry, const char *name)
{
    size_t len = strlen(name);

    return strncmp(entry, name, len) == 0 && entry[len] == '=';
}

static bool run_is_replaced(const char *entry, const struct client_files *files)
{
    for (size_t i = 0; i < CLIENT_FILES_VARIABLES; i++)
        if (run_is_variable(entry, files->variables[i].name))
            return true;
    return false;
}

struct run_environment {
    char **entries; /* owned; the strings only from @own on */
    size_t count;
    size_t own;
};

static void run_environment_deinit(struct run_environment *environment)
{
    for (size_t i = environment->own; i < environment->count; i++)
        free(environment->entries[i]);
    free(environment->entries);
}

/* Ours, with the variables of @files set. */
static int run_environment_build(const struct client_files *files,
                                 struct run_environment *environment)
{
    size_t inherited = 0;

    while (environ[inherited])
        inherited++;
    environment->entries =
        calloc(inherited + CLIENT_FILES_VARIABLES + 1, sizeof(*environment->entries));
    if (!environment->entries)
        return -ENOMEM;
    for (size_t i = 0; i < inherited; i++)
        if (!run_is_replaced(environ[i], files))
            environment->entries[environment->count++] = environ[i];
    environment->own = environment->count;
    for (size_t i = 0; i < CLIENT_FILES_VARIABLES; i++) {
        const struct client_files_variable *variable = &files->variables[i];
        char *entry = NULL;
        if (asprintf(&entry, "%s=%s", variable->name, variable->value) < 0)
            return -ENOMEM;
        environment->entries[environment->count++] = entry;
    }
    return 0;
}

static int run_in_dir(const char *dir, const struct mtls_agent_key *key, char **argv)
{
    _cleanup_openssl_conf_base_ struct openssl_conf_base base = OPENSSL_CONF_BASE_INIT;
    _cleanup_client_files_ struct client_files files = CLIENT_FILES_INIT;
    _cleanup_(run_environment_deinit) struct run_environment environment = {0};

    int r = openssl_conf_find_base(&base);
    if (r)
        return cli_fail_errno("cannot find openssl.cnf", r);
    r = client_files_write(dir, key, &base, &files);
    if (r)
        return r;
    r = run_environment_build(&files, &environment);
    if (r)
        return cli_fail_errno("cannot set up the environment", r);
    return child_run(argv, environment.entries);
}

/* No failure: the command may come to its handshake when the key is ready. */
static void run_warn(enum mtls_agent_key_state state, const char *token)
{
    if (state == MTLS_AGENT_KEY_LOCKED)
        cli_note("token %s waits for its PIN, until then its keys do not sign. Run: mtls unlock",
                 token);
    if (state == MTLS_AGENT_KEY_ABSENT)
        cli_note("token %s is not there, its keys do not sign until it is. See: mtls status",
                 token);
}

/* Finds the key; the connection is closed before the child starts. */
static int run_find_key(const char *selector, struct mtls_agent_keys **ret_keys,
                        const struct mtls_agent_key **ret_key)
{
    _cleanup_agent_ struct mtls_agent *agent = cli_agent_new();

    if (!agent)
        return CLI_FAILURE;
    int r = key_view_find(agent, selector, ret_keys, ret_key);
    if (r)
        return r;
    if ((*ret_key)->cert_count == 0)
        return key_view_fail_no_certificate(*ret_key);
    run_warn((*ret_key)->state, (*ret_key)->token_label);
    key_view_note_tls12(*ret_key);
    return CLI_OK;
}

static int run_run(const struct cli_args *args)
{
    _cleanup_agent_keys_ struct mtls_agent_keys *keys = NULL;
    const struct mtls_agent_key *key = NULL;
    _cleanup_free_ char *dir = NULL;

    int r = run_find_key(args->values[RUN_KEY], &keys, &key);
    if (r)
        return r;
    child_block_signals();
    r = private_dir_new(&dir);
    if (r)
        return cli_fail_errno("cannot make a directory in $XDG_RUNTIME_DIR or /tmp", r);
    r = run_in_dir(dir, key, args->operands);
    private_dir_remove(dir);
    return r;
}

const struct cli_command cmd_run = {
    .name = "run",
    .operands = "[--] COMMAND [ARGUMENTS]",
    .summary = "Run a command that can use a key",
    .details = "In the environment of COMMAND:\n"
               "  MTLS_CERT        file with the certificate and its chain\n"
               "  MTLS_KEY         file that stands for the private key\n"
               "  OPENSSL_CONF     your openssl.cnf, and the provider mtls-agent\n"
               "  MTLS_AGENT_SOCK  socket of the agent\n"
               "Example: mtls run -- sh -c 'curl --cert \"$MTLS_CERT\" --key \"$MTLS_KEY\" "
               "https://...'",
    .options = run_options,
    .option_count = ARRAY_SIZE(run_options),
    .operands_min = 1,
    .operands_max = -1,
    .ends_at_operand = true,
    .run = run_run,
};
