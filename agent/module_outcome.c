/* SPDX-License-Identifier: Apache-2.0 */
/* What became of a login: the answer is remembered, told, and written down; see module_login.h. */
#include <string.h>

#include "agent/agent.h"
#include "agent/module_internal.h"
#include "agent/module_pin.h"
#include "agent/pin_ledger.h"
#include "agent/token_request.h"
#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"

/* So often a source is asked again after logins in a row that broke off. */
#define LOGIN_REPEATS 1u
#define LOGIN_REPEATS_PROVED 2u /* its PIN has opened the token before */

/* The PIN may be right, but too few tries are left to find out: a reload would not help. */
static void module_login_note_refused(struct module_token *token, const char *detail)
{
    token->pin_is_bad = true;
    module_login_note(token, "%s; use `mtls unlock`", detail);
}

static bool module_login_is_refusal(enum worker_result result)
{
    return result == WORKER_E_PIN || result == WORKER_E_PIN_BLOCKED;
}

/* What the token has seen of the PIN. */
static enum pin_outcome module_login_get_outcome(const struct worker *worker,
                                                 const struct worker_reply *reply)
{
    if (reply->result == WORKER_OK)
        return PIN_OUTCOME_ACCEPTED;
    /* Nothing was typed at the reader. */
    if (worker->login_is_keypad && reply->result == WORKER_E_MODULE)
        return PIN_OUTCOME_NOT_TRIED;
    if (!worker_may_have_tried_pin(worker))
        return PIN_OUTCOME_NOT_TRIED;
    return reply->result == WORKER_E_STATE_LOST ? PIN_OUTCOME_UNCLEAR : PIN_OUTCOME_REFUSED;
}

/*
 * Whether a source is asked again after a login that broke off. A right PIN loses nothing by that,
 * as the token counts anew when it takes it; a wrong one costs what is bounded here, and never the
 * last tries of a token that tells of them (WORKER_TRIES_SAFE).
 */
static bool module_login_may_repeat(const struct module_token *known)
{
    return known->broken_off <= (known->source_is_proved ? LOGIN_REPEATS_PROVED : LOGIN_REPEATS);
}

/* Has the ledger say what became of a try. Return: REFUSED as well where it is to count as that. */
static enum pin_outcome module_login_settle(struct module *module, struct module_token *known,
                                            const struct module_pin *pin, enum pin_outcome outcome)
{
    const struct worker_token id = module_token_get_id(known);

    bool is_of_source = pin->kind == MODULE_PIN_SOURCE && pin != known->kept;

    known->broken_off += is_of_source && outcome == PIN_OUTCOME_UNCLEAR;
    if (outcome == PIN_OUTCOME_UNCLEAR && !(is_of_source && module_login_may_repeat(known)))
        outcome = PIN_OUTCOME_REFUSED;
    module_pin_record(pin, pin_ledger_end(module->agent->ledger, &id, outcome));
    return outcome;
}

/* The source is not asked again by itself. */
static void module_login_note_broken_off(struct module_token *token)
{
    token->pin_is_bad = true;
    module_login_note(token, "%s",
                      "the login broke off, so the PIN may have cost a try: reload the agent "
                      "(SIGHUP) to try it again, or use `mtls unlock`");
}

/* Remembers what came out of a source's login, in words for the status. */
static void module_login_record_source(struct module_token *token, const struct module_pin *pin,
                                       const struct worker_reply *reply, enum pin_outcome outcome)
{
    char detail[PROTOCOL_TEXT_MAX / 2];

    escape_text(reply->text, detail, sizeof(detail));
    if (reply->result == WORKER_E_PIN_SOURCE && pin->source && *pin_source_text(pin->source))
        (void)snprintf(detail, sizeof(detail), "%s", pin_source_text(pin->source));
    if (reply->result == WORKER_E_STATE_LOST && outcome == PIN_OUTCOME_REFUSED)
        module_login_note_broken_off(token);
    else if (reply->result == WORKER_E_STATE_LOST)
        module_login_note(token, "%s", detail); /* the next worker asks for the PIN again */
    else if (reply->result == WORKER_E_REFUSED)
        module_login_note_refused(token, detail);
    else
        module_login_note_bad_source(token, detail);
}

static const char module_login_undone_text[] =
    "the login ended with its process, which is being replaced: the token was locked, or the "
    "configuration loaded; try again";

/* A login in a worker that is about to end is none. */
static bool module_login_lasts(const struct worker *worker)
{
    return worker->state == WORKER_STATE_READY || worker->state == WORKER_STATE_LOGIN;
}

/* The answer of a login that a person asked for. */
static void module_login_answer(struct request *request, const struct worker *worker,
                                const struct worker_reply *reply)
{
    char text[PROTOCOL_TEXT_MAX];
    enum protocol_error_code code = PROTOCOL_E_PIN;

    if (reply->result == WORKER_OK && !module_login_lasts(worker)) {
        token_request_fail(request, PROTOCOL_E_BUSY, module_login_undone_text);
        return;
    }
    if (reply->result == WORKER_OK) {
        token_request_succeed(request);
        return;
    }
    if (reply->result == WORKER_E_MODULE || reply->result == WORKER_E_BAD_REQUEST)
        code = PROTOCOL_E_INTERNAL;
    if (reply->result == WORKER_E_STATE_LOST)
        code = PROTOCOL_E_TOKEN_GONE;
    token_request_fail(request, code, escape_text(reply->text, text, sizeof(text)));
}

/* The token is open. Only a person unlocks, and not in a worker that a later `mtls lock` ended. */
static void module_login_accept(struct module *module, const struct worker *worker,
                                struct module_token *known, struct module_pin *pin)
{
    bool is_by_person = pin != known->kept && pin->kind != MODULE_PIN_SOURCE;

    /* A person's PIN says nothing about the source's. */
    known->pin_is_bad &= is_by_person;
    if (pin->kind == MODULE_PIN_SOURCE) {
        known->source_is_proved = true;
        known->broken_off = 0;
    }
    known->is_blocked = false;
    if (!known->pin_is_bad)
        known->text[0] = '\0';
    if (pin == known->kept)
        return;
    known->pin = NULL;
    if (is_by_person && !module_login_lasts(worker)) {
        (void)module_pin_free(pin);
        module_prompt_end(module, known, PROTOCOL_E_BUSY, module_login_undone_text);
        return;
    }
    if (is_by_person)
        known->is_locked_by_person = false;
    module_keep(module, known, pin);
    module_prompt_end(module, known, 0, "");
}

/* The token is not open. */
static void module_login_reject(struct module *module, struct module_token *known,
                                struct module_pin *pin, const struct worker_reply *reply,
                                enum pin_outcome outcome)
{
    bool was_tried = outcome != PIN_OUTCOME_NOT_TRIED;

    if (reply->result == WORKER_E_PIN_BLOCKED)
        known->is_blocked = true;
    if (pin == known->kept) {
        if (was_tried || module_login_is_refusal(reply->result))
            module_keep_drop(known, "the token did not take it");
        return;
    }
    if (pin->kind == MODULE_PIN_SOURCE) {
        module_login_record_source(known, pin, reply, outcome);
        known->pin = module_pin_free(pin);
    } else if (pin->kind == MODULE_PIN_RELAY || reply->result != WORKER_E_STATE_LOST || was_tried) {
        known->pin = module_pin_free(pin);
        /* It may have taken the place of the source, whose turn it is now. */
        list_for_each (link, &module->workers)
            list_entry(link, struct worker, link)->login_next = 0;
        module_prompt_handle_refusal(module, known, reply);
    }
}

static void module_login_log(const struct worker *worker, const struct module_token *known,
                             bool is_by_person, const struct worker_reply *reply)
{
    char label[256];

    escape_cstring(known->label, label, sizeof(label));
    if (reply->result == WORKER_OK)
        log_info("%s: logged in to token \"%s\"", worker->name, label);
    else
        log_warning("%s: login to token \"%s\" failed: %s", worker->name, label,
                    is_by_person ? "see the answer" : known->text);
}

void module_login_handle_reply(struct module *module, struct worker *worker,
                               const struct worker_reply *reply)
{
    struct module_pin *pin = TAKE_PTR(module->login_pin);
    struct module_token *known = &module->tokens[pin->token];
    const struct worker_token id = module_token_get_id(known);
    struct request *request = TAKE_PTR(pin->request);
    bool is_by_person = pin->kind != MODULE_PIN_SOURCE;

    module->login_worker = NULL;
    known->flags = reply->token_flags;
    enum pin_outcome outcome =
        module_login_settle(module, known, pin, module_login_get_outcome(worker, reply));
    if (reply->result == WORKER_OK)
        module_login_accept(module, worker, known, pin);
    else
        module_login_reject(module, known, pin, reply, outcome);
    module_keep_end_login(known);
    module_login_log(worker, known, is_by_person, reply);
    module_login_tell(module, &id, reply->result == WORKER_OK ? "unlocked" : "not unlocked");
    if (request)
        module_login_answer(request, worker, reply);
}

/* The worker, or with NULL the whole module, ended while it had this PIN. */
static void module_login_abort_pin(struct module *module, const struct worker *worker,
                                   struct module_token *known, struct module_pin *pin,
                                   bool was_tried)
{
    static const char text[] = "the token's module failed during the login; try again";
    enum protocol_error_code code =
        worker && worker->end == WORKER_END_TIMEOUT ? PROTOCOL_E_TIMEOUT : PROTOCOL_E_INTERNAL;
    enum pin_outcome outcome = module_login_settle(
        module, known, pin, was_tried ? PIN_OUTCOME_UNCLEAR : PIN_OUTCOME_NOT_TRIED);

    if (pin == known->kept) {
        if (was_tried)
            module_keep_drop(known, "the module failed while it had it");
    } else if (pin->kind == MODULE_PIN_SOURCE) {
        known->pin = module_pin_free(pin);
        if (outcome == PIN_OUTCOME_REFUSED)
            module_login_note_broken_off(known);
    } else if (!worker || was_tried || pin->kind == MODULE_PIN_RELAY) {
        module_login_drop_pin(module, known, code, text);
    } /* else it is for the next worker, within its time */
}

void module_login_abort(struct module *module, const struct worker *worker)
{
    const struct worker *in_login = TAKE_PTR(module->login_worker);
    struct module_pin *pin = TAKE_PTR(module->login_pin);

    if (pin) {
        struct module_token *known = &module->tokens[pin->token];
        module_login_abort_pin(module, worker, known, pin,
                               in_login && worker_may_have_tried_pin(in_login));
        module_keep_end_login(known);
    }
    for (size_t i = 0; !worker && i < module->token_count; i++) {
        if (module->tokens[i].pin)
            module_login_drop_pin(module, &module->tokens[i], PROTOCOL_E_BUSY,
                                  "the agent is ending");
        module_prompt_end(module, &module->tokens[i], PROTOCOL_E_BUSY, "the agent is ending");
    }
}
