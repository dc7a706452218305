/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are there whole or not at all: written beside their place under a name of their own,
 * then renamed. A symbolic link, a device or a directory at that place is never touched.
 */
#ifndef MTLS_CLI_NEW_FILE_H
#define MTLS_CLI_NEW_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/cleanup.h"

enum {
    NEW_FILE_E_EXISTS = 1,  /* a file is there, and replacing it was not asked for */
    NEW_FILE_E_NOT_REGULAR, /* what is there is no regular file */
};

/**
 * new_file_write() - create a file, or replace one as a whole
 * @path:       borrowed
 * @mode:       permissions; the umask is not asked
 * @replace:    a regular file at @path is replaced
 *
 * Return: 0, NEW_FILE_E_EXISTS, NEW_FILE_E_NOT_REGULAR, or -errno; on failure nothing is left.
 */
int new_file_write(const char *path, const void *data, size_t len, mode_t mode,
                   bool replace) _must_check_;

#endif
