/* SPDX-License-Identifier: Apache-2.0 */
/* `mtls check-config`: becomes `mtls-agent --check-config`, which knows what is right. */
#include "client/cli/cli.h"

#include <string.h>

#include "client/cli/install_paths.h"

static int check_config_run(const struct cli_args *args)
{
    static char check[] = "--check-config";
    static char config[] = "--config";
    _cleanup_free_ char *agent = NULL;

    int r = install_paths_agent(&agent);
    if (r)
        return cli_fail_errno("cannot find mtls-agent", r);
    char *const argv[] = {agent, check, args->operand_count > 0 ? config : NULL,
                          args->operand_count > 0 ? args->operands[0] : NULL, NULL};
    (void)execvp(agent, argv);
    return cli_fail(CLI_FAILURE,
                    "%s cannot be started: %s. Install mtls-agent, or set " INSTALL_PATHS_AGENT_ENV
                    " to its file",
                    agent, strerror(errno));
}

const struct cli_command cmd_check_config = {
    .name = "check-config",
    .operands = "[FILE]",
    .summary = "Check the configuration of the agent",
    .details = "Without FILE: the files that the agent reads by itself. One line for each problem.",
    .operands_max = 1,
    .run = check_config_run,
};
