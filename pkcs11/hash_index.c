/* SPDX-License-Identifier: Apache-2.0 */
/* Chains of numbers; see hash_index.h. */
#include "pkcs11/hash_index.h"

int hash_index_init(struct hash_index *index, size_t cap)
{
    size_t head_count = 1;

    while (head_count < cap && head_count < UINT32_MAX / 2)
        head_count *= 2;
    *index = (struct hash_index){
        .heads = calloc(head_count, sizeof(*index->heads)),
        .next = calloc(cap + 1, sizeof(*index->next)),
        .mask = (uint32_t)(head_count - 1),
        .cap = (uint32_t)cap,
    };
    if (index->heads && index->next)
        return 0;
    hash_index_deinit(index);
    return -ENOMEM;
}

void hash_index_deinit(struct hash_index *index)
{
    free(index->heads);
    free(index->next);
    *index = (struct hash_index){0};
}

void hash_index_add(struct hash_index *index, uint32_t hash, size_t number)
{
    if (number >= index->cap)
        return;
    uint32_t *head = &index->heads[hash & index->mask];
    index->next[number] = *head;
    *head = (uint32_t)number + 1;
}

uint32_t hash_index_first(const struct hash_index *index, uint32_t hash)
{
    return index->heads ? index->heads[hash & index->mask] - 1 : HASH_INDEX_END;
}

uint32_t hash_index_next(const struct hash_index *index, uint32_t number)
{
    return index->next[number] - 1;
}

/* FNV-1a, 32 bits. */
uint32_t hash_index_hash(struct wire_span bytes)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ bytes.data[i]) * 16777619u;
    return hash;
}
