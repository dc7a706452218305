/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a TLS signature scheme to what C_SignInit and C_Sign are given. Only plain mechanisms over a
 * digest (and Ed25519 over the message) are used: every module has those where it has the key type
 * at all, while hash-and-sign mechanisms are often missing. RSA-PSS is missing more often than any:
 * then its padding is made here, and the token does raw RSA.
 *
 * Spec: PKCS #11 v2.40 "Mechanisms"; RFC 8017 section 9.2 (DigestInfo); PKCS #11 v3.0 (EdDSA).
 */
#ifndef MTLS_PKCS11_MECHANISM_H
#define MTLS_PKCS11_MECHANISM_H

#include <p11-kit/pkcs11.h>

#include "common/protocol.h"

/* The positive answers of this module. */
#define MECHANISM_E_DATA 1        /* the data is not a digest of the scheme's hash */
#define MECHANISM_E_UNSUPPORTED 2 /* no mechanism on offer makes the scheme's signatures */

#define MECHANISM_DIGEST_INFO_MAX (19u + DIGEST_LEN_MAX)

/* What a token can do, one bit each. */
enum mechanism_flags {
    MECHANISM_ECDSA = 1u << 0,
    MECHANISM_RSA_PKCS = 1u << 1,
    MECHANISM_EDDSA = 1u << 2,
    MECHANISM_RSA_X_509 = 1u << 3,
    /* CKM_RSA_PKCS_PSS, by hash: a token may take some and refuse the parameters of others */
    MECHANISM_PSS_SHA256 = 1u << 4,
    MECHANISM_PSS_SHA384 = 1u << 5,
    MECHANISM_PSS_SHA512 = 1u << 6,
    MECHANISM_PSS = MECHANISM_PSS_SHA256 | MECHANISM_PSS_SHA384 | MECHANISM_PSS_SHA512,
};

/* Points into itself: filled where it is used, never copied. */
struct mechanism {
    uint32_t flag; /* which it is */
    CK_MECHANISM ck;
    CK_RSA_PKCS_PSS_PARAMS pss;
    uint8_t digest_info[MECHANISM_DIGEST_INFO_MAX];
    uint8_t block[PROTOCOL_SIGNATURE_MAX]; /* raw RSA: padded here */
    struct wire_span input;                /* for C_Sign */
};

/** mechanism_choose() - the bit of the mechanism that makes the scheme's signatures; 0: none. */
uint32_t mechanism_choose(const struct scheme *scheme, uint32_t offered);

/**
 * mechanism_refused_by() - what an answer of the module rules out for this key from now on
 * @flag:       of the mechanism that was tried
 *
 * Return: enum mechanism_flags; 0: the answer is not about the mechanism.
 */
uint32_t mechanism_refused_by(CK_RV rv, uint32_t flag);

/**
 * mechanism_list_schemes() - what a key can do on a token, preferred first
 * @offered:    enum mechanism_flags, of the token and not refused for this key
 * @ret_codes:  filled
 *
 * Return: how many were filled.
 */
size_t mechanism_list_schemes(enum key_type type, unsigned int bits, uint32_t offered,
                              uint32_t ret_codes[SCHEMES_MAX]);

/** mechanism_flags_of_type() - the bits of one in C_GetMechanismList; 0: none of ours. */
uint32_t mechanism_flags_of_type(CK_MECHANISM_TYPE type);

/**
 * mechanism_prepare() - everything that one signature needs
 * @offered:    enum mechanism_flags; CKM_RSA_PKCS_PSS goes before CKM_RSA_X_509
 * @bits:       of the key; a digest longer than an EC key's order is cut here, from the right, as
 *              ECDSA does it (FIPS 186-4 section 6.4): ykcs11 fails on it
 * @data:       borrowed as long as @ret_mechanism is used: digest, or Ed25519's message
 * @ret_mechanism: filled
 *
 * Return: 0, MECHANISM_E_DATA, MECHANISM_E_UNSUPPORTED, or -errno when there is no memory or no
 * randomness.
 */
int mechanism_prepare(const struct scheme *scheme, unsigned int bits, uint32_t offered,
                      struct wire_span data, struct mechanism *ret_mechanism) _must_check_;

#endif
