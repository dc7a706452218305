/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A C program with mutual TLS in one call, as a user of <mtls-agent.h> would write it: gets "/"
 * from a server with OpenSSL and prints the body. Includes only what an installed program could.
 *
 *   ssl-client HOST PORT CA-FILE KEY|-  [1.2|1.3]     "-": the key is chosen by what the server
 * asks
 *
 * Exit: 0, 1 for TLS and network, 2 for usage, 3 when the agent's answer was an error (on stderr).
 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <mtls-agent.h>

static bool set_version(SSL_CTX *ctx, const char *version)
{
    int number = strcmp(version, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;

    return SSL_CTX_set_min_proto_version(ctx, number) && SSL_CTX_set_max_proto_version(ctx, number);
}

static bool get(SSL_CTX *ctx, const char *host, const char *port)
{
    char target[300];
    char reply[4096];
    SSL *ssl = NULL;
    int len = 0;
    BIO *bio = BIO_new_ssl_connect(ctx);

    (void)snprintf(target, sizeof(target), "%s:%s", host, port);
    bool done = bio && BIO_get_ssl(bio, &ssl) > 0 && SSL_set1_host(ssl, host) &&
                SSL_set_tlsext_host_name(ssl, (char *)(uintptr_t)host) &&
                BIO_set_conn_hostname(bio, target) && BIO_do_connect(bio) > 0 &&
                BIO_printf(bio, "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", host) > 0;
    while (done && (len = BIO_read(bio, reply, sizeof(reply))) > 0)
        (void)fwrite(reply, 1, (size_t)len, stdout);
    BIO_free_all(bio);
    return done;
}

int main(int argc, char **argv)
{
    struct mtls_agent_error error = {0};

    if (argc < 5)
        return 2;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx || !SSL_CTX_load_verify_file(ctx, argv[3]) || (argc > 5 && !set_version(ctx, argv[5])))
        return 1;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (mtls_agent_use_ssl_ctx(ctx, strcmp(argv[4], "-") == 0 ? NULL : argv[4], NULL, &error)) {
        (void)fprintf(stderr, "%s: %s\n", mtls_agent_code_name(error.code), error.text);
        SSL_CTX_free(ctx);
        return 3;
    }
    bool done = get(ctx, argv[1], argv[2]);
    if (!done)
        ERR_print_errors_fp(stderr);
    SSL_CTX_free(ctx);
    return done ? 0 : 1;
}
