/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One key on several tokens of a module: which of them signs. A token that is locked, or cannot
 * make the scheme, is passed over; of the others the one with the least to do is next, and among
 * equals each in its turn.
 */
#include "agent/module_internal.h"
#include "agent/module_login.h"
#include "agent/sign_request.h"

static bool module_token_is_locked_by_person(const struct module *module,
                                             const struct inventory *inventory,
                                             const struct inventory_key *key)
{
    const struct inventory_token *token = inventory_find_token(inventory, key->info.token);
    const struct module_token *known = token ? module_login_find(module, &token->info) : NULL;

    return known && known->is_locked_by_person;
}

bool module_key_is_locked_by_person(const struct module *module,
                                    const uint8_t hash[static PROTOCOL_KEY_HASH_LEN])
{
    const struct inventory *inventory = module->inventory;
    size_t first = 0;
    size_t count = inventory ? inventory_find_keys(inventory, hash, &first) : 0;

    for (size_t i = 0; i < count; i++)
        if (!module_token_is_locked_by_person(module, inventory,
                                              inventory_get_by_hash(inventory, first + i)))
            return false;
    return count > 0;
}

size_t module_list_schemes(const struct module *module,
                           const uint8_t hash[static PROTOCOL_KEY_HASH_LEN],
                           uint32_t ret_codes[static SCHEMES_MAX])
{
    const struct inventory *inventory = module->inventory;
    size_t first = 0;
    size_t keys = inventory ? inventory_find_keys(inventory, hash, &first) : 0;
    size_t count = 0;

    for (size_t i = 0; i < keys; i++) {
        const struct worker_key *info = &inventory_get_by_hash(inventory, first + i)->info;
        for (size_t j = 0; j < info->scheme_count && count < SCHEMES_MAX; j++)
            if (!scheme_list_has(ret_codes, count, info->schemes[j]))
                ret_codes[count++] = info->schemes[j];
    }
    return count;
}

static bool module_key_can(const struct inventory_key *key, uint32_t scheme)
{
    return key->info.usable && scheme_list_has(key->info.schemes, key->info.scheme_count, scheme);
}

const struct inventory_key *module_choose_key(const struct module *module,
                                              const struct worker *worker,
                                              const struct sign_request *request)
{
    const struct inventory *inventory = worker->inventory;
    const struct inventory_key *best = NULL;
    size_t best_load = 0;
    size_t first = 0;
    size_t count = inventory ? inventory_find_keys(inventory, request->key_hash, &first) : 0;

    for (size_t i = 0; i < count; i++) {
        /* What was sent last decides who is looked at first. */
        const struct inventory_key *key =
            inventory_get_by_hash(inventory, first + (worker->seq + i) % count);
        if (!module_key_can(key, request->scheme->code))
            continue;
        if (count == 1)
            return key; /* whether its token is locked was asked before */
        if (module_token_is_locked_by_person(module, inventory, key))
            continue;
        size_t load = worker_get_token_load(worker, key->info.token);
        if (best && load >= best_load)
            continue;
        best = key;
        best_load = load;
    }
    return best;
}
