/* SPDX-License-Identifier: Apache-2.0 */
/* The choice among the agent's keys; see choose.h. */
#include "client/ssl/choose.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "common/scheme.h"

_Static_assert((int)MTLS_AGENT_KEY_ED25519 == (int)KEY_TYPE_ED25519, "types are the wire's");

/* The best so far, and how many keys there were that wait for a PIN. */
struct ssl_candidate {
    const struct mtls_agent_key *key;
    STACK_OF(X509) *chain;
};

struct ssl_candidates {
    struct ssl_candidate ready;
    struct ssl_candidate locked;
    size_t locked_count;
};

static void cleanup_ssl_candidates(struct ssl_candidates *candidates)
{
    sk_X509_pop_free(candidates->ready.chain, X509_free);
    sk_X509_pop_free(candidates->locked.chain, X509_free);
}

STACK_OF(X509) *ssl_chain_new(const struct mtls_agent_key *key)
{
    _cleanup_x509_stack_ STACK_OF(X509) *chain = sk_X509_new_null();

    if (!chain)
        return NULL;
    for (size_t i = 0; i < key->cert_count; i++) {
        const unsigned char *at = key->certs[i].data;
        X509 *cert =
            key->certs[i].len > LONG_MAX ? NULL : d2i_X509(NULL, &at, (long)key->certs[i].len);
        if (!cert)
            return NULL;
        if (sk_X509_push(chain, cert) <= 0) {
            X509_free(cert);
            return NULL;
        }
    }
    return TAKE_PTR(chain);
}

static bool ssl_scheme_is_usable(const struct ssl_request *request,
                                 const struct mtls_agent_key *key, uint16_t code)
{
    const struct scheme *scheme = scheme_find(code);
    enum key_type type = (enum key_type)key->type;

    if (!scheme || !scheme_fits_key(scheme, type))
        return false;
    /* EMSA-PSS: hash, salt, and two bytes (OpenSSL passes over what the key is too small for). */
    if (scheme->padding == PADDING_PSS && key->bits < 8 * (2 * hash_len(scheme->hash) + 2))
        return false;
    return !request->is_tls13 || scheme_fits_tls13(scheme, type, key->bits);
}

/* OpenSSL takes the first one that fits a key of this kind, whether or not its token can do it. */
static bool ssl_key_has_scheme(const struct ssl_request *request, const struct mtls_agent_key *key)
{
    uint16_t first = 0;

    for (size_t i = 0; i < request->scheme_count && first == 0; i++)
        if (ssl_scheme_is_usable(request, key, request->schemes[i]))
            first = request->schemes[i];
    for (size_t i = 0; i < key->scheme_count; i++)
        if (key->schemes[i] == first)
            return first != 0;
    return false;
}

bool ssl_key_is_tls12_only(const struct mtls_agent_key *key)
{
    return key->scheme_count > 0 && !scheme_list_fits_tls13(key->schemes, key->scheme_count,
                                                            (enum key_type)key->type, key->bits);
}

static bool ssl_leaf_is_for_clients(X509 *leaf)
{
    uint32_t purposes = X509_get_extended_key_usage(leaf); /* UINT32_MAX: the extension is absent */
    uint32_t usages = X509_get_key_usage(leaf);            /* likewise */

    return (purposes & (XKU_SSL_CLIENT | XKU_ANYEKU)) != 0 && (usages & KU_DIGITAL_SIGNATURE) != 0;
}

static bool ssl_leaf_is_valid(const X509 *leaf, time_t now)
{
    /* 0 is an error of the comparison */
    return X509_cmp_time(X509_get0_notBefore(leaf), &now) < 0 &&
           X509_cmp_time(X509_get0_notAfter(leaf), &now) > 0;
}

static bool ssl_chain_has_issuer(const STACK_OF(X509) *chain, const STACK_OF(X509_NAME) *issuers)
{
    if (!issuers || sk_X509_NAME_num(issuers) <= 0)
        return true;
    for (int i = 0; i < sk_X509_num(chain); i++) {
        const X509_NAME *issuer = X509_get_issuer_name(sk_X509_value(chain, i));
        for (int j = 0; j < sk_X509_NAME_num(issuers); j++)
            if (X509_NAME_cmp(issuer, sk_X509_NAME_value(issuers, j)) == 0)
                return true;
    }
    return false;
}

/* The chain of a key that fits, or NULL. */
static STACK_OF(X509) *ssl_fit(const struct ssl_request *request, const struct mtls_agent_key *key)
{
    if (key->state == MTLS_AGENT_KEY_ABSENT || key->cert_count == 0 ||
        !ssl_key_has_scheme(request, key))
        return NULL;
    _cleanup_x509_stack_ STACK_OF(X509) *chain = ssl_chain_new(key);
    if (!chain)
        return NULL;
    X509 *leaf = sk_X509_value(chain, 0);
    if (!ssl_leaf_is_valid(leaf, request->now) || !ssl_leaf_is_for_clients(leaf) ||
        !ssl_chain_has_issuer(chain, request->issuers))
        return NULL;
    return TAKE_PTR(chain);
}

static bool ssl_expires_later(const STACK_OF(X509) *chain, const STACK_OF(X509) *than)
{
    return ASN1_TIME_compare(X509_get0_notAfter(sk_X509_value(chain, 0)),
                             X509_get0_notAfter(sk_X509_value(than, 0))) > 0;
}

/* Takes @chain. */
static void ssl_candidate_consider(struct ssl_candidate *best, const struct mtls_agent_key *key,
                                   STACK_OF(X509) *chain)
{
    if (best->key && !ssl_expires_later(chain, best->chain)) {
        sk_X509_pop_free(chain, X509_free);
        return;
    }
    sk_X509_pop_free(best->chain, X509_free);
    *best = (struct ssl_candidate){.key = key, .chain = chain};
}

const struct mtls_agent_key *ssl_choose_key(const struct ssl_request *request,
                                            const struct mtls_agent_keys *keys,
                                            STACK_OF(X509) **ret_chain)
{
    _cleanup_(cleanup_ssl_candidates) struct ssl_candidates candidates = {0};

    for (size_t i = 0; i < mtls_agent_keys_count(keys); i++) {
        const struct mtls_agent_key *key = mtls_agent_keys_get(keys, i);
        (void)ERR_set_mark();
        STACK_OF(X509) *chain = ssl_fit(request, key);
        (void)ERR_pop_to_mark(); /* a certificate that does not parse is no candidate, no error */
        if (!chain)
            continue;
        bool is_locked = key->state == MTLS_AGENT_KEY_LOCKED;
        candidates.locked_count += is_locked;
        ssl_candidate_consider(is_locked ? &candidates.locked : &candidates.ready, key, chain);
    }
    struct ssl_candidate *best = &candidates.ready;
    if (!best->key && candidates.locked_count == 1)
        best = &candidates.locked;
    if (best->key)
        *ret_chain = TAKE_PTR(best->chain);
    return best->key;
}
