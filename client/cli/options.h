/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of one subcommand, parsed and explained from its one table of options. */
#ifndef MTLS_CLI_OPTIONS_H
#define MTLS_CLI_OPTIONS_H

#include "client/cli/cli.h"

enum {
    OPTIONS_HELP = 1, /* --help was asked for */
    OPTIONS_INVALID,  /* reported on stderr */
};

/**
 * options_parse() - options in any order, then the operands counted
 * @command:    borrowed
 * @argc:       of @argv
 * @argv:       borrowed and reordered; argv[0] is the command's name
 * @ret_args:   filled; borrows from @argv
 *
 * Return: 0, OPTIONS_HELP or OPTIONS_INVALID.
 */
int options_parse(const struct cli_command *command, int argc, char **argv,
                  struct cli_args *ret_args) _must_check_;

/** options_print_help() - usage, what the command does, its options. */
void options_print_help(const struct cli_command *command, FILE *file);

#endif
