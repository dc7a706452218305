/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EMSA-PSS, made here for tokens that sign a number of the modulus' size (CKM_RSA_X_509) and cannot
 * pad it: MGF1 with the same hash, as TLS has it.
 *
 * Spec: RFC 8017 sections 9.1.1 and B.2.1.
 */
#ifndef MTLS_PKCS11_PSS_H
#define MTLS_PKCS11_PSS_H

#include "common/scheme.h"
#include "common/wire.h"

/* The positive answer of this module: the key is too small for this hash. */
#define PSS_E_SIZE 1

/**
 * pss_encode() - the number to be signed
 * @hash:       of the digest and of MGF1; not HASH_NONE
 * @digest:     hash_len(@hash) bytes
 * @salt:       any length; TLS has it as long as the digest
 * @bits:       of the modulus
 * @ret_block:  filled, big-endian; (@bits + 7) / 8 bytes
 *
 * Return: 0, PSS_E_SIZE, or -ENOMEM.
 */
int pss_encode(enum hash_id hash, struct wire_span digest, struct wire_span salt, unsigned int bits,
               uint8_t *ret_block) _must_check_;

/**
 * pss_encode_fresh() - the same with a random salt as long as the digest
 *
 * Return: as above; -EIO: there is no randomness.
 */
int pss_encode_fresh(enum hash_id hash, struct wire_span digest, unsigned int bits,
                     uint8_t *ret_block) _must_check_;

#endif
