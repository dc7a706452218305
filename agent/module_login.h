/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tokens of a module and who may log in to them when. A PIN is tried once per time that a
 * source or a person gave it; what was refused is remembered here, beyond the life of a worker.
 */
#ifndef MTLS_AGENT_MODULE_LOGIN_H
#define MTLS_AGENT_MODULE_LOGIN_H

#include "agent/module.h"
#include "agent/worker.h"

#define MODULE_LOGIN_PIN_MS 60000u /* how long a source or a person may take */

/**
 * module_login_step() - ask the source of the worker's next token that needs it
 *
 * One login at a time in a module: a PIN that one worker finds bad is not tried by its siblings.
 * Return: true while the worker has a login under way or waits for its turn, false when nothing is
 * left to do for it.
 */
bool module_login_step(struct module *module, struct worker *worker);

/** module_login_handle_reply() - a LOGIN was answered. */
void module_login_handle_reply(struct module *module, struct worker *worker,
                               const struct worker_reply *reply);

/**
 * module_login_abort() - its worker ended during a login: whoever waits is answered
 * @worker:     NULL when the whole module ends
 *
 * A source's PIN that may have reached the token counts as given: the source is not asked again by
 * itself.
 */
void module_login_abort(struct module *module, const struct worker *worker);

/** module_login_tell() - an event about a token, for subscribers. */
void module_login_tell(struct module *module, const struct worker_token *token, const char *text);

/** module_login_note_context() - the source's PIN was refused for an always-authenticate key. */
void module_login_note_context(struct module *module, const struct worker_token *token,
                               const char *detail);

/** module_login_find_config() - the [token] section for a token; NULL: none. */
const struct config_token *module_login_find_config(const struct module *module,
                                                    const struct worker_token *token);

/** module_token_is() - what is remembered is about this token. */
bool module_token_is(const struct module_token *known, const struct worker_token *token);

/** module_login_find() - what is remembered of a token; NULL: nothing. */
struct module_token *module_login_find(const struct module *module,
                                       const struct worker_token *token);

/** module_login_has_source() - the PIN comes without a person. */
bool module_login_has_source(const struct module *module, const struct worker_token *token);

/** module_login_is_typed() - the worker holds a login that only a person could make again. */
bool module_login_is_typed(const struct module *module, const struct worker *worker);

/** module_login_token_is_typed() - the same of one token of a worker's inventory. */
bool module_login_token_is_typed(const struct module *module, const struct worker_token *token);

/** module_login_is_held() - the worker is logged in to a token, whoever gave the PIN. */
bool module_login_is_held(const struct worker *worker);

void module_login_free_tokens(struct module *module);

#endif
