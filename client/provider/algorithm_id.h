/* SPDX-License-Identifier: Apache-2.0 */
/* The DER AlgorithmIdentifier of a signature, as a certificate request carries it (RFC 4055,
 * RFC 5758, RFC 8410). */
#ifndef MTLS_PROVIDER_ALGORITHM_ID_H
#define MTLS_PROVIDER_ALGORITHM_ID_H

#include "common/scheme.h"
#include "common/wire.h"

/** algorithm_id_of_scheme() - static bytes; empty for a scheme that has none. */
struct wire_span algorithm_id_of_scheme(const struct scheme *scheme);

#endif
