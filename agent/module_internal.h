/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a module share and nobody else needs: module.c supervises its workers,
 * module_start.c starts them, module_rescan.c has them look again, module_queue.c moves requests,
 * module_login.c asks PIN sources, module_unlock.c serves people.
 */
#ifndef MTLS_AGENT_MODULE_INTERNAL_H
#define MTLS_AGENT_MODULE_INTERNAL_H

#include "agent/module.h"
#include "agent/worker.h"

/** module_first_worker() - any worker in this state; NULL: none. */
struct worker *module_first_worker(const struct module *module, enum worker_state state);

/** module_is_starting() - a worker may still come up, or is being replaced: requests can wait. */
bool module_is_starting(const struct module *module);

/** module_set_state() - and tell subscribers, and the modules that stand after this one. */
void module_set_state(struct module *module, enum module_state state);

/** module_settle() - its first outcome, good or bad: from then on clients need not wait for it. */
void module_settle(struct module *module);

/* ---- module_start.c */

/** module_callbacks - in module.c: what becomes of what workers send. */
extern const struct worker_callbacks module_callbacks;

/** module_start_init() - the timer for restarts. Return: 0, or -errno. */
int module_start_init(struct module *module) _must_check_;

/** module_start_missing() - the next worker, if one is missing and none is starting. */
void module_start_missing(struct module *module);

/** module_schedule() - the same, after a pause that grows with the failures in a row. */
void module_schedule(struct module *module);

/** module_certs_changed() - the certificates that go to workers are other ones than before, or than
 * at the last call. */
bool module_certs_changed(struct module *module);

/* ---- module_rescan.c */

/** module_misses_token() - a token that was there before is not in the inventory: it may come back,
 * and many modules do not see that before they are loaded anew. */
bool module_misses_token(const struct module *module, const struct inventory *inventory);

/** module_must_rescan() - the same of its own, and nobody will tell when it does. */
bool module_must_rescan(const struct module *module);

/** module_schedule_rescan() - look again in a while, which grows. */
void module_schedule_rescan(struct module *module);

/** module_rescan() - replace workers by fresh ones, which look again; but not one that would have
 * to ask a person. */
void module_rescan(struct module *module);

/* ---- the others */

/** module_login_again() - ask the sources of its tokens that it was not right to ask before. */
void module_login_again(struct module *module);
/**
 * module_start_on_demand() - a request has come in a pause between two starts
 *
 * A module that declined to start (no TPM, no HSM in reach) may find it again at any moment, and
 * trying costs little; one that crashed or hung is left to its pause.
 * Return: whether the request can wait for it now.
 */
bool module_start_on_demand(struct module *module);

/** module_set_text() - the last failure, for the status. */
void module_set_text(struct module *module, const char *format, ...) _printf_(2, 3);

/** module_retire() - let a worker finish what it has, and replace it by a fresh one. */
void module_retire(struct worker *worker);

/** module_note_success() - a signature was made: missing workers may start at once. */
void module_note_success(struct module *module);

/** module_note_failure() - a worker failed: how soon the next one starts depends on how often. */
void module_note_failure(struct module *module, const struct worker *worker);

/** module_pump() - hand on what workers have room for. May free a module that is leaving. */
void module_pump(struct module *module);

/** module_key_is_locked_by_person() - on every token that has it (`mtls lock`). */
bool module_key_is_locked_by_person(const struct module *module,
                                    const uint8_t hash[static PROTOCOL_KEY_HASH_LEN]);

/**
 * module_choose_key() - the key of a request on the token that is to sign
 *
 * Return: borrowed from the worker's inventory; NULL: none of its tokens can sign it now.
 */
const struct inventory_key *module_choose_key(const struct module *module,
                                              const struct worker *worker,
                                              const struct sign_request *request);

/** module_down_code() - its module cannot start: whether somebody can do something about it. */
enum protocol_error_code module_down_code(const struct module *module);

/** module_flush() - answer every waiting request with an error. */
void module_flush(struct module *module, enum protocol_error_code code, const char *text);

/** module_on_sign_reply() - a worker's answer to a request (struct worker_callbacks). */
void module_on_sign_reply(struct worker *worker, struct sign_request *request,
                          const struct worker_reply *reply, void *userdata);

/** module_settle_requests() - each request of an ended worker gets its answer, or another chance.
 */
void module_settle_requests(struct module *module, struct worker *worker, enum worker_end end);

/** module_refuse_locked() - the sentence and code for a key whose token is not logged in. */
enum protocol_error_code module_refuse_locked(const struct module *module,
                                              const struct worker_token *token,
                                              const char **ret_text);

/** module_advance_logins() - whose turn is it to log in? When there may be a next one. */
void module_advance_logins(struct module *module);

/** module_end_logins() - every worker that is logged in to a token logs out and is replaced. */
void module_end_logins(struct module *module, const struct worker_token *token);

/** module_set_pin_handle_reply() - a SET_PIN was answered. */
void module_set_pin_handle_reply(struct module *module, struct worker *worker,
                                 const struct worker_reply *reply);

/** module_set_pin_abort() - its worker, or with NULL the whole module, ended meanwhile. */
void module_set_pin_abort(struct module *module, const struct worker *worker);

/** module_resume_unlock() - an UNLOCK that waited goes to the worker that has come up. */
void module_resume_unlock(struct module *module, struct worker *worker);

/** module_fail_unlock() - no worker came up for the UNLOCK that waits. */
void module_fail_unlock(struct module *module, const char *text);

#endif
