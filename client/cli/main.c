/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mtls`, the command for people: finds the subcommand in one table and runs it. Each subcommand is
 * a file of its own, cmd_NAME.c; what they share is in cli.h.
 */
#include "client/cli/cli.h"

#include <locale.h>
#include <string.h>

#include "build-config.h"
#include "client/cli/nearest.h"
#include "client/cli/options.h"
#include "common/harden.h"

static const struct cli_command *const commands[] = {
    &cmd_list,  &cmd_status, &cmd_cert,   &cmd_key_ref, &cmd_run, &cmd_env,
    &cmd_setup, &cmd_test,   &cmd_unlock, &cmd_lock,    &cmd_pin, &cmd_check_config,
};

static const struct cli_command *main_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int main_print_help(FILE *file)
{
    (void)fprintf(file, "Usage: mtls COMMAND [OPTIONS] [ARGUMENTS]\n\n"
                        "Use TLS client keys that mtls-agent holds.\n\nCommands:\n");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        (void)fprintf(file, "  %-14s %s\n", commands[i]->name, commands[i]->summary);
    (void)fprintf(file, "  %-14s %s\n", "help", "Explain a command");
    (void)fprintf(file, "\nOptions:\n  %-14s %s\n  %-14s %s\n", "--version", "show the version",
                  "-h, --help", "show this help");
    (void)fprintf(file,
                  "\nKEY is a name from `mtls list`, a pkcs11: URI, or sha256: and at least 8 "
                  "hex digits.\nSee mtls(1) for all of it.\n");
    return CLI_OK;
}

static int main_fail_unknown(const char *word)
{
    const char *names[ARRAY_SIZE(commands)];

    if (word[0] == '-')
        return cli_fail(CLI_USAGE, "unknown option %s. See: mtls --help", word);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        names[i] = commands[i]->name;
    const char *nearest = nearest_find(word, names, ARRAY_SIZE(names));
    if (nearest)
        return cli_fail(CLI_USAGE, "unknown command %s. Did you mean: mtls %s?", word, nearest);
    return cli_fail(CLI_USAGE, "unknown command %s. See: mtls --help", word);
}

static int main_help(int argc, char **argv)
{
    if (argc < 2)
        return main_print_help(stdout);
    const struct cli_command *command = main_find(argv[1]);
    if (!command)
        return main_fail_unknown(argv[1]);
    options_print_help(command, stdout);
    return CLI_OK;
}

static int main_print_version(void)
{
    (void)printf("mtls %s (libmtls-agent %s)%s\n", MTLS_VERSION, mtls_agent_version(),
                 MTLS_DUMPABLE ? ", dumpable build" : "");
    return CLI_OK;
}

static int main_dispatch(int argc, char **argv)
{
    struct cli_args args;

    if (argc < 2) {
        (void)main_print_help(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return main_print_help(stdout);
    if (strcmp(argv[1], "--version") == 0)
        return main_print_version();
    if (strcmp(argv[1], "help") == 0)
        return main_help(argc - 1, argv + 1);
    const struct cli_command *command = main_find(argv[1]);
    if (!command)
        return main_fail_unknown(argv[1]);
    int r = options_parse(command, argc - 1, argv + 1, &args);
    if (r == OPTIONS_HELP) {
        options_print_help(command, stdout);
        return CLI_OK;
    }
    return r ? CLI_USAGE : command->run(&args);
}

int main(int argc, char **argv)
{
    /* Only for the width of characters in tables; messages are in English. */
    (void)setlocale(LC_CTYPE, "");
    int r = harden_standard_fds();
    if (r)
        return cli_fail_errno("cannot open /dev/null", r);
    return cli_finish_output(main_dispatch(argc, argv));
}
