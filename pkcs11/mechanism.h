/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a TLS signature scheme to what C_SignInit and C_Sign are given. Only plain mechanisms over a
 * digest (and Ed25519 over the message) are used: every module has those where it has the key type
 * at all, while hash-and-sign mechanisms are often missing. Pure.
 *
 * Spec: PKCS #11 v2.40 "Mechanisms"; RFC 8017 section 9.2 (DigestInfo); PKCS #11 v3.0 (EdDSA).
 */
#ifndef MTLS_PKCS11_MECHANISM_H
#define MTLS_PKCS11_MECHANISM_H

#include <p11-kit/pkcs11.h>

#include "common/scheme.h"
#include "common/wire.h"

/* The positive answer of this module: the data is not a digest of the scheme's hash. */
#define MECHANISM_E_DATA 1

#define MECHANISM_DIGEST_INFO_MAX (19u + DIGEST_LEN_MAX)

/* What a token can do, one bit each. */
enum mechanism_flags {
    MECHANISM_ECDSA = 1u << 0,
    MECHANISM_RSA_PKCS = 1u << 1,
    MECHANISM_RSA_PKCS_PSS = 1u << 2,
    MECHANISM_EDDSA = 1u << 3,
    MECHANISM_RSA_X_509 = 1u << 4,
};

/* Points into itself: filled where it is used, never copied. */
struct mechanism {
    CK_MECHANISM ck;
    CK_RSA_PKCS_PSS_PARAMS pss;
    uint8_t digest_info[MECHANISM_DIGEST_INFO_MAX];
    struct wire_span input; /* for C_Sign */
};

/**
 * mechanism_is_offered() - a token with these mechanisms can be asked for the scheme
 * @offered:    enum mechanism_flags
 *
 * A token with raw RSA is asked for PSS, too, though it does not list it: tpm2-pkcs11 makes such
 * signatures. One that does not says so.
 */
bool mechanism_is_offered(const struct scheme *scheme, uint32_t offered);

/** mechanism_flag_of_type() - the bit of a mechanism in C_GetMechanismList; 0: none of ours. */
uint32_t mechanism_flag_of_type(CK_MECHANISM_TYPE type);

/**
 * mechanism_prepare() - everything that one signature needs
 * @bits:       of the key; a digest longer than an EC key's order is cut here, from the right, as
 *              ECDSA does it (FIPS 186-4 section 6.4): ykcs11 fails on it
 * @data:       borrowed as long as @ret_mechanism is used: digest, or Ed25519's message
 * @ret_mechanism: filled
 *
 * Return: 0, or MECHANISM_E_DATA.
 */
int mechanism_prepare(const struct scheme *scheme, unsigned int bits, struct wire_span data,
                      struct mechanism *ret_mechanism) _must_check_;

#endif
