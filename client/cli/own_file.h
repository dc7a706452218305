/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text files in the user's own directories that `mtls setup` makes and takes back. Their first line
 * says so; a file without it belongs to somebody else and is never replaced or removed unasked.
 */
#ifndef MTLS_CLI_OWN_FILE_H
#define MTLS_CLI_OWN_FILE_H

#include <stdbool.h>

#include "common/cleanup.h"
#include "common/wire.h"

#define OWN_FILE_MARK "# made by mtls setup"
/* The beginning that openssl.cnf from `mtls run`, too, has in common with it. */
#define OWN_FILE_MARK_BEGIN "# made by mtls"

enum own_file_state {
    OWN_FILE_ABSENT,
    OWN_FILE_OURS,
    OWN_FILE_FOREIGN, /* also: no regular file, or one that cannot be read */
};

/** own_file_look() - what is at @path now; symbolic links are not followed. */
enum own_file_state own_file_look(const char *path);

/**
 * own_file_read() - the whole of a file
 * @text:       appended, NUL-terminated behind its length; a missing file is an empty one
 *
 * Return: 0, or -errno; -EFBIG beyond @text's bound.
 */
int own_file_read(const char *path, struct wire_writer *text) _must_check_;

/**
 * own_file_make_parents() - every directory above @path that is missing, mode 0700
 *
 * Return: 0, or -errno.
 */
int own_file_make_parents(const char *path) _must_check_;

/**
 * own_file_write() - a file, mode 0600, with the directories above it; replaces what is there
 *
 * Return: 0, the positive answers of new_file_write(), or -errno.
 */
int own_file_write(const char *path, const void *data, size_t len) _must_check_;

/**
 * own_file_remove() - remove it if it is ours
 *
 * Return: 0 when it is gone, -EPERM when it is foreign, or -errno.
 */
int own_file_remove(const char *path) _must_check_;

/**
 * own_file_config_home() - $XDG_CONFIG_HOME, else $HOME/.config
 * @ret_dir:    filled; owned by the caller; NULL when there is neither
 *
 * As the agent finds its own. Return: 0, or -ENOMEM.
 */
int own_file_config_home(char **ret_dir) _must_check_;

#endif
