/* SPDX-License-Identifier: Apache-2.0 */
/* `mtls lock`: the agent logs out of a token, or of all; they need their PIN again. */
#include "client/cli/cli.h"

#include "client/cli/patience.h"

static int lock_run(const struct cli_args *args)
{
    _cleanup_agent_ struct mtls_agent *agent = cli_agent_new();
    const char *token = cli_operand(args, 0);
    struct mtls_agent_error error = {0};

    if (!agent)
        return CLI_FAILURE;
    patience_begin("waiting for the agent...");
    int r = mtls_agent_lock(agent, token, &error);
    patience_end();
    if (r)
        return cli_fail_agent(&error);
    if (token)
        cli_note("token %s is locked", token);
    else
        cli_note("all tokens are locked");
    return CLI_OK;
}

const struct cli_command cmd_lock = {
    .name = "lock",
    .operands = "[TOKEN]",
    .summary = "Make a token need its PIN again",
    .details = "TOKEN is a label, a serial or a pkcs11: URI; without, all tokens.",
    .operands_max = 1,
    .run = lock_run,
};
