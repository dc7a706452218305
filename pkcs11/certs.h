/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates: those on a token and those that the configuration ties to a key by
 * a PKCS#11 URI (RFC 7512). Only ones that parse, whose key the project can use or which are CA
 * certificates for a chain.
 */
#ifndef MTLS_PKCS11_CERTS_H
#define MTLS_PKCS11_CERTS_H

#include <p11-kit/uri.h>

#include "pkcs11/attribute.h"
#include "pkcs11/public_key.h"

struct cert {
    X509 *x509;           /* owned */
    struct wire_span der; /* owned */
    bool is_ca;           /* basicConstraints says CA:TRUE */
    bool has_key;         /* false: its key is of no use to us, but it may be an issuer */
    struct public_key key;
    struct object_name name; /* on the token; of a file: what the URI says */
    P11KitUri *uri;          /* owned; NULL for one from the token */
    size_t next_ca;          /* place of the next CA certificate in the list, and 1; 0: none */
};

struct cert_list {
    struct cert *items;
    size_t count;
    size_t cap;
    size_t first_ca; /* as next_ca: a token has many leaves and few of these */
    size_t last_ca;
};

void cert_list_deinit(struct cert_list *list);

/**
 * cert_list_read() - the certificates of a token
 * @ret_list:   filled; owned by the caller
 *
 * Return: the module's CK_RV; CKR_HOST_MEMORY.
 */
CK_RV cert_list_read(const struct token *token, struct cert_list *ret_list) _must_check_;

/**
 * cert_list_add_file() - one from the configuration
 * @uri:        borrowed; which private key it belongs to
 * @der:        borrowed
 *
 * Return: 0; -EINVAL when @uri or @der does not parse or the key is of no use; -ENOMEM.
 */
int cert_list_add_file(struct cert_list *list, const char *uri, struct wire_span der) _must_check_;

/** cert_names_token() - the URI of a file's certificate fits the token. */
bool cert_names_token(const struct cert *cert, const struct token *token);

/** cert_names_key() - the URI fits the token and an object of this name on it. */
bool cert_names_key(const struct cert *cert, const struct token *token,
                    const struct object_name *name);

/** cert_uri_text() - the URI of a file's certificate; owned by the caller, or NULL. */
char *cert_uri_text(const struct cert *cert) _must_check_;

/**
 * cert_list_chain() - a certificate and its issuers, as far as they are in the list
 * @leaf:       first of the chain; need not be in the list
 * @ret_chain:  filled with certificates borrowed from @leaf and @list. A self-signed root is left
 *              out: the other side has it or does not trust it (RFC 8446 section 4.4.2).
 *
 * Return: how many were filled.
 */
size_t cert_list_chain(const struct cert_list *list, const struct cert *leaf,
                       const struct cert *ret_chain[PROTOCOL_CERTS_MAX]);

static inline void cleanup_cert_list(struct cert_list *list)
{
    cert_list_deinit(list);
}

#endif
