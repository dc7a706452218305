/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens that are out; see absence.h. */
#include "agent/absence.h"

#include <string.h>

static bool absence_is_same(const struct worker_token *a, const struct worker_token *b)
{
    return wire_span_is_equal(a->serial, b->serial) && wire_span_is_equal(a->label, b->label);
}

/* @hint: where it was before, as tokens seldom change their places. */
static bool absence_has_token(const struct inventory *inventory, const struct worker_token *token,
                              size_t hint)
{
    for (size_t i = 0; inventory && i < inventory->token_count; i++) {
        size_t at = (hint + i) % inventory->token_count;
        if (absence_is_same(&inventory->tokens[at].info, token))
            return true;
    }
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

static void absence_add(struct absence *absence, struct inventory *inventory, uint32_t number)
{
    if (absence->count == ABSENCE_TOKENS_MAX)
        absence_remove(absence, 0);
    absence->tokens[absence->count++] =
        (struct absent_token){.inventory = inventory_ref(inventory), .number = number};
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
    for (size_t i = absence->count; i-- > 0;)
        if (absence_has_token(fresh, absence_get_token(&absence->tokens[i]), 0))
            absence_remove(absence, i);
    for (size_t i = 0; old && i < old->token_count; i++) {
        const struct worker_token *token = &old->tokens[i].info;
        if (!absence_has_token(fresh, token, i) && !absence_knows(absence, token))
            absence_add(absence, old, token->token);
    }
}

void absence_forget_all(struct absence *absence)
{
    while (absence->count > 0)
        absence_remove(absence, absence->count - 1);
}
