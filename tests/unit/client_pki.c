/* SPDX-License-Identifier: Apache-2.0 */
/* Test certificates; see client_pki.h. */
#include "client_pki.h"
#include "rsa_key.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

static void pki_need(int ok, const char *what)
{
    if (ok > 0)
        return;
    fprintf(stderr, "pki: %s\n", what);
    ERR_print_errors_fp(stderr);
    abort();
}

static EVP_PKEY *pki_new_key(const char *type)
{
    if (strcmp(type, "RSA") == 0)
        return rsa_key_load(2048);
    if (strcmp(type, "EC") == 0)
        return EVP_EC_gen("P-256");
    return EVP_PKEY_Q_keygen(NULL, NULL, type);
}

/* @text is one of the extensions that a test needs, or NULL. */
static void pki_extend(X509 *cert, const char *text)
{
    static const struct {
        const char *value;
        int nid;
    } known[] = {
        {"CA:TRUE", NID_basic_constraints},
        {"serverAuth", NID_ext_key_usage},
        {"clientAuth", NID_ext_key_usage},
    };

    for (size_t i = 0; text && i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(text, known[i].value) != 0)
            continue;
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, known[i].nid, text);
        pki_need(extension && X509_add_ext(cert, extension, -1), "extension");
        X509_EXTENSION_free(extension);
    }
}

struct pki_identity pki_new(const char *type, const char *name, const struct pki_identity *issuer,
                            const char *extension)
{
    struct pki_identity self = {.key = pki_new_key(type), .cert = X509_new()};

    pki_need(self.key && self.cert, "key");
    X509_NAME *subject = X509_get_subject_name(self.cert);
    pki_need(X509_set_version(self.cert, 2), "version");
    pki_need(ASN1_INTEGER_set(X509_get_serialNumber(self.cert), 1), "serial");
    pki_need(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name,
                                        -1, -1, 0),
             "name");
    const X509 *by = issuer ? issuer->cert : self.cert;
    EVP_PKEY *by_key = issuer ? issuer->key : self.key;
    pki_need(X509_set_issuer_name(self.cert, X509_get_subject_name(by)), "issuer");
    pki_need(X509_gmtime_adj(X509_getm_notBefore(self.cert), -60) != NULL, "time");
    pki_need(X509_gmtime_adj(X509_getm_notAfter(self.cert), 86400) != NULL, "time");
    pki_need(X509_set_pubkey(self.cert, self.key), "public key");
    pki_extend(self.cert, extension);
    const EVP_MD *digest = EVP_PKEY_is_a(by_key, "ED25519") ? NULL : EVP_sha256();
    pki_need(X509_sign(self.cert, by_key, digest), "sign");
    return self;
}

void pki_free(struct pki_identity *identity)
{
    EVP_PKEY_free(identity->key);
    X509_free(identity->cert);
    *identity = (struct pki_identity){0};
}

void pki_write_key(const char *path, EVP_PKEY *key)
{
    FILE *file = fopen(path, "we");

    pki_need(file && PEM_write_PKCS8PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), path);
    pki_need(fclose(file) == 0, path);
}

void pki_write_certs(const char *path, X509 *const certs[])
{
    FILE *file = fopen(path, "we");

    for (size_t i = 0; certs[i]; i++)
        pki_need(file && PEM_write_X509(file, certs[i]), path);
    pki_need(file && fclose(file) == 0, path);
}
