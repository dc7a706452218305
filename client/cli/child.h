/* SPDX-License-Identifier: Apache-2.0 */
/* A command as a child: signals are passed on to it, its end is ours. */
#ifndef MTLS_CLI_CHILD_H
#define MTLS_CLI_CHILD_H

#include "client/cli/cli.h"

/**
 * child_block_signals() - from now on the signals that end a program wait for child_run()
 *
 * To be called before anything is made that child_run()'s caller removes afterwards.
 */
void child_block_signals(void);

/**
 * child_run() - start a command and wait for its end
 * @argv:       borrowed, NULL-terminated; argv[0] is looked for in $PATH
 * @environment: borrowed, NULL-terminated
 *
 * HUP, INT, QUIT, TERM, USR1 and USR2 sent to this process go to the child; those that the terminal
 * sends have reached it already. Needs child_block_signals().
 * Return: the child's exit code, 128 + N when signal N ended it, CLI_NOT_FOUND or CLI_NOT_STARTED
 * (both reported), or CLI_FAILURE (reported).
 */
int child_run(char **argv, char **environment) _must_check_;

#endif
