/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two forms of an ECDSA signature on the NIST curves: the fixed-length r||s of PKCS#11, and the
 * DER Ecdsa-Sig-Value of TLS and X.509. Strict both ways: r and s lie in [1, order - 1], and there
 * is exactly one DER form of a signature. Pure, no crypto library.
 *
 * Spec: PKCS #11 v2.40 "EC Signatures"; RFC 3279 section 2.2.3; X.690 (DER).
 */
#ifndef MTLS_COMMON_DER_ECDSA_H
#define MTLS_COMMON_DER_ECDSA_H

#include "common/wire.h"

#define DER_ECDSA_RAW_MAX 132u /* P-521: two numbers of 66 bytes */
#define DER_ECDSA_MAX 141u     /* SEQUENCE with a long length, two INTEGERs of 67 bytes */

/* The positive answer of this module: the bytes are not a signature on this curve. */
#define DER_ECDSA_E_INVALID 1

/**
 * der_ecdsa_from_raw() - DER from r||s
 * @bits:       256, 384 or 521: the curve
 * @raw:        borrowed; must be exactly twice the length of the order
 * @ret_der:    filled
 * @ret_len:    filled with the bytes used in @ret_der
 *
 * Return: 0, or DER_ECDSA_E_INVALID.
 */
int der_ecdsa_from_raw(unsigned int bits, struct wire_span raw, uint8_t ret_der[DER_ECDSA_MAX],
                       size_t *ret_len) _must_check_;

/**
 * der_ecdsa_to_raw() - r||s from DER
 * @bits:       256, 384 or 521: the curve
 * @der:        borrowed; nothing may follow the signature
 * @ret_raw:    filled
 * @ret_len:    filled with the bytes used in @ret_raw: twice the length of the order
 *
 * Return: 0, or DER_ECDSA_E_INVALID.
 */
int der_ecdsa_to_raw(unsigned int bits, struct wire_span der, uint8_t ret_raw[DER_ECDSA_RAW_MAX],
                     size_t *ret_len) _must_check_;

#endif
