/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mtls key-ref`: the PEM block that stands where a program wants a private key, and names a key of
 * the agent instead. It holds no secret; 0600 because many programs insist on that for key files.
 */
#include "client/cli/cli.h"

#include "client/cli/key_view.h"
#include "client/cli/output_file.h"
#include "client/provider/key_reference.h"
#include "common/escape.h"

enum {
    KEY_REF_OUTPUT,
    KEY_REF_FORCE,
};

static const struct cli_option key_ref_options[] = {
    [KEY_REF_OUTPUT] = {"output", 'o', "FILE", "write a new file, mode 0600, instead of stdout"},
    [KEY_REF_FORCE] = {"force", 'f', NULL, "with -o: replace a file that is there"},
};

static int key_ref_encode(const char *selector, struct wire_writer *out)
{
    _cleanup_free_ char *uri = NULL;
    _cleanup_free_ char *pem = NULL;

    int r = key_uri_from_selector(selector, &uri);
    if (r == 0)
        r = key_reference_encode_pem(uri, &pem);
    if (r == KEY_REFERENCE_E_MALFORMED)
        return cli_fail(CLI_FAILURE, "the name of the key does not fit into a reference. Give it a "
                                     "shorter one with a [key] section: man 5 mtls-agent.conf");
    if (r)
        return cli_fail_errno("cannot write the reference", r);
    escape_put_raw(out, pem);
    return CLI_OK;
}

static int key_ref_run(const struct cli_args *args)
{
    _cleanup_agent_ struct mtls_agent *agent = cli_agent_new();
    _cleanup_agent_keys_ struct mtls_agent_keys *keys = NULL;
    _cleanup_wire_writer_ struct wire_writer text = {0};
    _cleanup_free_ char *selector = NULL;
    const struct mtls_agent_key *key = NULL;

    if (!agent)
        return CLI_FAILURE;
    int r = key_view_find(agent, cli_operand(args, 0), &keys, &key);
    if (r == CLI_OK)
        r = key_view_selector(agent, key, &selector);
    if (r)
        return r;
    wire_writer_init(&text, CLI_OUTPUT_MAX);
    r = key_ref_encode(selector, &text);
    if (r)
        return r;
    return output_file_write(args->values[KEY_REF_OUTPUT], &text, 0600,
                             args->values[KEY_REF_FORCE] != NULL);
}

const struct cli_command cmd_key_ref = {
    .name = "key-ref",
    .operands = "KEY",
    .summary = "Print a PEM block that programs take in place of a private key",
    .details =
        "It holds the key's name, or its hash when the name fits several keys or the token is\n"
        "locked; nothing secret. Programs understand it when the OpenSSL provider is "
        "active:\nmtls run, mtls env.",
    .options = key_ref_options,
    .option_count = ARRAY_SIZE(key_ref_options),
    .operands_min = 1,
    .operands_max = 1,
    .run = key_ref_run,
};
