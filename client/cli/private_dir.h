/* SPDX-License-Identifier: Apache-2.0 */
/* Directories that only the user can enter, for the files that programs are pointed to. */
#ifndef MTLS_CLI_PRIVATE_DIR_H
#define MTLS_CLI_PRIVATE_DIR_H

#include "common/cleanup.h"

enum {
    PRIVATE_DIR_E_UNSAFE = 1, /* there is something that is no directory of ours alone */
};

/**
 * private_dir_new() - a fresh directory for one program
 * @ret_path:   filled; owned by the caller: private_dir_remove()
 *
 * Mode 0700, in $XDG_RUNTIME_DIR if that is ours alone to change, else in /tmp.
 * Return: 0, or -errno.
 */
int private_dir_new(char **ret_path) _must_check_;

/**
 * private_dir_open_stable() - a directory that is the same each time
 * @name:       of the directory
 * @ret_path:   filled; owned by the caller
 *
 * $XDG_RUNTIME_DIR/mtls-agent/NAME (as above), else /tmp/mtls-agent-UID/NAME; made when it is
 * missing, with mode 0700, and never used when it belongs to someone else or others may enter it.
 * Return: 0, PRIVATE_DIR_E_UNSAFE, or -errno. With PRIVATE_DIR_E_UNSAFE *ret_path is filled, too.
 */
int private_dir_open_stable(const char *name, char **ret_path) _must_check_;

/**
 * private_dir_remove() - with all files and empty directories in it; what is missing already is
 * fine.
 */
void private_dir_remove(const char *path);

#endif
