/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and certificates for tests of TLS, made on the spot. Every function ends the test run when
 * OpenSSL fails: nothing here is under test. */
#ifndef MTLS_TESTS_CLIENT_PKI_H
#define MTLS_TESTS_CLIENT_PKI_H

#include <openssl/x509.h>

struct pki_identity {
    EVP_PKEY *key;
    X509 *cert;
};

/** pki_new() - a key of the type "EC", "RSA" or "ED25519", certified by @issuer; NULL: by itself.
 *  @extension: "CA:TRUE", "serverAuth", "clientAuth" or NULL. */
struct pki_identity pki_new(const char *type, const char *name, const struct pki_identity *issuer,
                            const char *extension);
void pki_free(struct pki_identity *identity);

/** pki_write_key(), pki_write_certs() - PEM files; the list of certificates ends with NULL. */
void pki_write_key(const char *path, EVP_PKEY *key);
void pki_write_certs(const char *path, X509 *const certs[]);

#endif
