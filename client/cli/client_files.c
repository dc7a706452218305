/* SPDX-License-Identifier: Apache-2.0 */
/* openssl.cnf, certificates and key reference; see client_files.h. */
#include "client/cli/client_files.h"

#include <string.h>

#include "client/cli/install_paths.h"
#include "client/cli/key_view.h"
#include "client/cli/new_file.h"
#include "client/cli/pem.h"
#include "client/provider/key_reference.h"
#include "common/paths.h"

/* The order of struct client_files. */
enum {
    FILES_OPENSSL_CONF,
    FILES_CERT,
    FILES_KEY,
    FILES_SOCKET,
};

void client_files_deinit(struct client_files *files)
{
    for (size_t i = 0; i < CLIENT_FILES_VARIABLES; i++)
        free(files->variables[i].value);
    *files = CLIENT_FILES_INIT;
}

static int client_files_put(const char *path, const void *data, size_t len)
{
    int r = new_file_write(path, data, len, 0600, true);

    if (r == NEW_FILE_E_NOT_REGULAR)
        return cli_fail(CLI_FAILURE, "%s is no regular file. Remove it and try again", path);
    return r ? cli_fail_errno(path, r) : CLI_OK;
}

/* By its hash, not its name: it must stay the key that the certificate belongs to. */
static int client_files_put_key(const char *path, const struct mtls_agent_key *key)
{
    _cleanup_free_ char *uri = NULL;
    _cleanup_free_ char *pem = NULL;
    char hash[KEY_VIEW_HASH_MAX];

    int r = key_uri_from_selector(key_view_hash(key->hash, hash), &uri);
    if (r == 0)
        r = key_reference_encode_pem(uri, &pem);
    if (r)
        return cli_fail_errno(path, ENOMEM);
    return client_files_put(path, pem, strlen(pem));
}

static int client_files_put_certs(const char *path, const struct mtls_agent_key *key)
{
    _cleanup_wire_writer_ struct wire_writer text = {0};

    wire_writer_init(&text, CLI_OUTPUT_MAX);
    pem_put_certificates(key, &text);
    if (text.failed)
        return cli_fail_errno(path, ENOMEM);
    return client_files_put(path, text.data, text.len);
}

static int client_files_put_conf(const char *path, const struct openssl_conf_base *base,
                                 bool tls12_only)
{
    _cleanup_wire_writer_ struct wire_writer text = {0};
    _cleanup_free_ char *provider = NULL;

    wire_writer_init(&text, CLI_OUTPUT_MAX);
    if (install_paths_provider(&provider))
        return cli_fail_errno(path, ENOMEM);
    if (!provider)
        return cli_fail(CLI_FAILURE, "the OpenSSL provider mtls-agent.so was not found. Install "
                                     "it, or set OPENSSL_MODULES to the directory that holds it");
    if (openssl_conf_put(base, provider, tls12_only, &text))
        return cli_fail(CLI_FAILURE,
                        "OpenSSL cannot read %s. Correct it, or set OPENSSL_CONF to "
                        "another file (empty: none)",
                        base->path);
    if (text.failed)
        return cli_fail_errno(path, ENOMEM);
    return client_files_put(path, text.data, text.len);
}

/* Absolute, as the program that uses it may run elsewhere. */
static int client_files_find_socket(char **ret_path)
{
    _cleanup_free_ char *path = NULL;

    int r = paths_socket(&path);
    if (r)
        return r;
    char *resolved = path[0] == '/' ? NULL : realpath(path, NULL);
    *ret_path = resolved ? resolved : TAKE_PTR(path);
    return 0;
}

static int client_files_name(const char *dir, struct client_files *files)
{
    static const char *const names[] = {
        [FILES_OPENSSL_CONF] = OPENSSL_CONF_ENV,
        [FILES_CERT] = CLIENT_FILES_CERT_ENV,
        [FILES_KEY] = CLIENT_FILES_KEY_ENV,
        [FILES_SOCKET] = PATHS_SOCKET_ENV,
    };
    static const char *const file_names[] = {"openssl.cnf", "cert.pem", "key.pem"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        files->variables[i].name = names[i];
    for (size_t i = 0; i < ARRAY_SIZE(file_names); i++) {
        if (asprintf(&files->variables[i].value, "%s/%s", dir, file_names[i]) < 0) {
            files->variables[i].value = NULL;
            return -ENOMEM;
        }
    }
    return client_files_find_socket(&files->variables[FILES_SOCKET].value);
}

static int client_files_fill(const char *dir, const struct mtls_agent_key *key,
                             const struct openssl_conf_base *base, struct client_files *files)
{
    if (client_files_name(dir, files))
        return cli_fail_errno(dir, ENOMEM);
    /* First the one that can fail for other reasons than a full disk, and by which all three are
     * known as ours. */
    int r = client_files_put_conf(files->variables[FILES_OPENSSL_CONF].value, base,
                                  key_view_is_tls12_only(key));
    if (r == CLI_OK)
        r = client_files_put_certs(files->variables[FILES_CERT].value, key);
    if (r == CLI_OK)
        r = client_files_put_key(files->variables[FILES_KEY].value, key);
    return r;
}

int client_files_write(const char *dir, const struct mtls_agent_key *key,
                       const struct openssl_conf_base *base, struct client_files *ret_files)
{
    struct client_files files = CLIENT_FILES_INIT;

    int r = client_files_fill(dir, key, base, &files);
    if (r) {
        client_files_deinit(&files);
        return r;
    }
    *ret_files = files;
    return CLI_OK;
}
