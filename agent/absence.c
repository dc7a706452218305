/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens that are out; see absence.h. */
#include "agent/absence.h"

#include <string.h>

/* The token is in a fresh inventory, but locked, and lacks a key that it had: only a login tells
 * whether it has it still. */
static bool absence_is_hidden(const struct inventory *old, uint32_t number,
                              const struct inventory *fresh, const struct worker_token *token)
{
    if (!inventory_token_is_locked(token))
        return false;
    for (size_t i = 0; i < old->key_count; i++)
        if (old->keys[i].info.token == number &&
            !inventory_token_has_key(fresh, token, old->keys[i].hash))
            return true;
    return false;
}

const struct worker_token *absence_get_token(const struct absent_token *entry)
{
    return &inventory_find_token(entry->inventory, entry->number)->info;
}

static void absence_remove(struct absence *absence, size_t index)
{
    (void)inventory_unref(absence->tokens[index].inventory);
    absence->count--;
    memmove(&absence->tokens[index], &absence->tokens[index + 1],
            (absence->count - index) * sizeof(absence->tokens[0]));
}

static void absence_add(struct absence *absence, struct inventory *inventory, uint32_t number,
                        bool is_locked)
{
    if (absence->count == ABSENCE_TOKENS_MAX)
        absence_remove(absence, 0);
    absence->tokens[absence->count++] = (struct absent_token){
        .inventory = inventory_ref(inventory), .number = number, .is_locked = is_locked};
}

/* Whether an entry stands for this token already: it went twice without having come. One with the
 * keys that it hid does not say what it showed beside them. */
static bool absence_knows(const struct absence *absence, const struct worker_token *token,
                          bool is_locked)
{
    for (size_t i = 0; i < absence->count; i++)
        if (inventory_is_same_token(absence_get_token(&absence->tokens[i]), token) &&
            (is_locked || !absence->tokens[i].is_locked))
            return true;
    return false;
}

void absence_update(struct absence *absence, struct inventory *old, const struct inventory *fresh)
{
    for (size_t i = 0; old && i < old->token_count; i++) {
        const struct worker_token *token = &old->tokens[i].info;
        const struct worker_token *now = inventory_find_same(fresh, token, i);
        bool is_locked = now && absence_is_hidden(old, token->token, fresh, now);
        if ((!now || is_locked) && !absence_knows(absence, token, is_locked))
            absence_add(absence, old, token->token, is_locked);
    }
    for (size_t i = absence->count; i-- > 0;) {
        struct absent_token *entry = &absence->tokens[i];
        const struct worker_token *now = inventory_find_same(fresh, absence_get_token(entry), 0);
        entry->is_locked = now && absence_is_hidden(entry->inventory, entry->number, fresh, now);
        if (now && !entry->is_locked)
            absence_remove(absence, i);
    }
}

void absence_forget_all(struct absence *absence)
{
    while (absence->count > 0)
        absence_remove(absence, absence->count - 1);
}
