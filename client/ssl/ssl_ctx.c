/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module for OpenSSL: the agent's keys in a program's SSL_CTX, with a key named by the caller
 * or chosen when a server asks. The keys live in an OSSL_LIB_CTX of our own, so the program's
 * provider configuration is neither needed nor changed.
 */
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <pthread.h>

#include "client/lib/error.h"
#include "client/provider/provider.h"
#include "client/ssl/choose.h"
#include "client/ssl/module.h"
#include "common/escape.h"

/* Made at first use and kept: keys that the program still holds refer to them. */
static struct {
    pthread_once_t once;
    bool is_ready;
    OSSL_LIB_CTX *libctx;
    struct mtls_agent *agent;
} ssl_shared = {.once = PTHREAD_ONCE_INIT};

static void ssl_shared_init(void)
{
    ssl_shared.agent = mtls_agent_new(NULL);
    ssl_shared.libctx = OSSL_LIB_CTX_new();
    ssl_shared.is_ready = ssl_shared.agent && ssl_shared.libctx &&
                          OSSL_PROVIDER_load(ssl_shared.libctx, "default") &&
                          OSSL_PROVIDER_add_builtin(ssl_shared.libctx, PROVIDER_LIBRARY_NAME,
                                                    mtls_agent_provider_init) &&
                          OSSL_PROVIDER_load(ssl_shared.libctx, PROVIDER_LIBRARY_NAME);
}

static bool ssl_shared_is_ready(void)
{
    return pthread_once(&ssl_shared.once, ssl_shared_init) == 0 && ssl_shared.is_ready;
}

static void cleanup_pkey(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

static void cleanup_keys(struct mtls_agent_keys **keys)
{
    (void)mtls_agent_keys_free(*keys);
}

/* The newest entry of OpenSSL's queue, which stays there for the program. */
static int ssl_explain(struct mtls_agent_error *error, const struct mtls_agent_key *key)
{
    char name[256];
    char reason[256];

    ERR_error_string_n(ERR_peek_last_error(), reason, sizeof(reason));
    return client_error_set(error, MTLS_AGENT_E_TLS, "OpenSSL does not take the key \"%s\": %s",
                            escape_cstring(key->name, name, sizeof(name)), reason);
}

/*
 * A key whose token can do PKCS#1 v1.5 alone is for TLS 1.2, and there, too, OpenSSL would prefer
 * PSS: the context is limited to what the key can do.
 */
static int ssl_ctx_limit(SSL_CTX *ctx, const struct mtls_agent_key *key,
                         struct mtls_agent_error *error)
{
    /* OpenSSL's macro takes const away from what it is given. */
    char algorithms[] = "RSA+SHA256:RSA+SHA384:RSA+SHA512";
    char name[256];

    if (!ssl_key_is_tls12_only(key))
        return 0;
    if (SSL_CTX_get_min_proto_version(ctx) > TLS1_2_VERSION)
        return client_error_set(error, MTLS_AGENT_E_TLS,
                                "the key \"%s\" is for TLS 1.2 only, its token can do neither "
                                "RSA-PSS nor raw RSA; allow TLS 1.2, or use another key",
                                escape_cstring(key->name, name, sizeof(name)));
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TLSv1_3);
    if (SSL_CTX_set1_client_sigalgs_list(ctx, algorithms) != 1)
        return ssl_explain(error, key);
    return 0;
}

static int ssl_ctx_use_key(SSL_CTX *ctx, struct mtls_agent *agent, const struct mtls_agent_key *key,
                           struct mtls_agent_error *error)
{
    char name[256];

    if (key->cert_count == 0)
        return client_error_set(
            error, MTLS_AGENT_E_NO_KEY,
            "the key \"%s\" has no certificate; store one on the token, or name "
            "a file with `certificate =` in the agent's configuration",
            escape_cstring(key->name, name, sizeof(name)));
    _cleanup_x509_stack_ STACK_OF(X509) *chain = ssl_chain_new(key);
    if (!chain)
        return ssl_explain(error, key);
    _cleanup_(cleanup_pkey) EVP_PKEY *pkey = provider_pkey_new(ssl_shared.libctx, agent, key);
    if (!pkey)
        return ssl_explain(error, key);
    int code = ssl_ctx_limit(ctx, key, error);
    if (code)
        return code;
    X509 *leaf = sk_X509_shift(chain);
    int ok = SSL_CTX_use_cert_and_key(ctx, leaf, pkey, chain, 1);
    X509_free(leaf);
    return ok == 1 ? 0 : ssl_explain(error, key);
}

/* What the server asked for, as far as this side can speak it. */
static void ssl_request_init(struct ssl_request *request, SSL *ssl)
{
    int count = SSL_get_shared_sigalgs(ssl, 0, NULL, NULL, NULL, NULL, NULL);

    *request = (struct ssl_request){
        .is_tls13 = SSL_version(ssl) == TLS1_3_VERSION,
        .issuers = SSL_get_client_CA_list(ssl),
        .now = time(NULL),
    };
    for (int i = 0; i < count && request->scheme_count < SSL_CHOOSE_SCHEMES_MAX; i++) {
        unsigned char low = 0;
        unsigned char high = 0;
        (void)SSL_get_shared_sigalgs(ssl, i, NULL, NULL, NULL, &low, &high);
        request->schemes[request->scheme_count++] = (uint16_t)(high << 8 | low);
    }
}

static int ssl_use_key(SSL *ssl, struct mtls_agent *agent, const struct mtls_agent_key *key,
                       STACK_OF(X509) *chain)
{
    _cleanup_(cleanup_pkey) EVP_PKEY *pkey = provider_pkey_new(ssl_shared.libctx, agent, key);

    if (!pkey)
        return 0;
    X509 *leaf = sk_X509_shift(chain);
    int ok = SSL_use_cert_and_key(ssl, leaf, pkey, chain, 1);
    X509_free(leaf);
    return ok;
}

/*
 * SSL_CTX_set_cert_cb(3): called when the server has asked for a certificate. 1 with no certificate
 * set sends an empty one; 0 ends the handshake, with the agent's sentence in OpenSSL's error queue.
 */
static int ssl_handle_request(SSL *ssl, void *context)
{
    struct mtls_agent *agent = context;
    _cleanup_(cleanup_keys) struct mtls_agent_keys *keys = NULL;
    _cleanup_x509_stack_ STACK_OF(X509) *chain = NULL;
    struct mtls_agent_error error = {0};
    struct ssl_request request;

    if (mtls_agent_list(agent, NULL, &keys, &error)) {
        ERR_raise_data(ERR_LIB_USER, ERR_R_OPERATION_FAIL, "mtls-agent: %s", error.text);
        return 0;
    }
    SSL_certs_clear(ssl); /* the choice of an earlier request on this connection */
    ssl_request_init(&request, ssl);
    const struct mtls_agent_key *key = ssl_choose_key(&request, keys, &chain);
    return key ? ssl_use_key(ssl, agent, key, chain) : 1;
}

int mtls_agent_ssl_module_0(struct ssl_ctx_st *ssl_ctx, const char *selector,
                            struct mtls_agent *agent, struct mtls_agent_error *error)
{
    _cleanup_(cleanup_keys) struct mtls_agent_keys *keys = NULL;

    if (!ssl_shared_is_ready())
        return client_error_set(
            error, MTLS_AGENT_E_TLS,
            "OpenSSL's \"default\" provider cannot be loaded beside the agent's");
    if (!agent)
        agent = ssl_shared.agent;
    if (!selector) {
        SSL_CTX_set_cert_cb(ssl_ctx, ssl_handle_request, agent);
        return 0;
    }
    int code = mtls_agent_find(agent, selector, &keys, error);
    if (code)
        return code;
    return ssl_ctx_use_key(ssl_ctx, agent, mtls_agent_keys_get(keys, 0), error);
}
