/* SPDX-License-Identifier: Apache-2.0 */
/* `mtls cert`: the certificate of a key and its chain, as PEM. */
#include "client/cli/cli.h"

#include "client/cli/key_view.h"
#include "client/cli/output_file.h"
#include "client/cli/pem.h"

enum {
    CERT_OUTPUT,
    CERT_FORCE,
};

static const struct cli_option cert_options[] = {
    [CERT_OUTPUT] = {"output", 'o', "FILE", "write a new file instead of stdout"},
    [CERT_FORCE] = {"force", 'f', NULL, "with -o: replace a file that is there"},
};

static int cert_run(const struct cli_args *args)
{
    _cleanup_agent_ struct mtls_agent *agent = cli_agent_new();
    _cleanup_agent_keys_ struct mtls_agent_keys *keys = NULL;
    _cleanup_wire_writer_ struct wire_writer text = {0};
    const struct mtls_agent_key *key = NULL;

    if (!agent)
        return CLI_FAILURE;
    int r = key_view_find(agent, cli_operand(args, 0), &keys, &key);
    if (r)
        return r;
    if (key->cert_count == 0)
        return key_view_fail_no_certificate(key);
    wire_writer_init(&text, CLI_OUTPUT_MAX);
    pem_put_certificates(key, &text);
    return output_file_write(args->values[CERT_OUTPUT], &text, 0644,
                             args->values[CERT_FORCE] != NULL);
}

const struct cli_command cmd_cert = {
    .name = "cert",
    .operands = "KEY",
    .summary = "Print the certificate of a key and its chain, as PEM",
    .details = "The leaf comes first. Nothing in it is secret.",
    .options = cert_options,
    .option_count = ARRAY_SIZE(cert_options),
    .operands_min = 1,
    .operands_max = 1,
    .run = cert_run,
};
