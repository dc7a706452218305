/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's report as data; see inventory.h. */
#include "agent/inventory.h"

#include <openssl/sha.h>
#include <string.h>

struct inventory *inventory_new(void)
{
    struct inventory *inventory = calloc(1, sizeof(*inventory));

    if (inventory)
        inventory->ref_count = 1;
    return inventory;
}

struct inventory *inventory_ref(struct inventory *inventory)
{
    inventory->ref_count++;
    return inventory;
}

struct inventory *inventory_unref(struct inventory *inventory)
{
    if (!inventory || --inventory->ref_count > 0)
        return NULL;
    for (size_t i = 0; i < inventory->token_count; i++)
        free(inventory->tokens[i].blob);
    for (size_t i = 0; i < inventory->key_count; i++)
        free(inventory->keys[i].blob);
    free(inventory->tokens);
    free(inventory->keys);
    free(inventory);
    return NULL;
}

/* A copy of a frame's body, which the parsed spans then point into. */
static uint8_t *inventory_copy(struct wire_span body)
{
    uint8_t *blob = malloc(body.len > 0 ? body.len : 1);

    if (blob && body.len > 0)
        memcpy(blob, body.data, body.len);
    return blob;
}

static bool inventory_is_full(const struct inventory *inventory, struct wire_span body)
{
    return body.len > INVENTORY_LEN_MAX - inventory->len;
}

int inventory_add_token(struct inventory *inventory, struct wire_span body)
{
    struct inventory_token token = {0};

    if (inventory->token_count >= WORKER_TOKENS_MAX || inventory_is_full(inventory, body))
        return WIRE_E_MALFORMED;
    struct inventory_token *tokens =
        reallocarray(inventory->tokens, inventory->token_count + 1, sizeof(*tokens));
    if (!tokens)
        return -ENOMEM;
    inventory->tokens = tokens;
    _cleanup_free_ uint8_t *blob = inventory_copy(body);
    if (!blob)
        return -ENOMEM;
    int r = worker_token_parse((struct wire_span){blob, body.len}, &token.info);
    if (r)
        return r;
    token.blob = TAKE_PTR(blob);
    inventory->len += body.len;
    inventory->tokens[inventory->token_count++] = token;
    return 0;
}

int inventory_add_key(struct inventory *inventory, struct wire_span body)
{
    struct inventory_key key = {0};

    if (inventory->key_count >= WORKER_KEYS_MAX || inventory_is_full(inventory, body))
        return WIRE_E_MALFORMED;
    struct inventory_key *keys =
        reallocarray(inventory->keys, inventory->key_count + 1, sizeof(*keys));
    if (!keys)
        return -ENOMEM;
    inventory->keys = keys;
    _cleanup_free_ uint8_t *blob = inventory_copy(body);
    if (!blob)
        return -ENOMEM;
    int r = worker_key_parse((struct wire_span){blob, body.len}, &key.info);
    if (r)
        return r;
    if (key.info.spki.len == 0 || !inventory_find_token(inventory, key.info.token))
        return WIRE_E_MALFORMED;
    if (!SHA256(key.info.spki.data, key.info.spki.len, key.hash))
        return -ENOMEM;
    key.blob = TAKE_PTR(blob);
    inventory->len += body.len;
    inventory->keys[inventory->key_count++] = key;
    return 0;
}

const struct inventory_token *inventory_find_token(const struct inventory *inventory,
                                                   uint32_t number)
{
    for (size_t i = 0; i < inventory->token_count; i++)
        if (inventory->tokens[i].info.token == number)
            return &inventory->tokens[i];
    return NULL;
}

const struct inventory_key *inventory_find_key(const struct inventory *inventory,
                                               const uint8_t hash[static PROTOCOL_KEY_HASH_LEN])
{
    const struct inventory_key *first = NULL;

    for (size_t i = 0; i < inventory->key_count; i++) {
        const struct inventory_key *key = &inventory->keys[i];
        if (memcmp(key->hash, hash, PROTOCOL_KEY_HASH_LEN) != 0)
            continue;
        if (key->info.usable)
            return key;
        if (!first)
            first = key;
    }
    return first;
}
