/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a signature valid? Asked before it leaves the worker: a faulty RSA-CRT signature gives the
 * private key away, and a module that mixes up its keys must not be believed.
 */
#ifndef MTLS_PKCS11_VERIFY_H
#define MTLS_PKCS11_VERIFY_H

#include "pkcs11/public_key.h"

/* The positive answer of this module: not a valid signature. */
#define VERIFY_E_BAD 1

/*
 * What one thread verifies with: OpenSSL's preparation for the last key and scheme, which takes a
 * third of an RSA verification. All zero: none yet. It holds on to the key.
 */
struct verifier {
    EVP_PKEY_CTX *ctx;
    const struct scheme *scheme; /* that @ctx is prepared for */
};

void verifier_deinit(struct verifier *verifier);

/** verify_get_md() - OpenSSL's name of a hash; NULL for HASH_NONE. */
const EVP_MD *verify_get_md(enum hash_id hash);

/**
 * verify_signature() - check a signature as it would be returned
 * @data:       the digest of the scheme's hash; Ed25519: the message
 * @signature:  DER for ECDSA
 *
 * Any number of threads may use one @key, each with a @verifier of its own. Return: 0,
 * VERIFY_E_BAD, or -ENOMEM.
 */
int verify_signature(struct verifier *verifier, const struct public_key *key,
                     const struct scheme *scheme, struct wire_span data,
                     struct wire_span signature) _must_check_;

#endif
