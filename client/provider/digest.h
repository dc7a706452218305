/* SPDX-License-Identifier: Apache-2.0 */
/* The digests of the scheme table under OpenSSL's names, and the one place where messages are
 * hashed in this process. */
#ifndef MTLS_PROVIDER_DIGEST_H
#define MTLS_PROVIDER_DIGEST_H

#include "client/provider/context.h"
#include "common/scheme.h"
#include "common/wire.h"

/** digest_from_name() - HASH_NONE when the scheme table has no such digest; any case, any alias. */
enum hash_id digest_from_name(const char *name);

/** digest_from_len() - the digest of that many bytes, or HASH_NONE. */
enum hash_id digest_from_len(size_t len);

/** digest_name() - as OpenSSL's own providers call it; "" for HASH_NONE. */
const char *digest_name(enum hash_id hash);

/**
 * digest_compute() - hash a message, whatever providers and properties the program has set
 * @digest:     filled with hash_len(hash) bytes
 *
 * Return: 1, or 0 with an entry in the error queue.
 */
int digest_compute(struct provider_context *context, enum hash_id hash, struct wire_span message,
                   uint8_t digest[DIGEST_LEN_MAX]) _must_check_;

#endif
