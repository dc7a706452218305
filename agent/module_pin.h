/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PIN on its way to a token: asked for, had, in a login, kept. The PIN itself is in an ask-pin
 * process; these are its states. module_login.c makes the logins, module_prompt.c asks people,
 * module_keep.c ends what was kept.
 */
#ifndef MTLS_AGENT_MODULE_PIN_H
#define MTLS_AGENT_MODULE_PIN_H

#include "agent/module_login.h"
#include "agent/pin_source.h"

#define MODULE_PIN_HELD_MS 60000u /* a PIN that was given waits so long for its login */

enum module_pin_kind {
    MODULE_PIN_SOURCE, /* `pin = file:`, `command:` or `credential:` */
    MODULE_PIN_PROMPT, /* the agent asked a person */
    MODULE_PIN_KEYPAD, /* a person types it at the reader: we never have it */
    MODULE_PIN_RELAY,  /* `mtls unlock` */
};

struct module_pin {
    struct module *module;
    size_t token; /* its place in module->tokens, which never changes */
    enum module_pin_kind kind;
    struct pin_source *source; /* NULL: there was no process for it, see @fd */
    int fd;                    /* a RELAY's own pipe, for the worker as it is; -1: none */
    struct request *request;   /* the UNLOCK of a RELAY; NULL: none, or its client left */
    bool is_last_told;         /* the person knows that this may be the last try */
    /* When it was had (CLOCK_MONOTONIC); of a kept one when the token took it, and when the token
     * last signed (CLOCK_BOOTTIME: time asleep counts). */
    uint64_t since_ms;
    uint64_t used_ms;
};

/* A person is asked for the PIN of one token; one prompt for all who wait. */
struct module_prompt {
    pid_t pid;
    char *program; /* NULL: not known, like the next ones */
    char *key;
    char *destination;
    unsigned int attempt; /* counts from 1 */
    struct list waiters;  /* UNLOCKs without a PIN; sign requests wait elsewhere */
};

/** module_pin_new() - start the source. @fd: to relay, borrowed; -1. Return: 0, or -errno. */
int module_pin_new(struct module *module, size_t token, enum module_pin_kind kind,
                   const struct pin_ask *ask, int fd, struct module_pin **ret_pin) _must_check_;

/** module_pin_new_direct() - a RELAY without a process of its own. @fd: borrowed. Return: as above.
 */
int module_pin_new_direct(struct module *module, size_t token, int fd,
                          struct module_pin **ret_pin) _must_check_;

/** module_pin_record() - have the ledger written, where there is a process for it. */
void module_pin_record(const struct module_pin *pin, const struct pin_record *record);

/** module_pin_free() - not needed any more. Return: NULL. */
struct module_pin *module_pin_free(struct module_pin *pin);

/** module_pin_kill() - the PIN is gone when this returns. Return: NULL. */
struct module_pin *module_pin_kill(struct module_pin *pin);

/** module_pin_is_ready() - a login may be made with it. */
bool module_pin_is_ready(const struct module_pin *pin);

/** module_token_get_id() - label and serial in the form that the ledger and selectors take. */
struct worker_token module_token_get_id(const struct module_token *token);

/** module_login_resume() - a PIN is there: whoever may log in with it does. */
void module_login_resume(struct module *module);

/** module_login_drop_typed() - a PIN of a person that no worker has yet. Return: there was one. */
bool module_login_drop_typed(struct module *module, struct module_token *known, const char *why);

/** module_login_make_ask() - what the configured source is asked. Borrows from both. */
struct pin_ask module_login_make_ask(const struct module *module, const struct worker_token *token,
                                     const struct config_token *config);

/** module_login_is_risky() - tries are low: only a person's own PIN now is tried. */
bool module_login_is_risky(const struct module_token *known, const struct worker_token *token);

/** module_login_note() - what to do about a token, for its status. */
void module_login_note(struct module_token *token, const char *format, ...) _printf_(2, 3);

/** module_login_note_bad_source() - what the source gave is no good: it is not asked again before
 * somebody has looked at it. */
void module_login_note_bad_source(struct module_token *token, const char *detail);

/** module_login_drop_pin() - nobody takes it: whoever gave it, or waits for it, is answered. */
void module_login_drop_pin(struct module *module, struct module_token *token,
                           enum protocol_error_code code, const char *text);

/* ---- module_prompt.c */

#define MODULE_PROMPT_TEXT_MAX 900u /* of a dialog: it must fit a line of the pinentry protocol */

/** module_prompt_say() - what the dialog says: the token @wants something. */
void module_prompt_say(const struct module *module, const struct module_token *token,
                       const struct prompt_context *context, const char *wants,
                       char text[static MODULE_PROMPT_TEXT_MAX]);

/** module_prompt_find_obstacle() - 0: a person may be asked now; else why not. */
enum protocol_error_code module_prompt_find_obstacle(const struct module *module,
                                                     const struct module_token *token,
                                                     const struct worker_token *id,
                                                     const char **ret_text);

/**
 * module_prompt_explain() - what those who wait are told of a dialog that gave no PIN
 * @reason:     the dialog's own words
 *
 * No further dialog for a moment. Return: the code.
 */
enum protocol_error_code module_prompt_explain(struct module_token *token, enum pin_answer answer,
                                               const char *reason, char *text, size_t size);

/**
 * module_prompt_tell_keypad() - events and the desktop's notice: look at the reader
 * @key:        name of the key that it is for; NULL: not known
 */
void module_prompt_tell_keypad(struct module *module, const struct module_token *token,
                               const char *key);

/** module_prompt_tell_keypad_over() - nobody need look there any more. Fine when nobody was told.
 */
void module_prompt_tell_keypad_over(struct module *module, const struct module_token *token);

/** module_prompt_handle_answer() - the dialog has ended, one way or the other. */
void module_prompt_handle_answer(struct module *module, struct module_token *token);

/** module_prompt_handle_refusal() - the token did not take it: ask again, or end. */
void module_prompt_handle_refusal(struct module *module, struct module_token *token,
                                  const struct worker_reply *reply);

/**
 * module_prompt_end() - whoever waits is answered
 * @code:       0: the token is open
 */
void module_prompt_end(struct module *module, struct module_token *token,
                       enum protocol_error_code code, const char *text);

/** module_prompt_cancel() - close the dialog; whoever waits is answered, see agent_login_ended().
 */
void module_prompt_cancel(struct module *module, struct module_token *token,
                          enum protocol_error_code code, const char *why);

/** module_prompt_check() - close what nobody waits for any more. True while any is open. */
bool module_prompt_check(struct module *module, uint64_t now_ms);

/** module_prompt_forget() - the client of an UNLOCK left. */
void module_prompt_forget(struct module *module, const struct request *request);

/* ---- module_keep.c */

/** module_keep() - the token took this PIN. Takes @pin: it is kept, or freed. */
void module_keep(struct module *module, struct module_token *token, struct module_pin *pin);

/** module_keep_drop() - forget the kept PIN of a token; the login stays. */
void module_keep_drop(struct module_token *token, const char *why);

/** module_keep_end_login() - a login has ended: what was forgotten meanwhile, or lost, goes. */
void module_keep_end_login(struct module_token *token);

/** module_keep_close() - end every login to a token, so that its PIN is needed again. */
void module_keep_close(struct module *module, struct module_token *token, const char *why);

/** module_keep_expire() - the timer: end what is over. */
void module_keep_expire(struct module *module);

#endif
