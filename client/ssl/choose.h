/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which key answers a server's CertificateRequest (RFC 8446 section 4.3.2, RFC 5246 section 7.4.4).
 * Pure: it is given the request and the list of keys, and asks nobody.
 */
#ifndef MTLS_SSL_CHOOSE_H
#define MTLS_SSL_CHOOSE_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <time.h>

#include "client/lib/mtls-agent.h"
#include "common/cleanup.h"

#define SSL_CHOOSE_SCHEMES_MAX 64u

struct ssl_request {
    bool is_tls13;
    const STACK_OF(X509_NAME) *issuers; /* borrowed; NULL or empty: any */
    size_t scheme_count;
    uint16_t schemes[SSL_CHOOSE_SCHEMES_MAX]; /* that both sides speak; never empty in TLS >= 1.2 */
    time_t now;                               /* CLOCK_REALTIME */
};

/**
 * ssl_chain_new() - the certificates of a key as OpenSSL has them
 * @key:        with at least one certificate
 *
 * Return: leaf first, owned by the caller (sk_X509_pop_free()), or NULL with entries in OpenSSL's
 * error queue when one is not DER.
 */
STACK_OF(X509) *ssl_chain_new(const struct mtls_agent_key *key) _must_check_;

/** ssl_key_is_tls12_only() - its token can make no signature that TLS 1.3 takes. */
bool ssl_key_is_tls12_only(const struct mtls_agent_key *key);

/**
 * ssl_choose_key() - the best key for a request
 * @ret_chain:  filled with the key's certificates, owned by the caller
 *
 * A key fits when its token is there, it can make that of the schemes which OpenSSL will take for
 * it in this version of TLS (the first of its kind), one of its certificates was issued by an
 * accepted CA, and the leaf is valid now and for clients. Of
 * those that fit the latest to expire wins. A key that waits for its PIN is taken only when no
 * other one is ready and no second one waits: a person who must type a PIN must know for which key.
 *
 * Return: the key, borrowed from @keys, or NULL when none fits.
 */
const struct mtls_agent_key *ssl_choose_key(const struct ssl_request *request,
                                            const struct mtls_agent_keys *keys,
                                            STACK_OF(X509) **ret_chain) _must_check_;

static inline void cleanup_x509_stack(STACK_OF(X509) **stack)
{
    sk_X509_pop_free(*stack, X509_free);
}
#define _cleanup_x509_stack_ _cleanup_(cleanup_x509_stack)

#endif
