/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Full TLS 1.3 handshakes with a client certificate against a server on 127.0.0.1, one after the
 * other on each thread: bench-handshake PORT CA CERTIFICATE KEY [THREADS]. KEY is a file that
 * OpenSSL reads (a private key, or a key reference when OPENSSL_CONF activates a provider), or
 * engine:URI for the pkcs11 engine. One handshake ends when the server has closed in return, so
 * that its share is in the time.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* the engine is a peer here, not a dependency */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/engine.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "bench_loop.h"

#define ENGINE_PREFIX "engine:"

struct client {
    SSL_CTX *context;
    struct sockaddr_in server;
};

static int failed(const char *what)
{
    (void)fprintf(stderr, "%s\n", what);
    ERR_print_errors_fp(stderr);
    return 1;
}

static EVP_PKEY *load_engine_key(const char *uri)
{
    ENGINE_load_builtin_engines();
    ENGINE *engine = ENGINE_by_id("pkcs11");

    if (!engine || !ENGINE_init(engine))
        return NULL;
    return ENGINE_load_private_key(engine, uri, NULL, NULL);
}

static int use_key(SSL_CTX *context, const char *key)
{
    if (strncmp(key, ENGINE_PREFIX, sizeof(ENGINE_PREFIX) - 1) != 0)
        return SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM);
    EVP_PKEY *pkey = load_engine_key(key + sizeof(ENGINE_PREFIX) - 1);
    int r = pkey ? SSL_CTX_use_PrivateKey(context, pkey) : 0;
    EVP_PKEY_free(pkey);
    return r;
}

static SSL_CTX *make_context(const char *ca, const char *cert, const char *key)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (!context || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_load_verify_file(context, ca) != 1 ||
        SSL_CTX_use_certificate_chain_file(context, cert) != 1 || use_key(context, key) != 1)
        return NULL;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    /* nginx answers a close_notify with the end of the connection alone. */
    (void)SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
    return context;
}

static int shake_hands(SSL *ssl)
{
    char byte = 0;

    if (SSL_connect(ssl) != 1)
        return failed("handshake");
    if (SSL_shutdown(ssl) < 0)
        return failed("shutdown");
    int r = SSL_read(ssl, &byte, 1);
    if (r > 0 || SSL_get_error(ssl, r) != SSL_ERROR_ZERO_RETURN)
        return failed("the server did not close");
    return 0;
}

static int work(void *arg)
{
    const struct client *client = arg;
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    if (fd < 0 || connect(fd, (const struct sockaddr *)&client->server, sizeof(client->server))) {
        perror("connect");
        return 1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    /* No state of TIME_WAIT: thousands of connections a second would use up the ports. */
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    SSL *ssl = SSL_new(client->context);
    if (!ssl || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return failed("SSL_new");
    }
    int r = shake_hands(ssl);
    SSL_free(ssl);
    return r;
}

int main(int argc, char **argv)
{
    void *contexts[BENCH_THREADS_MAX] = {NULL};
    struct client client = {0};
    unsigned long threads = argc == 6 ? strtoul(argv[5], NULL, 10) : 1;

    if (argc < 5 || argc > 6 || threads < 1 || threads > BENCH_THREADS_MAX) {
        (void)fputs("usage: bench-handshake PORT CA CERTIFICATE KEY [THREADS]\n", stderr);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    client.server = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10)),
        .sin_addr = {htonl(INADDR_LOOPBACK)},
    };
    client.context = make_context(argv[2], argv[3], argv[4]);
    if (!client.context)
        return failed("context");
    for (unsigned int i = 0; i < threads; i++)
        contexts[i] = &client;
    return bench_loop(work, contexts, (unsigned int)threads);
}
