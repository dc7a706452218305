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
    return worker_may_have_tried_pin(worker) ? PIN_OUTCOME_REFUSED : PIN_OUTCOME_NOT_TRIED;
}

static void module_login_end_ledger(struct module *module, const struct module_token *known,
                                    const struct module_pin *pin, enum pin_outcome outcome)
{
    const struct worker_token id = module_token_get_id(known);

    module_pin_record(pin, pin_ledger_end(module->agent->ledger, &id, outcome));
}

/* Remembers what came out of a source's login, in words for the status. */
static void module_login_record_source(const struct worker *worker, struct module_token *token,
                                       const struct module_pin *pin,
                                       const struct worker_reply *reply)
{
    char detail[PROTOCOL_TEXT_MAX / 2];

    escape_text(reply->text, detail, sizeof(detail));
    if (reply->result == WORKER_E_PIN_SOURCE && pin->source && *pin_source_text(pin->source))
        (void)snprintf(detail, sizeof(detail), "%s", pin_source_text(pin->source));
    /* A card that was not ready says nothing about the PIN: the next worker asks for it again. */
    if (reply->result == WORKER_E_STATE_LOST && !worker_may_have_tried_pin(worker))
        module_login_note(token, "%s", detail);
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
static void module_login_reject(struct module *module, struct worker *worker,
                                struct module_token *known, struct module_pin *pin,
                                const struct worker_reply *reply)
{
    bool was_tried = worker_may_have_tried_pin(worker);

    if (reply->result == WORKER_E_PIN_BLOCKED)
        known->is_blocked = true;
    if (pin == known->kept) {
        if (was_tried || module_login_is_refusal(reply->result))
            module_keep_drop(known, "the token did not take it");
        return;
    }
    if (pin->kind == MODULE_PIN_SOURCE) {
        module_login_record_source(worker, known, pin, reply);
        known->pin = module_pin_free(pin);
    } else if (pin->kind == MODULE_PIN_RELAY || reply->result != WORKER_E_STATE_LOST || was_tried) {
        known->pin = module_pin_free(pin);
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
    module_login_end_ledger(module, known, pin, module_login_get_outcome(worker, reply));
    if (reply->result == WORKER_OK)
        module_login_accept(module, worker, known, pin);
    else
        module_login_reject(module, worker, known, pin, reply);
    module_keep_end_login(known);
    module_login_log(worker, known, is_by_person, reply);
    module_login_tell(module, &id, reply->result == WORKER_OK ? "unlocked" : "not unlocked");
    if (request)
        module_login_answer(request, worker, reply);
}

/* The worker, or the whole module, ended while it had this PIN. */
static void module_login_abort_pin(struct module *module, const struct worker *worker,
                                   struct module_token *known, struct module_pin *pin)
{
    static const char text[] = "the token's module failed during the login; try again";
    bool was_tried = worker && worker_may_have_tried_pin(worker);
    enum protocol_error_code code =
        worker && worker->end == WORKER_END_TIMEOUT ? PROTOCOL_E_TIMEOUT : PROTOCOL_E_INTERNAL;

    module_login_end_ledger(module, known, pin,
                            was_tried ? PIN_OUTCOME_REFUSED : PIN_OUTCOME_NOT_TRIED);
    if (pin == known->kept) {
        if (was_tried)
            module_keep_drop(known, "the module failed while it had it");
        return;
    }
    if (pin->kind == MODULE_PIN_SOURCE) {
        known->pin = module_pin_free(pin);
        if (!was_tried)
            return;
        known->pin_is_bad = true;
        module_login_note(known, "%s",
                          "the module failed during the login, so the PIN may have been tried: "
                          "reload the agent (SIGHUP) to try it again, or use `mtls unlock`");
    } else if (!worker || was_tried || pin->kind == MODULE_PIN_RELAY) {
        module_login_drop_pin(module, known, code, text);
    } /* else it is for the next worker, within its time */
}

void module_login_abort(struct module *module, const struct worker *worker)
{
    struct module_pin *pin = TAKE_PTR(module->login_pin);

    module->login_worker = NULL;
    if (pin) {
        struct module_token *known = &module->tokens[pin->token];
        module_login_abort_pin(module, worker, known, pin);
        module_keep_end_login(known);
    }
    for (size_t i = 0; !worker && i < module->token_count; i++) {
        if (module->tokens[i].pin)
            module_login_drop_pin(module, &module->tokens[i], PROTOCOL_E_BUSY,
                                  "the agent is ending");
        module_prompt_end(module, &module->tokens[i], PROTOCOL_E_BUSY, "the agent is ending");
    }
}
