/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tokens of a module and who may log in to them when. A PIN is tried once per time that a
 * source or a person gave it; what was refused is remembered here, beyond the life of a worker, and
 * in the ledger, beyond that of the agent.
 */
#ifndef MTLS_AGENT_MODULE_LOGIN_H
#define MTLS_AGENT_MODULE_LOGIN_H

#include "agent/module.h"
#include "agent/worker.h"

#define MODULE_LOGIN_PIN_MS 60000u /* how long a source or a person may take */

/**
 * module_login_step() - log in to the worker's next token that needs it
 *
 * With a PIN that was just given, one that is kept, or one from its source, which is asked. One
 * login at a time in a module: a PIN that one worker finds bad is not tried by its siblings.
 * Return: true while the worker has a login under way or waits for its turn or for a source, false
 * when nothing is left to do for it.
 */
bool module_login_step(struct module *module, struct worker *worker);

/** module_login_handle_reply() - a LOGIN was answered. */
void module_login_handle_reply(struct module *module, struct worker *worker,
                               const struct worker_reply *reply);

/** module_login_handle_source() - a source was asked and has no PIN. */
void module_login_handle_source(struct module *module, struct module_token *token);

/**
 * module_login_abort() - its worker ended during a login: whoever waits is answered
 * @worker:     NULL when the whole module ends
 *
 * A source whose PIN may have reached the token is asked again, by the next worker: once, or twice
 * when it has opened the token before; after that not by itself.
 */
void module_login_abort(struct module *module, const struct worker *worker);

/** module_login_tell() - an event about a token, for subscribers. */
void module_login_tell(struct module *module, const struct worker_token *token, const char *text);

/** module_login_note_context() - the source's PIN was refused for an always-authenticate key. */
void module_login_note_context(struct module *module, const struct worker_token *token,
                               const char *detail);

/** module_login_relay() - log in with what comes through a person's pipe. As module_unlock(). */
enum protocol_error_code module_login_relay(struct module *module, const struct worker_token *token,
                                            int pin_fd, struct request *request,
                                            const char **ret_text);

/* What a prompt tells beside the token. Borrowed; any of the texts may be NULL. */
struct prompt_context {
    pid_t pid; /* whose display and terminal; 0: the agent's own */
    const char *program;
    const char *key;
    const char *destination; /* only when it was proved */
};

enum module_prompt_start {
    MODULE_PROMPT_STARTED,
    MODULE_PROMPT_UNDER_WAY,  /* for somebody else; its end is for all */
    MODULE_PROMPT_IMPOSSIBLE, /* nobody is asked; *ret_text says why */
};

/**
 * module_login_prompt() - a request waits for a token that is locked: ask a person for its PIN
 * @token:      of any inventory of the module; locked
 * @ret_code:   filled when it is impossible: what to answer with
 * @ret_text:   likewise: a sentence, valid until the next call
 *
 * Returns at once. How it ended is told by agent_login_ended(). A dialog closes when no request of
 * the token waits any more (agent_login_is_wanted()).
 */
enum module_prompt_start module_login_prompt(struct module *module,
                                             const struct worker_token *token,
                                             const struct prompt_context *context,
                                             enum protocol_error_code *ret_code,
                                             const char **ret_text);

/** module_login_wait() - as above, for an UNLOCK without a PIN: it is answered at the end.
 * Return: 0, or the code of the error to answer with; *ret_text then says why. */
enum protocol_error_code module_login_wait(struct module *module, const struct worker_token *token,
                                           const struct prompt_context *context,
                                           struct request *request, const char **ret_text);

/**
 * module_login_forget() - the person is away, or wants it so: forget every PIN that a person gave
 * @why:        a few words for the log and the event: "the screen was locked"
 *
 * Kept PINs are gone, dialogs closed, and logins that a person made end: their workers are
 * replaced. Tokens with a source of their own stay open. Return: how many tokens had one.
 */
size_t module_login_forget(struct module *module, const char *why);

/** module_login_stop() - the agent ends: nobody is asked any more. */
void module_login_stop(struct module *module);

/** module_login_removed() - a token is out: its kept PIN is gone, its dialog closed. */
void module_login_removed(struct module *module, const struct worker_token *token);

/** module_login_note_inventory() - a worker's list of tokens: those that are not in it are out. */
void module_login_note_inventory(struct module *module, const struct inventory *inventory);

/** module_login_note_use() - a token made a signature: `pin-cache-idle` begins anew. */
void module_login_note_use(struct module *module, const struct worker_token *token);

/** module_login_check() - what has a limit of time. True while something is under way. */
bool module_login_check(struct module *module, uint64_t now_ms);

/** module_login_find_config() - the [token] section for a token; NULL: none. */
const struct config_token *module_login_find_config(const struct module *module,
                                                    const struct worker_token *token);

/** module_token_is() - what is remembered is about this token. */
bool module_token_is(const struct module_token *known, const struct worker_token *token);

/** module_login_find() - what is remembered of a token; NULL: nothing. */
struct module_token *module_login_find(const struct module *module,
                                       const struct worker_token *token);

/** module_login_get() - as above, but remembers it from now on; NULL: there is no room. */
struct module_token *module_login_get(struct module *module, const struct worker_token *token);

/** module_login_waits_for_source() - its source was asked, and has not answered. */
bool module_login_waits_for_source(const struct module *module, const struct worker_token *token);

/** module_login_has_source() - the PIN comes without a person, as it is kept or configured. */
bool module_login_has_source(const struct module *module, const struct worker_token *token);

/** module_login_is_typed() - the worker holds a login that only a person could make again. */
bool module_login_is_typed(const struct module *module, const struct worker *worker);

/** module_login_token_is_typed() - the same of one token of a worker's inventory. */
bool module_login_token_is_typed(const struct module *module, const struct worker_token *token);

/** module_login_is_held() - the worker is logged in to a token, whoever gave the PIN. */
bool module_login_is_held(const struct worker *worker);

void module_login_free_tokens(struct module *module);

#endif
