/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of keys; see key.h. */
#include "pkcs11/key.h"

#include <string.h>

struct key *keyring_get(const struct keyring *ring, uint32_t number)
{
    return number < ring->count ? ring->items[number] : NULL;
}

bool key_is_usable(const struct key *key)
{
    return atomic_load_explicit(&key->handle, memory_order_relaxed) != CK_INVALID_HANDLE;
}

void keyring_hide(struct keyring *ring, uint32_t token)
{
    for (size_t i = 0; i < ring->count; i++) {
        struct key *key = ring->items[i];
        if (key->token != token)
            continue;
        key->present = false;
        atomic_store(&key->handle, CK_INVALID_HANDLE);
    }
}

static uint32_t keyring_hash(uint32_t token, const struct public_key *public_key)
{
    return public_key_hash(public_key) + token;
}

static struct key *keyring_find(const struct keyring *ring, uint32_t token,
                                const struct public_key *public_key)
{
    hash_index_for_each (i, &ring->by_key, keyring_hash(token, public_key))
        if (ring->items[i]->token == token &&
            public_key_is_same(&ring->items[i]->public_key, public_key))
            return ring->items[i];
    return NULL;
}

bool keyring_has(const struct keyring *ring, uint32_t token, const struct public_key *public_key)
{
    const struct key *key = keyring_find(ring, token, public_key);

    return key && key->present;
}

static void key_clear_certs(struct key *key)
{
    for (size_t i = 0; i < key->cert_count; i++)
        free((void *)(uintptr_t)key->certs[i].data);
    key->cert_count = 0;
}

static int key_set_certs(struct key *key, const struct key_facts *facts)
{
    key_clear_certs(key);
    for (size_t i = 0; i < facts->cert_count; i++) {
        struct wire_span der = facts->certs[i]->der;
        uint8_t *copy = malloc(der.len);
        if (!copy)
            return -ENOMEM;
        key->certs[key->cert_count++] =
            (struct wire_span){memcpy(copy, der.data, der.len), der.len};
    }
    return 0;
}

/* A place at the end of the ring for this key, otherwise empty, or NULL. */
static struct key *keyring_add(struct keyring *ring, const struct key_facts *facts)
{
    if (!ring->items && hash_index_init(&ring->by_key, WORKER_KEYS_MAX))
        return NULL;
    if (!ring->items)
        ring->items = calloc(WORKER_KEYS_MAX, sizeof(struct key *));
    struct key *key = ring->items ? calloc(1, sizeof(*key)) : NULL;
    if (!key)
        return NULL;
    key->number = (uint32_t)ring->count;
    atomic_init(&key->handle, CK_INVALID_HANDLE);
    hash_index_add(&ring->by_key, keyring_hash(facts->token, facts->public_key), ring->count);
    ring->items[ring->count++] = key;
    return key;
}

int keyring_put(struct keyring *ring, const struct key_facts *facts)
{
    struct key *key = keyring_find(ring, facts->token, facts->public_key);
    struct public_key public_key = {0};

    if (key && key->present)
        return 0;
    if (!key && ring->count == WORKER_KEYS_MAX)
        return 0;
    int r = public_key_copy(facts->public_key, &public_key);
    if (r)
        return r;
    if (!key)
        key = keyring_add(ring, facts);
    if (!key) {
        public_key_deinit(&public_key);
        return -ENOMEM;
    }
    public_key_deinit(&key->public_key);
    key->public_key = public_key;
    key->token = facts->token;
    key->present = true;
    key->always_authenticate = facts->always_authenticate;
    key->provisional = facts->provisional;
    key->name = *facts->name;
    atomic_store(&key->verified, false);
    atomic_store(&key->refused, 0);
    atomic_store(&key->handle, facts->handle);
    return key_set_certs(key, facts);
}
