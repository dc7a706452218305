/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of an X.509 certificate (RFC 5280 section 4.1) that PKCS#11 shows as attributes, found
 * in its DER without a crypto library. It judges nothing.
 */
#ifndef MTLS_MODULE_CERTIFICATE_H
#define MTLS_MODULE_CERTIFICATE_H

#include "common/wire.h"

/* Borrowed from the DER; each with its own tag and length, as PKCS#11 wants them. */
struct certificate {
    struct wire_span der;
    struct wire_span serial;
    struct wire_span issuer;
    struct wire_span subject;
    struct wire_span common_name; /* the text alone, of the last one in the subject; may be empty */
};

/**
 * certificate_parse() - find the fields
 * @der:        borrowed by the result
 *
 * Total: what is not of the form of a certificate has `der` alone, the rest empty.
 */
struct certificate certificate_parse(struct wire_span der);

#endif
