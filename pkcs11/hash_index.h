/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of things by the hash of what they are looked for by, so that a token with thousands of
 * objects is not searched through once for each of them. It knows the hashes alone: whoever walks
 * it compares. A token that makes its hashes meet is searched as slowly as without.
 */
#ifndef MTLS_PKCS11_HASH_INDEX_H
#define MTLS_PKCS11_HASH_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "common/wire.h"

#define HASH_INDEX_END UINT32_MAX

/* All zero: empty, without room. */
struct hash_index {
    uint32_t *heads; /* number + 1; 0: none */
    uint32_t *next;  /* by number; the same */
    uint32_t mask;   /* of the hashes; one less than the count of @heads, a power of two */
    uint32_t cap;
};

/** hash_index_init() - room for numbers below @cap. Return: 0, or -ENOMEM. */
int hash_index_init(struct hash_index *index, size_t cap) _must_check_;
void hash_index_deinit(struct hash_index *index);

/**
 * hash_index_add() - a number that was not added before
 *
 * What is added last is found first.
 */
void hash_index_add(struct hash_index *index, uint32_t hash, size_t number);

/* Those with this hash, and some with others; HASH_INDEX_END after the last. */
uint32_t hash_index_first(const struct hash_index *index, uint32_t hash);
uint32_t hash_index_next(const struct hash_index *index, uint32_t number);

#define hash_index_for_each(number, index, hash)                                      \
    for (uint32_t number = hash_index_first(index, hash); (number) != HASH_INDEX_END; \
         (number) = hash_index_next(index, number))

/** hash_index_hash() - of any bytes. */
uint32_t hash_index_hash(struct wire_span bytes);

#endif
