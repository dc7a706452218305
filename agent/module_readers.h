/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a module does with cards that come and go: a token whose card has gone is gone at once, a
 * worker that has seen less than the readers show is replaced, a call on a card that is gone is
 * given a moment and then ended. And one card that two modules see counts once.
 */
#ifndef MTLS_AGENT_MODULE_READERS_H
#define MTLS_AGENT_MODULE_READERS_H

#include "agent/module.h"
#include "agent/worker.h"

struct inventory_key;

/** module_readers_changed() - a report of the readers changed something. */
void module_readers_changed(struct module *module);

/**
 * module_readers_take() - a worker has sent an inventory: what has gone since then is taken out
 *
 * The first module that uses PC/SC starts reader-watch here.
 */
void module_readers_take(struct module *module, struct worker *worker);

/** module_readers_note_failure() - it could not start, or hung: who has the card? */
void module_readers_note_failure(struct module *module);

/** module_readers_tell_new() - tokens of @fresh that were not in @module's inventory: events. */
void module_readers_tell_new(struct module *module, const struct inventory *fresh);

/**
 * module_readers_check() - a worker is ready: has it seen all that is there?
 *
 * Replaces it when a card came since it was started; and has the readers looked at again when there
 * is a card that no module sees.
 */
void module_readers_check(struct module *module, struct worker *worker);

/** module_readers_tell_of() - a token that is missing sits in a reader: no need to look for it. */
bool module_readers_tell_of(const struct module *module, const struct module_token *token);

/** module_readers_are_known() - nothing can have come that the module's workers have not seen. */
bool module_readers_are_known(const struct module *module);

/** module_readers_is_late() - the worker has not let go of a card that is gone. */
bool module_readers_is_late(struct worker *worker, uint64_t now_ms);

/**
 * module_readers_obstacle() - a card that the module may want and cannot have
 *
 * Return: a sentence that names reader and holder, valid until the next call; "" when there is
 * none.
 */
const char *module_readers_obstacle(const struct module *module);

/**
 * module_readers_first() - the module through which the card of a token is used instead
 *
 * Of the modules that see a card the one that stands first in the configuration is used, as long as
 * it can serve; the token is set aside in all others, also in one before it that cannot serve.
 * Return: that module, or NULL: @token is not set aside.
 */
const struct module *module_readers_first(const struct module *module,
                                          const struct worker_token *token);

/** module_readers_also() - another module that has the card of @token, too; NULL: none. */
const struct module *module_readers_also(const struct module *module,
                                         const struct worker_token *token);

/** module_readers_may_login() - a source may be asked: the token is not set aside, and no module
 * that stands before this one may soon turn out to have its card. */
bool module_readers_may_login(const struct module *module, const struct worker_token *token);

/** module_readers_reconsider() - this module can serve, or cannot any more: who comes first now? */
void module_readers_reconsider(struct module *module);

#endif
