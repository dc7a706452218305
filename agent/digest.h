/* SPDX-License-Identifier: Apache-2.0 */
/* Hashing of what is to be signed. Fetches each hash once, so that a signature pays for none. */
#ifndef MTLS_AGENT_DIGEST_H
#define MTLS_AGENT_DIGEST_H

#include "common/scheme.h"
#include "common/wire.h"

struct digester;

/** digester_new() - NULL when OpenSSL or memory fails. */
struct digester *digester_new(void) _must_check_;
struct digester *digester_free(struct digester *digester);

/**
 * digester_hash() - hash a message
 * @hash:       not HASH_NONE
 * @ret_digest: filled with hash_len(@hash) bytes
 *
 * Return: 0, or -EIO when OpenSSL failed.
 */
int digester_hash(struct digester *digester, enum hash_id hash, struct wire_span message,
                  uint8_t ret_digest[static DIGEST_LEN_MAX]) _must_check_;

DEFINE_CLEANUP(struct digester *, digester, digester_free)

#endif
