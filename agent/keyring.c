/* SPDX-License-Identifier: Apache-2.0 */
/* The keys and their names; see keyring.h. */
#include "agent/keyring.h"

#include <string.h>

#include "agent/module.h"
#include "agent/module_readers.h"
#include "agent/selector.h"
#include "common/escape.h"
#include "common/log.h"

#define KEYRING_CERTS_LEN_MAX (128u * 1024u) /* bytes of one key's certificates */

_Static_assert(KEYRING_CERTS_LEN_MAX + PROTOCOL_DER_MAX + 8192 < WIRE_FRAME_MAX,
               "a key with its certificates fits one frame");

struct keyring *keyring_new(struct config *config)
{
    struct keyring *keyring = calloc(1, sizeof(*keyring));

    if (keyring)
        keyring->config = config_ref(config);
    return keyring;
}

static void keyring_key_deinit(struct keyring_key *key)
{
    free(key->name);
    (void)inventory_unref(key->inventory);
    (void)inventory_unref(key->token_inventory);
}

struct keyring *keyring_free(struct keyring *keyring)
{
    if (!keyring)
        return NULL;
    for (size_t i = 0; i < keyring->key_count; i++)
        keyring_key_deinit(&keyring->keys[i]);
    free(keyring->keys);
    free(keyring->by_hash);
    (void)config_unref(keyring->config);
    free(keyring);
    return NULL;
}

/* The [key] section one of whose URIs names this key; the first one wins. */
static void keyring_find_section(const struct config *config, struct keyring_key *key)
{
    const char *module = module_get_name(key->module);

    for (size_t i = 0; i < config->key_count; i++) {
        const struct config_key *section = config->keys[i];
        for (size_t j = 0; j < section->uri_count; j++) {
            if (!selector_matches_key(section->uris[j].selector, "", key->key, module, key->token))
                continue;
            key->config = section;
            key->config_uri = j;
            return;
        }
    }
}

/* Alias, else label, else the start of the fingerprint. */
static char *keyring_make_name(const struct config_key *config, const struct inventory_key *key)
{
    char name[sizeof("sha256:") + 16];

    if (config)
        return strdup(config->name);
    if (key->info.label.len > 0)
        return wire_span_to_text(key->info.label);
    size_t len = (size_t)snprintf(name, sizeof(name), "sha256:");
    for (size_t i = 0; i < 8; i++)
        len += (size_t)snprintf(name + len, sizeof(name) - len, "%02x", key->hash[i]);
    return strdup(name);
}

/* @added: what is known of it already. There is room for one more. */
static int keyring_add_key(struct keyring *keyring, struct keyring_key added)
{
    /* The card is used through another module. */
    if (!added.is_absent && module_readers_first(added.module, added.token))
        return 0;
    added.hash = added.key->hash;
    keyring_find_section(keyring->config, &added);
    added.name = keyring_make_name(added.config, added.key);
    if (!added.name)
        return -ENOMEM;
    added.inventory = inventory_ref(added.inventory);
    added.token_inventory = inventory_ref(added.token_inventory);
    keyring->keys[keyring->key_count++] = added;
    return 0;
}

static int keyring_make_room(struct keyring *keyring, size_t count)
{
    struct keyring_key *keys =
        reallocarray(keyring->keys, keyring->key_count + count + 1, sizeof(*keys));

    if (!keys)
        return -ENOMEM;
    keyring->keys = keys;
    return 0;
}

static int keyring_add_present(struct keyring *keyring, struct module *module)
{
    struct inventory *inventory = module->inventory;
    int r = keyring_make_room(keyring, inventory->key_count);

    for (size_t i = 0; i < inventory->key_count && r == 0; i++) {
        const struct inventory_key *key = &inventory->keys[i];
        r = keyring_add_key(keyring,
                            (struct keyring_key){
                                .key = key,
                                .token = &inventory_find_token(inventory, key->info.token)->info,
                                .inventory = inventory,
                                .token_inventory = inventory,
                                .module = module,
                            });
    }
    return r;
}

/* The keys of a token that is out, or those that it hides while it is locked. */
static int keyring_add_absent(struct keyring *keyring, struct module *module,
                              const struct absent_token *absent)
{
    struct inventory *old = absent->inventory;
    struct inventory *now = absent->is_locked ? module->inventory : old;
    const struct worker_token *token = inventory_find_same(now, absence_get_token(absent), 0);
    int r = keyring_make_room(keyring, old->key_count);

    for (size_t i = 0; i < old->key_count && r == 0 && token; i++) {
        const struct inventory_key *key = &old->keys[i];
        if (key->info.token != absent->number ||
            (absent->is_locked && inventory_token_has_key(now, token, key->hash)))
            continue;
        r = keyring_add_key(keyring, (struct keyring_key){.key = key,
                                                          .token = token,
                                                          .inventory = old,
                                                          .token_inventory = now,
                                                          .module = module,
                                                          .is_absent = !absent->is_locked,
                                                          .is_hidden = absent->is_locked});
    }
    return r;
}

int keyring_add(struct keyring *keyring, struct module *module)
{
    int r = module->inventory ? keyring_add_present(keyring, module) : 0;

    for (size_t i = 0; i < module->absence.count && r == 0; i++)
        r = keyring_add_absent(keyring, module, &module->absence.tokens[i]);
    return r;
}

static int keyring_compare(const void *a, const void *b, void *userdata)
{
    const struct keyring *keyring = userdata;
    const size_t *left = a;
    const size_t *right = b;
    int order =
        memcmp(keyring->keys[*left].hash, keyring->keys[*right].hash, PROTOCOL_KEY_HASH_LEN);

    if (order != 0)
        return order;
    if (keyring->keys[*left].is_absent != keyring->keys[*right].is_absent)
        return keyring->keys[*left].is_absent ? 1 : -1;
    /* The same key through two modules: the one that came first stays first. */
    return *left < *right ? -1 : *left > *right;
}

static void keyring_sort(struct keyring *keyring)
{
    for (size_t i = 0; i < keyring->key_count; i++)
        keyring->by_hash[i] = i;
    if (keyring->key_count > 0)
        qsort_r(keyring->by_hash, keyring->key_count, sizeof(*keyring->by_hash), keyring_compare,
                keyring);
}

/* Keeps the keys of which @keeps is true, in their order. */
static void keyring_filter(struct keyring *keyring,
                           bool (*keeps)(const struct keyring_key *key, const void *context),
                           const void *context)
{
    size_t kept = 0;

    for (size_t i = 0; i < keyring->key_count; i++) {
        if (keeps(&keyring->keys[i], context))
            keyring->keys[kept++] = keyring->keys[i];
        else
            keyring_key_deinit(&keyring->keys[i]);
    }
    keyring->key_count = kept;
    keyring_sort(keyring);
}

static bool keyring_key_counts(const struct keyring_key *key, const void *context)
{
    (void)context;
    return !key->is_duplicate;
}

/* A key that another token still has is not absent. */
static void keyring_drop_duplicates(struct keyring *keyring)
{
    bool has_duplicate = false;

    for (size_t i = 1; i < keyring->key_count; i++) {
        const struct keyring_key *before = &keyring->keys[keyring->by_hash[i - 1]];
        struct keyring_key *key = &keyring->keys[keyring->by_hash[i]];
        key->is_duplicate =
            key->is_absent && memcmp(before->hash, key->hash, PROTOCOL_KEY_HASH_LEN) == 0;
        has_duplicate |= key->is_duplicate;
    }
    if (has_duplicate)
        keyring_filter(keyring, keyring_key_counts, NULL);
}

int keyring_finish(struct keyring *keyring)
{
    if (keyring->key_count == 0)
        return 0;
    keyring->by_hash = calloc(keyring->key_count, sizeof(*keyring->by_hash));
    if (!keyring->by_hash)
        return -ENOMEM;
    keyring_sort(keyring);
    keyring_drop_duplicates(keyring);
    return 0;
}

static bool keyring_key_is_elsewhere(const struct keyring_key *key, const void *context)
{
    return key->module != context;
}

void keyring_forget(struct keyring *keyring, const struct module *module)
{
    keyring_filter(keyring, keyring_key_is_elsewhere, module);
}

/* Where in the index the keys with this hash begin, if there are any. */
static size_t keyring_find_first(const struct keyring *keyring,
                                 const uint8_t hash[static PROTOCOL_KEY_HASH_LEN])
{
    size_t low = 0;
    size_t high = keyring->key_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct keyring_key *key = &keyring->keys[keyring->by_hash[middle]];
        if (memcmp(key->hash, hash, PROTOCOL_KEY_HASH_LEN) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The key of this place in the index, if it has the hash; else NULL. */
static const struct keyring_key *keyring_at(const struct keyring *keyring, size_t at,
                                            const uint8_t hash[static PROTOCOL_KEY_HASH_LEN])
{
    const struct keyring_key *key =
        at < keyring->key_count ? &keyring->keys[keyring->by_hash[at]] : NULL;

    return key && memcmp(key->hash, hash, PROTOCOL_KEY_HASH_LEN) == 0 ? key : NULL;
}

const struct keyring_key *keyring_find_ready(const struct keyring *keyring,
                                             const uint8_t hash[static PROTOCOL_KEY_HASH_LEN],
                                             const struct module *except)
{
    const struct keyring_key *best = NULL;
    const struct keyring_key *key = NULL;

    for (size_t at = keyring_find_first(keyring, hash); (key = keyring_at(keyring, at, hash));
         at++) {
        if (key->module == except || !key->key->info.usable ||
            keyring_key_state(key) != KEY_STATE_READY)
            continue;
        if (!best || module_load(key->module) < module_load(best->module))
            best = key;
    }
    return best;
}

const struct keyring_key *keyring_find(const struct keyring *keyring,
                                       const uint8_t hash[static PROTOCOL_KEY_HASH_LEN])
{
    const struct keyring_key *best = keyring_find_ready(keyring, hash, NULL);
    const struct keyring_key *key = NULL;
    size_t first = keyring_find_first(keyring, hash);

    if (best)
        return best;
    /* The states are numbered from the best on: one that waits for its PIN before one that fails.
     */
    for (size_t at = first; (key = keyring_at(keyring, at, hash)); at++)
        if (!best || keyring_key_state(key) < keyring_key_state(best))
            best = key;
    return best;
}

enum key_state keyring_key_state(const struct keyring_key *key)
{
    if (key->is_absent)
        return KEY_STATE_ABSENT;
    return module_key_state(key->module, key->hash, key->is_hidden ? key->token : NULL);
}

enum key_policy keyring_key_policy(const struct keyring_key *key)
{
    return key->config ? key->config->policy : KEY_POLICY_TLS;
}

static void keyring_add_cert(struct protocol_key *key, const uint8_t *der, size_t len)
{
    size_t used = len;

    for (size_t i = 0; i < key->cert_count; i++)
        used += key->certs[i].len;
    /* Every key fits a page of LIST: a chain that is longer than any TLS peer takes is cut. */
    if (key->cert_count < PROTOCOL_CERTS_MAX && used <= KEYRING_CERTS_LEN_MAX)
        key->certs[key->cert_count++] = (struct wire_span){der, len};
}

/* `certificate =` goes before the token's, if it is for this key; `chain =` replaces what the token
 * has of the chain, and so does what follows the leaf in the file. */
static void keyring_apply_config(const struct keyring_key *key, struct protocol_key *ret_key)
{
    const struct config_key *config = key->config;
    bool has_leaf = config && config->cert_count > 0 &&
                    memcmp(config->certs[0].key_hash, key->hash, PROTOCOL_KEY_HASH_LEN) == 0;

    if (has_leaf) {
        ret_key->cert_count = 0;
        keyring_add_cert(ret_key, config->certs[0].der, config->certs[0].len);
    }
    if (has_leaf && config->chain_count == 0)
        for (size_t i = 1; i < config->cert_count; i++)
            keyring_add_cert(ret_key, config->certs[i].der, config->certs[i].len);
    if (!config || config->chain_count == 0)
        return;
    ret_key->cert_count = ret_key->cert_count > 1 ? 1 : ret_key->cert_count;
    for (size_t i = 0; i < config->chain_count; i++)
        keyring_add_cert(ret_key, config->chain[i].der, config->chain[i].len);
}

/* What the key's type allows and its token can do, preferred first. */
static void keyring_list_schemes(const struct worker_key *info, struct protocol_key *ret_key)
{
    uint32_t codes[SCHEMES_MAX];
    size_t count = scheme_list_for_key(info->type, info->bits, codes);

    for (size_t i = 0; i < count; i++)
        if (scheme_list_has(info->schemes, info->scheme_count, codes[i]))
            ret_key->schemes[ret_key->scheme_count++] = codes[i];
}

void keyring_key_describe(const struct keyring_key *key, struct protocol_key *ret_key)
{
    const struct worker_key *info = &key->key->info;

    *ret_key = (struct protocol_key){
        .name = wire_span_from_text(key->name),
        .key_hash = {key->hash, PROTOCOL_KEY_HASH_LEN},
        .type = info->type,
        .bits = info->bits,
        .state = keyring_key_state(key),
        .policy = keyring_key_policy(key),
        .always_authenticate = info->always_authenticate,
        .label = info->label,
        .ck_id = info->ck_id,
        .token_label = key->token->label,
        .token_serial = key->token->serial,
        .module = wire_span_from_text(module_get_name(key->module)),
        .spki = info->spki,
    };
    keyring_list_schemes(info, ret_key);
    for (size_t i = 0; i < info->cert_count; i++)
        keyring_add_cert(ret_key, info->certs[i].data, info->certs[i].len);
    keyring_apply_config(key, ret_key);
}
