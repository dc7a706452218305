/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three files by which an unmodified program uses a key: openssl.cnf with the provider active,
 * the certificates, and the key reference; and the environment that names them.
 */
#ifndef MTLS_CLI_CLIENT_FILES_H
#define MTLS_CLI_CLIENT_FILES_H

#include "client/cli/cli.h"
#include "client/cli/openssl_conf.h"

#define CLIENT_FILES_CERT_ENV "MTLS_CERT"
#define CLIENT_FILES_KEY_ENV "MTLS_KEY"

#define CLIENT_FILES_VARIABLES 4

struct client_files_variable {
    const char *name;
    char *value; /* owned */
};

struct client_files {
    struct client_files_variable variables[CLIENT_FILES_VARIABLES];
};

#define CLIENT_FILES_INIT ((struct client_files){0})

/**
 * client_files_write() - write the files, replacing older ones
 * @dir:        borrowed; of the user alone
 * @key:        borrowed; must have a certificate
 * @base:       the openssl.cnf to extend
 * @ret_files:  filled with the environment; client_files_deinit()
 *
 * Return: CLI_OK, or the exit code of a failure that was reported.
 */
int client_files_write(const char *dir, const struct mtls_agent_key *key,
                       const struct openssl_conf_base *base,
                       struct client_files *ret_files) _must_check_;
void client_files_deinit(struct client_files *files);

#define _cleanup_client_files_ _cleanup_(client_files_deinit)

#endif
