/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mechanisms of the module, as one table (PKCS #11 v2.40 sections 2.1, 2.3, 2.21; v3.0 section
 * 2.3.14): what a program may ask for, and which TLS SignatureScheme stands for it at the agent.
 */
#ifndef MTLS_MODULE_MECHANISM_H
#define MTLS_MODULE_MECHANISM_H

#include <p11-kit/pkcs11.h>

#include "common/cleanup.h"
#include "common/scheme.h"

enum mechanism_family {
    MECHANISM_DIGEST,
    MECHANISM_RSA,
    MECHANISM_EC,
    MECHANISM_EDWARDS,
};

struct mechanism {
    CK_MECHANISM_TYPE type;
    enum mechanism_family family;
    enum scheme_padding padding;
    enum hash_id hash; /* HASH_NONE: the program gives the digest, or there is none */
};

/* A mechanism with what its parameters say. */
struct mechanism_use {
    const struct mechanism *mechanism;
    enum hash_id hash; /* HASH_NONE: the data will tell */
    size_t salt_len;   /* bytes; PSS only */
};

/** mechanism_find() - NULL for one that the slot does not have. */
const struct mechanism *mechanism_find(CK_MECHANISM_TYPE type, bool is_edwards_slot);

/**
 * mechanism_list() - what a slot is shown to have
 * @has_pss:    PSS as well; programs that see none of it keep to TLS 1.2 with an RSA key
 *
 * Fills at most @room types. Return: how many there are.
 */
size_t mechanism_list(bool is_edwards_slot, bool has_pss, CK_MECHANISM_TYPE *types, size_t room);

void mechanism_fill_info(const struct mechanism *mechanism, CK_MECHANISM_INFO *info);

/**
 * mechanism_read() - a caller's mechanism with its parameters
 * @ret_use:    filled
 *
 * PSS is taken in the form of TLS alone (RFC 8446 section 4.2.3): one hash for everything, and a
 * salt as long as it.
 * Return: CKR_OK, CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID.
 */
CK_RV mechanism_read(const CK_MECHANISM *given, bool is_edwards_slot,
                     struct mechanism_use *ret_use) _must_check_;

/** mechanism_fits_key() - a key of this type can be used with it. */
bool mechanism_fits_key(const struct mechanism *mechanism, enum key_type type);

/** mechanism_scheme() - code point for a key of this type, or 0: no such signature in TLS. */
uint16_t mechanism_scheme(const struct mechanism *mechanism, enum hash_id hash, enum key_type type,
                          unsigned int bits);

#endif
