/* SPDX-License-Identifier: Apache-2.0 */
/* Another program of this machine: where it is, what it is linked with, what it says when run. */
#ifndef MTLS_CLI_PROGRAM_H
#define MTLS_CLI_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"
#include "common/wire.h"

#define PROGRAM_OUTPUT_MAX (1024u * 1024u)
#define PROGRAM_TIMEOUT_MS 20000u

/* The positive answer of this module. */
enum {
    PROGRAM_E_TIMEOUT = 1, /* it was killed */
};

/**
 * program_find() - the file that $PATH, or else the system's directories, have under a name
 * @name:       without a slash
 * @ret_path:   filled; owned by the caller; NULL when there is none
 *
 * Return: 0, or -ENOMEM.
 */
int program_find(const char *name, char **ret_path) _must_check_;

/**
 * program_has_text() - a file holds these bytes, e.g. the name of a library that it is linked with
 * @path:       borrowed; NULL: no
 */
bool program_has_text(const char *path, const char *text);

/**
 * program_run() - run it to its end, with an empty standard input
 * @argv:       borrowed, NULL-terminated; argv[0] is its path
 * @variables:  "NAME=VALUE" that replace ours in its environment; NULL-terminated; NULL: none
 * @output:     standard output and error appended, NUL-terminated behind its length; what is more
 *              than PROGRAM_OUTPUT_MAX is lost
 * @ret_code:   exit code, or 128 + N for signal N
 *
 * Blocks for PROGRAM_TIMEOUT_MS at most. Return: 0, PROGRAM_E_TIMEOUT, or -errno.
 */
int program_run(const char *const *argv, const char *const *variables, struct wire_writer *output,
                int *ret_code) _must_check_;

/** program_first_line() - of an output, cut to @size; for messages. Return: @line. */
const char *program_first_line(const struct wire_writer *output, char *line, size_t size);

#endif
