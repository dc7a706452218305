/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tokens that a module had and has no more: what was on them is remembered, so that their keys
 * are listed and a request for one of them can wait until the token is back. So are the keys that a
 * token shows to those alone who have logged in, while it is locked. Tokens are known by label and
 * serial. Only what a worker has reported is in here; it does not outlive the agent.
 */
#ifndef MTLS_AGENT_ABSENCE_H
#define MTLS_AGENT_ABSENCE_H

#include "agent/inventory.h"

#define ABSENCE_TOKENS_MAX 64u /* of one module; the one that is gone for longest is forgotten */

struct absent_token {
    struct inventory *inventory; /* a reference */
    uint32_t number;             /* of the token in it */
    bool is_locked;              /* the token is there, but hides some of these keys */
};

/* All zero: none. The one that went last is the last. */
struct absence {
    struct absent_token tokens[ABSENCE_TOKENS_MAX];
    size_t count;
};

/**
 * absence_update() - a fresh inventory takes the place of another
 * @old:        borrowed; NULL: there was none
 * @fresh:      borrowed; NULL: there is none
 *
 * Tokens of @old that are not in @fresh are absent from now on, those in @fresh are not: unless
 * they are locked now and do not show all that they had.
 */
void absence_update(struct absence *absence, struct inventory *old, const struct inventory *fresh);

/** absence_get_token() - the token of an entry; never NULL. */
const struct worker_token *absence_get_token(const struct absent_token *entry);

/** absence_forget_all() - release; it is empty afterwards. */
void absence_forget_all(struct absence *absence);

#endif
