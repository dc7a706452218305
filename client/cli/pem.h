/* SPDX-License-Identifier: Apache-2.0 */
/* The certificates of a key as PEM (RFC 7468), leaf first, as servers and clients take a chain. */
#ifndef MTLS_CLI_PEM_H
#define MTLS_CLI_PEM_H

#include "client/lib/mtls-agent.h"
#include "common/wire.h"

/** pem_put_certificates() - append leaf and chain; sticky failure. */
void pem_put_certificates(const struct mtls_agent_key *key, struct wire_writer *out);

#endif
