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
    free(inventory->by_hash);
    free(inventory);
    return NULL;
}

/* Room for one more element. Return: the array, moved or not, or NULL: it is as it was. */
static void *inventory_grow(void *array, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return array;
    size_t more = *cap > 0 ? 2 * *cap : 4;
    void *moved = reallocarray(array, more, size);
    if (moved)
        *cap = more;
    return moved;
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
    struct inventory_token *tokens = inventory_grow(inventory->tokens, inventory->token_count,
                                                    &inventory->token_cap, sizeof(*tokens));
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
    token.blob_len = body.len;
    inventory->len += body.len;
    inventory->tokens[inventory->token_count++] = token;
    return 0;
}

/* Workers number their tokens from 0 on, and leave out those that cannot be read. */
static struct inventory_token *inventory_get_token(const struct inventory *inventory,
                                                   uint32_t number)
{
    if (number < inventory->token_count && inventory->tokens[number].info.token == number)
        return &inventory->tokens[number];
    for (size_t i = 0; i < inventory->token_count; i++)
        if (inventory->tokens[i].info.token == number)
            return &inventory->tokens[i];
    return NULL;
}

int inventory_add_key(struct inventory *inventory, struct wire_span body)
{
    struct inventory_key key = {0};

    if (inventory->key_count >= WORKER_KEYS_MAX || inventory_is_full(inventory, body))
        return WIRE_E_MALFORMED;
    struct inventory_key *keys =
        inventory_grow(inventory->keys, inventory->key_count, &inventory->key_cap, sizeof(*keys));
    if (!keys)
        return -ENOMEM;
    inventory->keys = keys;
    _cleanup_free_ uint8_t *blob = inventory_copy(body);
    if (!blob)
        return -ENOMEM;
    int r = worker_key_parse((struct wire_span){blob, body.len}, &key.info);
    if (r)
        return r;
    struct inventory_token *token = inventory_get_token(inventory, key.info.token);
    if (key.info.spki.len == 0 || !token)
        return WIRE_E_MALFORMED;
    if (!SHA256(key.info.spki.data, key.info.spki.len, key.hash))
        return -ENOMEM;
    key.blob = TAKE_PTR(blob);
    key.blob_len = body.len;
    inventory->len += body.len;
    inventory->keys[inventory->key_count++] = key;
    token->key_count++;
    return 0;
}

static int inventory_compare(const void *a, const void *b, void *userdata)
{
    const struct inventory *inventory = userdata;
    const uint32_t *left = a;
    const uint32_t *right = b;
    int order =
        memcmp(inventory->keys[*left].hash, inventory->keys[*right].hash, PROTOCOL_KEY_HASH_LEN);

    if (order != 0)
        return order;
    return *left < *right ? -1 : *left > *right;
}

int inventory_finish(struct inventory *inventory)
{
    inventory->by_hash = calloc(inventory->key_count + 1, sizeof(*inventory->by_hash));
    if (!inventory->by_hash)
        return -ENOMEM;
    for (uint32_t i = 0; i < inventory->key_count; i++)
        inventory->by_hash[i] = i;
    if (inventory->key_count > 0)
        qsort_r(inventory->by_hash, inventory->key_count, sizeof(*inventory->by_hash),
                inventory_compare, inventory);
    return 0;
}

int inventory_without(const struct inventory *inventory,
                      bool (*is_out)(const struct worker_token *token, const void *context),
                      const void *context, struct inventory **ret_inventory)
{
    _cleanup_(cleanup_inventory) struct inventory *copy = inventory_new();
    int r = copy ? 0 : -ENOMEM;

    for (size_t i = 0; !r && i < inventory->token_count; i++) {
        const struct inventory_token *token = &inventory->tokens[i];
        if (!is_out(&token->info, context))
            r = inventory_add_token(copy, (struct wire_span){token->blob, token->blob_len});
    }
    for (size_t i = 0; !r && i < inventory->key_count; i++) {
        const struct inventory_key *key = &inventory->keys[i];
        if (inventory_get_token(copy, key->info.token))
            r = inventory_add_key(copy, (struct wire_span){key->blob, key->blob_len});
    }
    if (!r)
        r = inventory_finish(copy);
    if (r)
        return r < 0 ? r : -ENOMEM; /* it was parsed before */
    copy->uses_pcsc = inventory->uses_pcsc;
    *ret_inventory = TAKE_PTR(copy);
    return 0;
}

const struct inventory_token *inventory_find_token(const struct inventory *inventory,
                                                   uint32_t number)
{
    return inventory_get_token(inventory, number);
}

/* Where in the index the keys with this hash begin, if there are any. */
static size_t inventory_find_first(const struct inventory *inventory,
                                   const uint8_t hash[static PROTOCOL_KEY_HASH_LEN])
{
    size_t low = 0;
    size_t high = inventory->by_hash ? inventory->key_count : 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct inventory_key *key = &inventory->keys[inventory->by_hash[middle]];
        if (memcmp(key->hash, hash, PROTOCOL_KEY_HASH_LEN) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t inventory_find_keys(const struct inventory *inventory,
                           const uint8_t hash[static PROTOCOL_KEY_HASH_LEN], size_t *ret_first)
{
    size_t first = inventory_find_first(inventory, hash);
    size_t end = first;

    while (inventory->by_hash && end < inventory->key_count &&
           memcmp(inventory_get_by_hash(inventory, end)->hash, hash, PROTOCOL_KEY_HASH_LEN) == 0)
        end++;
    if (end > first)
        *ret_first = first;
    return end - first;
}

const struct inventory_key *inventory_get_by_hash(const struct inventory *inventory, size_t place)
{
    return &inventory->keys[inventory->by_hash[place]];
}

const struct inventory_key *inventory_find_key(const struct inventory *inventory,
                                               const uint8_t hash[static PROTOCOL_KEY_HASH_LEN])
{
    size_t first = 0;
    size_t count = inventory_find_keys(inventory, hash, &first);

    for (size_t i = 0; i < count; i++)
        if (inventory_get_by_hash(inventory, first + i)->info.usable)
            return inventory_get_by_hash(inventory, first + i);
    return count > 0 ? inventory_get_by_hash(inventory, first) : NULL;
}

bool inventory_is_same_token(const struct worker_token *a, const struct worker_token *b)
{
    return wire_span_is_equal(a->serial, b->serial) && wire_span_is_equal(a->label, b->label);
}

bool inventory_token_is_locked(const struct worker_token *token)
{
    return (token->flags & WORKER_TOKEN_LOGIN_REQUIRED) && !(token->flags & WORKER_TOKEN_LOGGED_IN);
}

const struct worker_token *inventory_find_same(const struct inventory *inventory,
                                               const struct worker_token *token, size_t hint)
{
    for (size_t i = 0; inventory && i < inventory->token_count; i++) {
        const struct worker_token *found =
            &inventory->tokens[(hint + i) % inventory->token_count].info;
        if (inventory_is_same_token(found, token))
            return found;
    }
    return NULL;
}

bool inventory_token_has_key(const struct inventory *inventory, const struct worker_token *token,
                             const uint8_t hash[static PROTOCOL_KEY_HASH_LEN])
{
    size_t first = 0;
    size_t count = inventory_find_keys(inventory, hash, &first);

    for (size_t i = 0; i < count; i++)
        if (inventory_get_by_hash(inventory, first + i)->info.token == token->token)
            return true;
    return false;
}
