/* SPDX-License-Identifier: Apache-2.0 */
/* Where the project's own things lie. The environment is ignored in setuid programs. */
#ifndef MTLS_COMMON_PATHS_H
#define MTLS_COMMON_PATHS_H

#include "common/cleanup.h"

#define PATHS_SOCKET_ENV "MTLS_AGENT_SOCK"
#define PATHS_LIBEXEC_ENV "MTLS_AGENT_LIBEXECDIR"

/**
 * paths_socket() - where the agent's socket is
 * @ret_path:   filled; owned by the caller
 *
 * $MTLS_AGENT_SOCK, else $XDG_RUNTIME_DIR/mtls-agent/agent.sock, else /run/mtls-agent/agent.sock.
 * Return: 0, or -ENOMEM.
 */
int paths_socket(char **ret_path) _must_check_;

/**
 * paths_helper() - the file of a private helper program
 * @name:       e.g. "token-worker"
 * @ret_path:   filled; owned by the caller
 *
 * In $MTLS_AGENT_LIBEXECDIR, else in libexec/mtls-agent beside the running program's bin (so that a
 * staged install finds its own), else in the directory fixed at build time.
 * Return: 0, or -errno.
 */
int paths_helper(const char *name, char **ret_path) _must_check_;

#endif
