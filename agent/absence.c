/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens that are out; see absence.h. */
#include "agent/absence.h"

#include <string.h>

static bool absence_is_same(const struct worker_token *a, const struct worker_token *b)
{
    return wire_span_is_equal(a->serial, b->serial) && wire_span_is_equal(a->label, b->label);
}

const struct worker_token *absence_find_token(const struct inventory *inventory,
                                              const struct worker_token *token, size_t hint)
{
    for (size_t i = 0; inventory && i < inventory->token_count; i++) {
        const struct worker_token *found =
            &inventory->tokens[(hint + i) % inventory->token_count].info;
        if (absence_is_same(found, token))
            return found;
    }
    return NULL;
}

bool absence_token_shows(const struct inventory *inventory, const struct worker_token *token,
                         const uint8_t hash[static PROTOCOL_KEY_HASH_LEN])
{
    size_t first = 0;
    size_t count = inventory_find_keys(inventory, hash, &first);

    for (size_t i = 0; i < count; i++)
        if (inventory_get_by_hash(inventory, first + i)->info.token == token->token)
            return true;
    return false;
}

/* The token is in a fresh inventory, but locked, and lacks a key that it had: only a login tells
 * whether it has it still. */
static bool absence_is_hidden(const struct inventory *old, uint32_t number,
                              const struct inventory *fresh, const struct worker_token *token)
{
    if (!(token->flags & WORKER_TOKEN_LOGIN_REQUIRED) || (token->flags & WORKER_TOKEN_LOGGED_IN))
        return false;
    for (size_t i = 0; i < old->key_count; i++)
        if (old->keys[i].info.token == number &&
            !absence_token_shows(fresh, token, old->keys[i].hash))
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

/* Whether an entry stands for this token already: it went twice without having come. */
static bool absence_knows(const struct absence *absence, const struct worker_token *token)
{
    for (size_t i = 0; i < absence->count; i++)
        if (absence_is_same(absence_get_token(&absence->tokens[i]), token))
            return true;
    return false;
}

void absence_update(struct absence *absence, struct inventory *old, const struct inventory *fresh)
{
    for (size_t i = absence->count; i-- > 0;) {
        struct absent_token *entry = &absence->tokens[i];
        const struct worker_token *now = absence_find_token(fresh, absence_get_token(entry), 0);
        entry->is_locked = now && absence_is_hidden(entry->inventory, entry->number, fresh, now);
        if (now && !entry->is_locked)
            absence_remove(absence, i);
    }
    for (size_t i = 0; old && i < old->token_count; i++) {
        const struct worker_token *token = &old->tokens[i].info;
        const struct worker_token *now = absence_find_token(fresh, token, i);
        bool is_locked = now && absence_is_hidden(old, token->token, fresh, now);
        if ((!now || is_locked) && !absence_knows(absence, token))
            absence_add(absence, old, token->token, is_locked);
    }
}

void absence_forget_all(struct absence *absence)
{
    while (absence->count > 0)
        absence_remove(absence, absence->count - 1);
}
