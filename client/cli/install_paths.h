/* SPDX-License-Identifier: Apache-2.0 */
/* Where the rest of the installation is, seen from the running program: a staged install works. */
#ifndef MTLS_CLI_INSTALL_PATHS_H
#define MTLS_CLI_INSTALL_PATHS_H

#include "common/cleanup.h"

#define INSTALL_PATHS_AGENT_ENV "MTLS_AGENT_BIN"
#define INSTALL_PATHS_MODULES_ENV "OPENSSL_MODULES"
#define INSTALL_PATHS_MODULE_ENV "MTLS_AGENT_PKCS11_MODULE"
#define INSTALL_PATHS_MODULE "mtls-agent-pkcs11.so"

/**
 * install_paths_agent() - the file of the daemon
 * @ret_path:   filled; owned by the caller
 *
 * $MTLS_AGENT_BIN, else beside the running program, else "mtls-agent", to be looked for in $PATH.
 * Return: 0, or -ENOMEM.
 */
int install_paths_agent(char **ret_path) _must_check_;

/**
 * install_paths_provider() - the file of the OpenSSL provider
 * @ret_path:   filled; owned by the caller; NULL when it was not found: OpenSSL may still know it
 *
 * In $OPENSSL_MODULES, else where this installation has it, else in the modules directory of the
 * OpenSSL that this program runs with.
 * Return: 0, or -ENOMEM.
 */
int install_paths_provider(char **ret_path) _must_check_;

/**
 * install_paths_module() - the file of the PKCS#11 module for programs
 * @ret_path:   filled; owned by the caller; NULL when it was not found
 *
 * $MTLS_AGENT_PKCS11_MODULE, else where this installation has it.
 * Return: 0, or -ENOMEM.
 */
int install_paths_module(char **ret_path) _must_check_;

#endif
