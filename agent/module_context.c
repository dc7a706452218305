/* SPDX-License-Identifier: Apache-2.0 */
/* PINs for single signatures; see module_context.h. */
#include "agent/module_context.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/module_internal.h"
#include "agent/module_pin.h"
#include "agent/pin_ledger.h"
#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"

static const struct config_key *module_context_find_key(const struct module *module,
                                                        const struct sign_request *request)
{
    const struct keyring_key *key = keyring_find(module->agent->keyring, request->key_hash);

    return key ? key->config : NULL;
}

/* The kept PIN does for this key, and nothing speaks against it. */
static bool module_context_may_use_kept(const struct module *module,
                                        const struct module_token *known,
                                        const struct worker_token *token,
                                        const struct sign_request *request)
{
    const struct config_key *config = module_context_find_key(module, request);

    return config && config->pin_cache && known->kept && module_pin_is_ready(known->kept) &&
           !known->is_locked_by_person && !module_login_is_risky(known, token);
}

static enum module_context module_context_give(struct pin_source *source, int *ret_fd,
                                               enum protocol_error_code *ret_code,
                                               const char **ret_text)
{
    if (pin_source_give(source, NULL, ret_fd) == 0)
        return MODULE_CONTEXT_READY;
    *ret_code = PROTOCOL_E_BUSY;
    *ret_text = "the PIN could not be asked for; try again";
    return MODULE_CONTEXT_FAILED;
}

static void module_context_ask_next(struct module *module);
static void module_context_ask_sources(struct module *module);

/* From the loop: whoever ends a request may be in the middle of anything. */
static int module_context_handle_next(sd_event_source *source, void *userdata)
{
    (void)source;
    module_context_ask_next(userdata);
    module_context_ask_sources(userdata);
    module_pump(userdata);
    return 0;
}

static void module_context_schedule(struct module *module)
{
    int r = module->context_next
                ? sd_event_source_set_enabled(module->context_next, SD_EVENT_ONESHOT)
                : sd_event_add_defer(module->agent->event, &module->context_next,
                                     module_context_handle_next, module);

    if (r < 0)
        log_error("%s: cannot schedule a question for a PIN: %s", module_get_name(module),
                  strerror(-r));
}

/* What the token says to this PIN is known, or it will not see it: the next one may go. */
static void module_context_release(struct sign_request *request)
{
    struct module *module = request->pin_module;
    struct module_token *known = module ? &module->tokens[request->pin_token] : NULL;

    if (known && request->pin_is_told)
        module_prompt_tell_keypad_over(module, known);
    request->pin_is_told = false;
    if (!known || known->source_request != request)
        return;
    known->source_request = NULL;
    module_context_schedule(module);
}

/* It waits no more: neither for its turn to be asked about, nor for the answer. */
static void module_context_leave(struct sign_request *request)
{
    list_remove(&request->pin_link);
    request->waits_for_pin = false;
    if (request->module->context_request == request)
        request->module->context_request = NULL;
}

static void module_context_fail(struct sign_request *request, enum protocol_error_code code,
                                const char *text)
{
    module_context_leave(request);
    sign_request_fail(request, code, text);
}

/* It has its PIN, or has to find another. */
static void module_context_put_back(struct sign_request *request)
{
    module_context_leave(request);
    fair_queue_put_back(&request->module->queue, &request->item);
}

/* Why the source, or the dialog, gave no PIN. */
static enum protocol_error_code module_context_explain(struct sign_request *request,
                                                       struct module_token *known, char *text,
                                                       size_t size)
{
    struct pin_source *source = request->pin_source;

    if (request->pin_tries != WORKER_TRIES_SAFE)
        return module_prompt_explain(known, pin_source_get_answer(source), pin_source_text(source),
                                     text, size);
    (void)snprintf(text, size, "%s", pin_source_text(source));
    return PROTOCOL_E_PIN;
}

/* The dialog has ended, or the source has answered. */
static void module_context_changed(struct pin_source *source, void *userdata)
{
    struct sign_request *request = userdata;
    char text[PROTOCOL_TEXT_MAX];

    /* Later it may be with a worker, whose answer will tell, or with no module at all. */
    if (!request->waits_for_pin)
        return;
    struct module *module = request->module;
    struct module_token *known = &module->tokens[request->pin_token];
    if (pin_source_get_state(source) == PIN_SOURCE_READY) {
        request->pin_is_told = request->pin_is_typed;
        if (request->pin_is_typed)
            module_prompt_tell_keypad(module, known, request->key_name);
        module_context_put_back(request);
    } else {
        enum protocol_error_code code = module_context_explain(request, known, text, sizeof(text));
        module_context_fail(request, code, text);
    }
    module_context_ask_next(module);
    module_context_ask_sources(module);
    module_pump(module);
}

static int module_context_ask(struct module *module, struct sign_request *request)
{
    struct module_token *known = &module->tokens[request->pin_token];
    const struct prompt_context context = {
        .pid = request->peer->pid, .program = request->peer->exe, .key = request->key_name};
    char text[MODULE_PROMPT_TEXT_MAX];

    module_prompt_say(module, known, &context, "wants its PIN for one signature", text);
    request->pin_is_typed = known->flags & WORKER_TOKEN_PIN_PAD;
    const struct pin_ask ask = {
        .kind = request->pin_is_typed ? PIN_KIND_PRESENCE : PIN_KIND_PROMPT,
        .timeout_ms = MODULE_LOGIN_PIN_MS,
        .ledger = wire_span_from_text(pin_ledger_path(module->agent->ledger)),
        .pinentry = wire_span_from_text(module->agent->config->pinentry),
        .client_pid = request->peer->pid > 0 ? (uint32_t)request->peer->pid : 0,
        .text = wire_span_from_text(text),
    };
    request->pin_tries = request->pin_is_typed || (known->flags & WORKER_TOKEN_PIN_FINAL_TRY)
                             ? WORKER_TRIES_ALL
                             : WORKER_TRIES_BUT_LAST;
    return pin_source_new(module->agent->event, &ask, -1, module_context_changed, request,
                          &request->pin_source);
}

/* The next dialog, when none stands. */
static void module_context_ask_next(struct module *module)
{
    while (!module->context_request && !list_is_empty(&module->context_requests)) {
        struct sign_request *request =
            list_entry(module->context_requests.next, struct sign_request, pin_link);
        struct module_token *known = &module->tokens[request->pin_token];
        const struct worker_token id = module_token_get_id(known);
        const char *text = NULL;
        list_remove(&request->pin_link);
        module->context_request = request;
        enum protocol_error_code code = module_prompt_find_obstacle(module, known, &id, &text);
        if (code)
            module_context_fail(request, code, text);
        else if (module_context_ask(module, request))
            module_context_fail(request, PROTOCOL_E_BUSY,
                                "the PIN could not be asked for; try again");
    }
}

/* Asks the token's source for a request at the front. It is in the list no more if it is not asked.
 */
static void module_context_ask_source(struct module *module, struct sign_request *request)
{
    struct module_token *known = &module->tokens[request->pin_token];
    const struct worker_token id = module_token_get_id(known);
    const struct config_token *config = module_login_find_config(module, &id);

    /* The configuration was loaded meanwhile. */
    if (!config || config->pin == CONFIG_PIN_ASK) {
        module_context_put_back(request);
        return;
    }
    if (known->pin_is_bad) {
        module_context_fail(request, PROTOCOL_E_PIN, known->text);
        return;
    }
    if (known->is_locked_by_person) {
        const char *text = NULL;
        enum protocol_error_code code = module_refuse_locked(module, &id, &text);
        module_context_fail(request, code, text);
        return;
    }
    const struct pin_ask ask = module_login_make_ask(module, &id, config);
    request->pin_tries = WORKER_TRIES_SAFE;
    known->source_request = request;
    if (pin_source_new(module->agent->event, &ask, -1, module_context_changed, request,
                       &request->pin_source))
        module_context_fail(request, PROTOCOL_E_BUSY, "the PIN could not be asked for; try again");
}

/* The next request whose source may be asked: one of a token at a time, so that a PIN which the
 * token refuses is not on its way to it for others. */
static struct sign_request *module_context_next_source(const struct module *module)
{
    list_for_each (link, &module->context_sources) {
        struct sign_request *request = list_entry(link, struct sign_request, pin_link);
        if (!module->tokens[request->pin_token].source_request)
            return request;
    }
    return NULL;
}

static void module_context_ask_sources(struct module *module)
{
    struct sign_request *request = NULL;

    while ((request = module_context_next_source(module)))
        module_context_ask_source(module, request);
}

static enum module_context module_context_wait(struct module *module, struct sign_request *request,
                                               struct list *where)
{
    request->waits_for_pin = true;
    list_append(where, &request->pin_link);
    module_context_schedule(module);
    return MODULE_CONTEXT_WAITS;
}

static enum module_context
module_context_ask_person(struct module *module, struct module_token *known,
                          const struct worker_token *token, struct sign_request *request,
                          enum protocol_error_code *ret_code, const char **ret_text)
{
    if (module->agent->config->asks_nobody) {
        *ret_code = PROTOCOL_E_LOCKED;
        *ret_text = "this key wants its PIN for every signature, and people are not asked "
                    "(pinentry = none): give its [token] section a source";
        return MODULE_CONTEXT_FAILED;
    }
    enum protocol_error_code code = module_prompt_find_obstacle(module, known, token, ret_text);
    if (code) {
        *ret_code = code;
        return MODULE_CONTEXT_FAILED;
    }
    known->flags |= token->flags;
    return module_context_wait(module, request, &module->context_requests);
}

enum module_context module_context_start(struct module *module, const struct worker_token *token,
                                         struct sign_request *request, int *ret_fd,
                                         enum protocol_error_code *ret_code, const char **ret_text)
{
    struct module_token *known = module_login_get(module, token);
    const struct config_token *config = module_login_find_config(module, token);

    if (!known) {
        *ret_code = PROTOCOL_E_INTERNAL;
        *ret_text = "out of memory";
        return MODULE_CONTEXT_FAILED;
    }
    size_t place = (size_t)(known - module->tokens);
    /* Another token may take the request over, but never the PIN. */
    if (request->pin_module != module || request->pin_token != place)
        module_context_drop(request);
    request->pin_module = module;
    request->pin_token = place;
    request->pin_is_kept = false;
    bool was_asked =
        request->pin_source && pin_source_get_state(request->pin_source) == PIN_SOURCE_READY;
    if (was_asked && request->pin_is_typed)
        return MODULE_CONTEXT_READY; /* without a pipe */
    if (was_asked && request->pin_tries == WORKER_TRIES_SAFE && known->pin_is_bad) {
        *ret_code = PROTOCOL_E_PIN; /* a login has found that out meanwhile */
        *ret_text = known->text;
        return MODULE_CONTEXT_FAILED;
    }
    if (was_asked)
        return module_context_give(request->pin_source, ret_fd, ret_code, ret_text);
    request->pin_source = pin_source_free(request->pin_source);
    module_context_release(request);
    request->pin_is_typed = false;
    if (module_context_may_use_kept(module, known, token, request)) {
        request->pin_is_kept = true;
        request->pin_tries = WORKER_TRIES_SAFE;
        return module_context_give(known->kept->source, ret_fd, ret_code, ret_text);
    }
    if (config && config->pin != CONFIG_PIN_ASK)
        return module_context_wait(module, request, &module->context_sources);
    return module_context_ask_person(module, known, token, request, ret_code, ret_text);
}

void module_context_drop(struct sign_request *request)
{
    module_context_release(request);
    request->pin_source = pin_source_free(request->pin_source);
    request->pin_module = NULL;
    request->pin_is_typed = false;
    request->pin_is_kept = false;
    request->pin_tries = WORKER_TRIES_SAFE;
}

void module_context_end(struct sign_request *request)
{
    module_context_release(request);
    if (!request->waits_for_pin)
        return;
    module_context_leave(request);
    module_context_schedule(request->module);
}

/* The ledger has of signatures only what is news: two writes to the disk for each would be much. */
static void module_context_record(struct module *module, const struct worker_token *token,
                                  struct pin_source *source, bool is_by_person, bool is_refused)
{
    const struct pin_record *record =
        pin_ledger_note(module->agent->ledger, token,
                        is_by_person ? NULL : pin_source_identity(source), is_refused);

    if (record)
        pin_source_record(source, record);
}

void module_context_note(struct module *module, const struct worker_token *token,
                         struct sign_request *request, const struct worker_reply *reply)
{
    struct module_token *known = module_login_get(module, token);
    bool is_refused = reply->result == WORKER_E_PIN || reply->result == WORKER_E_PIN_BLOCKED;
    struct pin_source *source = request->pin_is_kept
                                    ? (known && known->kept ? known->kept->source : NULL)
                                    : request->pin_source;
    char text[PROTOCOL_TEXT_MAX / 2];

    /* The next dialog tells of the tries that are left now. */
    if (known && (is_refused || reply->result == WORKER_E_REFUSED))
        known->flags = reply->token_flags;
    if (!known || !source || (!is_refused && reply->result != WORKER_OK))
        return;
    bool is_by_person = request->pin_is_kept || request->pin_tries != WORKER_TRIES_SAFE;
    pin_source_read(source);
    module_context_record(module, token, source, is_by_person, is_refused);
    if (!is_refused) {
        known->flags &= ~(uint32_t)(WORKER_TOKEN_PIN_COUNT_LOW | WORKER_TOKEN_PIN_FINAL_TRY);
        return;
    }
    if (request->pin_is_kept)
        module_keep_drop(known, "the token did not take it for a signature");
    else if (!is_by_person)
        module_login_note_context(module, token, escape_text(reply->text, text, sizeof(text)));
}

const char *module_context_text(struct sign_request *request, const struct worker_reply *reply,
                                char text[static PROTOCOL_TEXT_MAX])
{
    /* It said why before the worker saw the end of the pipe. */
    if (reply->result == WORKER_E_PIN_SOURCE && request->pin_source) {
        pin_source_read(request->pin_source);
        (void)snprintf(text, PROTOCOL_TEXT_MAX, "%s", pin_source_text(request->pin_source));
        if (*text)
            return text;
    }
    return escape_text(reply->text, text, PROTOCOL_TEXT_MAX);
}

void module_context_flush(struct module *module, enum protocol_error_code code, const char *text)
{
    struct sign_request *asked = module->context_request;

    while (!list_is_empty(&module->context_requests))
        module_context_fail(
            list_entry(module->context_requests.next, struct sign_request, pin_link), code, text);
    if (asked)
        module_context_fail(asked, code, text);
}

void module_context_stop_sources(struct module *module)
{
    while (!list_is_empty(&module->context_sources))
        module_context_put_back(
            list_entry(module->context_sources.next, struct sign_request, pin_link));
}
