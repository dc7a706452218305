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

/* The [key] section whose URI names this key; the first one wins. */
static const struct config_key *keyring_find_section(const struct config *config,
                                                     const struct inventory_key *key,
                                                     const char *module,
                                                     const struct worker_token *token)
{
    for (size_t i = 0; i < config->key_count; i++)
        if (selector_matches_key(config->keys[i]->selector, "", key, module, token))
            return config->keys[i];
    return NULL;
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

static int keyring_add_key(struct keyring *keyring, struct module *module,
                           struct inventory *inventory, const struct inventory_key *key)
{
    const struct inventory_token *token = inventory_find_token(inventory, key->info.token);

    if (module_readers_first(module, &token->info))
        return 0;
    const struct config_key *config =
        keyring_find_section(keyring->config, key, module_get_name(module), &token->info);
    char *name = keyring_make_name(config, key);
    if (!name)
        return -ENOMEM;
    keyring->keys[keyring->key_count++] = (struct keyring_key){
        .name = name,
        .hash = key->hash,
        .key = key,
        .token = &token->info,
        .inventory = inventory_ref(inventory),
        .module = module,
        .config = config,
    };
    return 0;
}

int keyring_add(struct keyring *keyring, struct module *module, struct inventory *inventory)
{
    struct keyring_key *keys =
        reallocarray(keyring->keys, keyring->key_count + inventory->key_count + 1, sizeof(*keys));

    if (!keys)
        return -ENOMEM;
    keyring->keys = keys;
    for (size_t i = 0; i < inventory->key_count; i++) {
        int r = keyring_add_key(keyring, module, inventory, &inventory->keys[i]);
        if (r)
            return r;
    }
    return 0;
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

int keyring_finish(struct keyring *keyring)
{
    if (keyring->key_count == 0)
        return 0;
    keyring->by_hash = calloc(keyring->key_count, sizeof(*keyring->by_hash));
    if (!keyring->by_hash)
        return -ENOMEM;
    keyring_sort(keyring);
    return 0;
}

void keyring_forget(struct keyring *keyring, const struct module *module)
{
    size_t kept = 0;

    for (size_t i = 0; i < keyring->key_count; i++) {
        if (keyring->keys[i].module == module)
            keyring_key_deinit(&keyring->keys[i]);
        else
            keyring->keys[kept++] = keyring->keys[i];
    }
    keyring->key_count = kept;
    keyring_sort(keyring);
}

const struct keyring_key *keyring_find(const struct keyring *keyring,
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
    /* Of several with this hash prefer one that can sign now. */
    const struct keyring_key *first = NULL;
    for (; low < keyring->key_count; low++) {
        const struct keyring_key *key = &keyring->keys[keyring->by_hash[low]];
        if (memcmp(key->hash, hash, PROTOCOL_KEY_HASH_LEN) != 0)
            break;
        if (key->key->info.usable && module_key_state(key->module, key->hash) == KEY_STATE_READY)
            return key;
        if (!first)
            first = key;
    }
    return first;
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

void keyring_key_describe(const struct keyring_key *key, struct protocol_key *ret_key)
{
    const struct worker_key *info = &key->key->info;

    *ret_key = (struct protocol_key){
        .name = wire_span_from_text(key->name),
        .key_hash = {key->hash, PROTOCOL_KEY_HASH_LEN},
        .type = info->type,
        .bits = info->bits,
        .state = module_key_state(key->module, key->hash),
        .policy = keyring_key_policy(key),
        .always_authenticate = info->always_authenticate,
        .label = info->label,
        .ck_id = info->ck_id,
        .token_label = key->token->label,
        .token_serial = key->token->serial,
        .module = wire_span_from_text(module_get_name(key->module)),
        .spki = info->spki,
    };
    ret_key->scheme_count = scheme_list_for_key(info->type, info->bits, ret_key->schemes);
    for (size_t i = 0; i < info->cert_count; i++)
        keyring_add_cert(ret_key, info->certs[i].data, info->certs[i].len);
    keyring_apply_config(key, ret_key);
}
