/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signature schemes that the project knows, as one table: TLS SignatureScheme code points
 * (RFC 8446 section 4.2.3) with the key, the hash and the TLS versions each belongs to. What is not
 * in the table does not exist for any part of the project (no SHA-1, no MD5).
 */
#ifndef MTLS_COMMON_SCHEME_H
#define MTLS_COMMON_SCHEME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values are on the wire (docs/protocol.md). */
enum key_type {
    KEY_TYPE_RSA = 1,     /* SPKI algorithm rsaEncryption */
    KEY_TYPE_RSA_PSS = 2, /* SPKI algorithm id-RSASSA-PSS */
    KEY_TYPE_EC = 3,      /* bits tells the curve: 256, 384, 521 (NIST) */
    KEY_TYPE_ED25519 = 4,
};

enum hash_id {
    HASH_NONE = 0, /* the scheme takes the message itself */
    HASH_SHA256,
    HASH_SHA384,
    HASH_SHA512,
};

enum scheme_padding {
    PADDING_NONE = 0,
    PADDING_PKCS1,
    PADDING_PSS, /* MGF1 with the same hash, salt as long as the hash */
};

#define SCHEME_RSA_PKCS1_SHA256 0x0401u
#define SCHEME_RSA_PKCS1_SHA384 0x0501u
#define SCHEME_RSA_PKCS1_SHA512 0x0601u
#define SCHEME_ECDSA_SHA256 0x0403u
#define SCHEME_ECDSA_SHA384 0x0503u
#define SCHEME_ECDSA_SHA512 0x0603u
#define SCHEME_RSA_PSS_RSAE_SHA256 0x0804u
#define SCHEME_RSA_PSS_RSAE_SHA384 0x0805u
#define SCHEME_RSA_PSS_RSAE_SHA512 0x0806u
#define SCHEME_ED25519 0x0807u
#define SCHEME_RSA_PSS_PSS_SHA256 0x0809u
#define SCHEME_RSA_PSS_PSS_SHA384 0x080au
#define SCHEME_RSA_PSS_PSS_SHA512 0x080bu

#define DIGEST_LEN_MAX 64u
#define SCHEMES_MAX 16u /* most schemes of one key */

struct scheme {
    uint16_t code;
    const char *name; /* RFC 8446 name */
    enum key_type key_type;
    enum hash_id hash;
    enum scheme_padding padding;
    unsigned int tls13_bits; /* EC: the curve that TLS 1.3 ties to this scheme; else 0 */
    bool in_tls13;
};

/** scheme_find() - the table's row for @code, or NULL when the project does not know it. */
const struct scheme *scheme_find(uint32_t code);

/** scheme_fits_key() - the key can make this signature (TLS 1.2 does not tie curve and hash). */
bool scheme_fits_key(const struct scheme *scheme, enum key_type type);

/** scheme_fits_tls13() - RFC 8446 allows the scheme with this key: no PKCS#1 v1.5, curve tied. */
bool scheme_fits_tls13(const struct scheme *scheme, enum key_type type, unsigned int bits);

/**
 * scheme_list_for_key() - every scheme that the key can make, preferred first
 * @ret_codes:  filled
 *
 * Return: how many were filled.
 */
size_t scheme_list_for_key(enum key_type type, unsigned int bits, uint32_t ret_codes[SCHEMES_MAX]);

/** scheme_list_has() - @code is among the first @count of @codes. */
bool scheme_list_has(const uint32_t *codes, size_t count, uint32_t code);

/** scheme_list_fits_tls13() - a key of this type with these schemes can do TLS 1.3. */
bool scheme_list_fits_tls13(const uint16_t *codes, size_t count, enum key_type type,
                            unsigned int bits);

/** hash_len() - bytes of a digest; 0 for HASH_NONE. */
size_t hash_len(enum hash_id hash);

/** key_type_name() - "RSA", "RSA-PSS", "EC", "Ed25519"; NULL for a value outside the enum. */
const char *key_type_name(uint32_t type);

#endif
