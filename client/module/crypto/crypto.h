/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The border between the PKCS#11 module, which needs libc only, and its part for libcrypto:
 * hashing, and verifying with public keys. A program that only lists and signs never loads
 * libcrypto. The two files may be of different versions (an upgrade under a running program): what
 * stands here, and the values of enum hash_id and enum scheme_padding, change only together with
 * the number in MODULE_CRYPTO_SYMBOL.
 *
 * The program's own OpenSSL is left as it is: all happens in a library context of our own, which no
 * configuration reaches, and the threads' error queues stay as they were. In a program that has not
 * used OpenSSL before, libcrypto itself loads openssl.cnf at the first call here, as it would at
 * the program's own first one. What is configured there may call the PKCS#11 module: none of its
 * locks may be held while a function of this file is called, but hash_free(), which loads nothing.
 */
#ifndef MTLS_MODULE_CRYPTO_H
#define MTLS_MODULE_CRYPTO_H

#include "common/cleanup.h"
#include "common/scheme.h"
#include "common/wire.h"

#define MODULE_CRYPTO_FILE                                                \
    "../mtls-agent/mtls-agent-crypto.so" /* seen from the module's folder \
                                          */
#define MODULE_CRYPTO_SYMBOL "mtls_agent_module_crypto_0"

/* The positive answers of verify(). */
#define CRYPTO_E_BAD_SIGNATURE 1 /* of the right length, and not by this key over this data */
#define CRYPTO_E_SIGNATURE_LEN 2 /* no signature of this key can have that length */
#define CRYPTO_E_DATA_LEN 3      /* not a digest of the hash, or too long to be signed */
#define CRYPTO_E_UNSUPPORTED 4   /* the key cannot be read, or is not for these parameters */

struct crypto_hash; /* one message on its way; used by one thread at a time */

/* One verification. Everything borrowed. */
struct crypto_verify {
    struct wire_span spki; /* DER SubjectPublicKeyInfo: RSA, RSA-PSS, P-256/384/521, Ed25519 */
    enum scheme_padding padding; /* PADDING_NONE for EC and Ed25519 */
    enum hash_id hash;           /* of the mechanism. HASH_NONE: @data is signed as it is, which
                                  * Ed25519 must have and PSS cannot */
    size_t salt_len;             /* bytes; PSS only. Its MGF1 has @hash, too */
    bool is_message;             /* @data is still to be hashed; else it is the digest of @hash */
    struct wire_span data;
    struct wire_span signature; /* as PKCS#11 has it: ECDSA is r||s */
};

/* Every function may be called by any thread at any time. None of them blocks. */
struct module_crypto {
    /** hash_new() - start a message; NULL for HASH_NONE, an unknown hash, or without memory. */
    struct crypto_hash *(*hash_new)(enum hash_id hash);

    /** hash_update() - further bytes. Return: 0, or -EIO. */
    int (*hash_update)(struct crypto_hash *state, struct wire_span data);

    /**
     * hash_final() - the end of the message; after it only hash_free() may follow
     * @ret_digest: filled with hash_len() bytes
     *
     * Return: 0, or -EIO.
     */
    int (*hash_final)(struct crypto_hash *state, uint8_t ret_digest[static DIGEST_LEN_MAX]);

    /** hash_free() - at any time; NULL is fine. Return: NULL. */
    struct crypto_hash *(*hash_free)(struct crypto_hash *state);

    /** verify() - check a signature. Return: 0 when it is good, CRYPTO_E_*, -ENOMEM or -EIO. */
    int (*verify)(const struct crypto_verify *request);
};

/**
 * mtls_agent_module_crypto_0() - the one exported symbol
 *
 * Return: the functions, valid for ever, or NULL when libcrypto cannot be used.
 */
typedef const struct module_crypto *(*module_crypto_fn)(void);
__attribute__((visibility("default"))) const struct module_crypto *mtls_agent_module_crypto_0(void);

#endif
