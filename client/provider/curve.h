/* SPDX-License-Identifier: Apache-2.0 */
/* The elliptic curves that TLS 1.3 signs with, by object identifier (RFC 5480 section 2.1.1.1) and
 * by name. */
#ifndef MTLS_PROVIDER_CURVE_H
#define MTLS_PROVIDER_CURVE_H

#include "common/wire.h"

struct curve {
    const char *name;  /* as OpenSSL gives it out */
    const char *alias; /* as NIST does */
    unsigned int bits;
    size_t field_len; /* bytes of a coordinate */
    struct wire_span oid;
};

/** curve_from_oid() - NULL for a curve that is not in the table. */
const struct curve *curve_from_oid(struct wire_span oid);

/** curve_from_name() - by either name, in any case; NULL for one that is not in the table. */
const struct curve *curve_from_name(const char *name);

#endif
