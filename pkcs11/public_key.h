/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A public key as the worker knows it: kind, size, the prepared OpenSSL key for verifying, the DER
 * SubjectPublicKeyInfo, and a fingerprint of the key itself, by which certificates and key objects
 * are matched: the same for an rsaEncryption and an id-RSASSA-PSS certificate of one RSA key.
 * Everything that the project cannot use in TLS (other curves, explicit parameters, small RSA) is
 * refused here.
 */
#ifndef MTLS_PKCS11_PUBLIC_KEY_H
#define MTLS_PKCS11_PUBLIC_KEY_H

#include <openssl/x509.h>

#include "common/protocol.h"

/* The positive answer of this module: not a key that TLS client authentication could use. */
#define PUBLIC_KEY_E_UNSUPPORTED 1

#define PUBLIC_KEY_FINGERPRINT_LEN 32u
#define PUBLIC_KEY_RSA_BITS_MIN 1024u
#define PUBLIC_KEY_RSA_BITS_MAX 16384u /* PROTOCOL_SIGNATURE_MAX */

struct public_key {
    enum key_type type;
    unsigned int bits;
    EVP_PKEY *pkey;        /* owned */
    struct wire_span spki; /* owned */
    uint8_t fingerprint[PUBLIC_KEY_FINGERPRINT_LEN];
};

/** public_key_deinit() - release; an empty one is fine. */
void public_key_deinit(struct public_key *key);

/** public_key_copy() - a second owner of the same key. Return: 0, or -ENOMEM. */
int public_key_copy(const struct public_key *key, struct public_key *ret_key) _must_check_;

/*
 * All of these return 0 with *ret_key filled and owned by the caller; PUBLIC_KEY_E_UNSUPPORTED; or
 * -ENOMEM.
 */

/** public_key_from_pkey() - @pkey is taken on success and on failure. */
int public_key_from_pkey(EVP_PKEY *pkey, struct public_key *ret_key) _must_check_;

/** public_key_from_x509() - the key of a certificate, with the certificate's own SPKI bytes. */
int public_key_from_x509(X509 *x509, struct public_key *ret_key) _must_check_;

/** public_key_from_rsa() - CKA_MODULUS and CKA_PUBLIC_EXPONENT, big-endian. */
int public_key_from_rsa(struct wire_span modulus, struct wire_span exponent,
                        struct public_key *ret_key) _must_check_;

/**
 * public_key_from_ec() - CKA_EC_PARAMS and CKA_EC_POINT
 * @params:     a named curve's OID, that curve's parameters spelled out (ykcs11 does so), or
 *              edwards25519 in either of its forms
 * @point:      a DER OCTET STRING, as the specification says, or bare, as some modules do
 */
int public_key_from_ec(struct wire_span params, struct wire_span point,
                       struct public_key *ret_key) _must_check_;

/**
 * public_key_curve() - type and bits that CKA_EC_PARAMS stands for
 *
 * Return: 0, or PUBLIC_KEY_E_UNSUPPORTED.
 */
int public_key_curve(struct wire_span params, enum key_type *ret_type,
                     unsigned int *ret_bits) _must_check_;

/** public_key_is_same() - the same key, whatever the SPKI's algorithm identifier says. */
bool public_key_is_same(const struct public_key *a, const struct public_key *b);

/** public_key_hash() - equal for the same key; for a struct hash_index. */
uint32_t public_key_hash(const struct public_key *key);

#endif
