/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) that PKCS#11 shows as attributes
 * of a key. The agent has told the type; nothing is computed.
 */
#ifndef MTLS_MODULE_SPKI_H
#define MTLS_MODULE_SPKI_H

#include "common/scheme.h"
#include "common/wire.h"

#define SPKI_POINT_MAX 133u /* bytes: an uncompressed point of P-521 */

/* Borrowed from the DER; what does not belong to the type is empty. */
struct spki {
    struct wire_span modulus;    /* RSA, big-endian, without leading zeros */
    struct wire_span exponent;   /* RSA, likewise */
    struct wire_span parameters; /* EC, Ed25519: the object identifier as DER */
    struct wire_span point;      /* EC: encoded point; Ed25519: the key itself */
};

/**
 * spki_parse() - find the parts
 * @type:       of the key
 *
 * Return: 0, or WIRE_E_MALFORMED when it is not a key of that type.
 */
int spki_parse(struct wire_span der, enum key_type type, struct spki *ret_spki) _must_check_;

#endif
