/* SPDX-License-Identifier: Apache-2.0 */
/* The -o FILE of several commands: a text into a new file, or to stdout. */
#ifndef MTLS_CLI_OUTPUT_FILE_H
#define MTLS_CLI_OUTPUT_FILE_H

#include <sys/types.h>

#include "client/cli/cli.h"

/**
 * output_file_write() - @text to @path, or to stdout when @path is NULL
 * @mode:       permissions of a new file
 * @replace:    --force was given
 *
 * Return: CLI_OK, or CLI_FAILURE (reported).
 */
int output_file_write(const char *path, const struct wire_writer *text, mode_t mode,
                      bool replace) _must_check_;

#endif
