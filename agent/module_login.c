/* SPDX-License-Identifier: Apache-2.0 */
/* Logins; see module_login.h. */
#include "agent/module_login.h"

#include <stdarg.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/module_internal.h"
#include "agent/module_pin.h"
#include "agent/module_readers.h"
#include "agent/pin_ledger.h"
#include "agent/selector.h"
#include "agent/token_request.h"
#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"

const struct config_token *module_login_find_config(const struct module *module,
                                                    const struct worker_token *token)
{
    const struct config *config = module->agent->config;

    for (size_t i = 0; i < config->token_count; i++)
        if (selector_matches_token(config->tokens[i]->selector, module_get_name(module), token))
            return config->tokens[i];
    return NULL;
}

/* `pin =` names a source. */
static bool module_login_is_configured(const struct module *module,
                                       const struct worker_token *token)
{
    const struct config_token *config = module_login_find_config(module, token);

    return config && config->pin != CONFIG_PIN_ASK;
}

bool module_login_has_source(const struct module *module, const struct worker_token *token)
{
    const struct module_token *known = module_login_find(module, token);

    return (known && known->kept) || module_login_is_configured(module, token);
}

static bool module_login_is_asking(const struct module_token *known)
{
    return known && known->pin && known->pin->kind == MODULE_PIN_SOURCE &&
           !module_pin_is_ready(known->pin);
}

bool module_login_waits_for_source(const struct module *module, const struct worker_token *token)
{
    return module_login_is_asking(module_login_find(module, token));
}

bool module_token_is(const struct module_token *known, const struct worker_token *token)
{
    const struct worker_token id = module_token_get_id(known);

    return inventory_is_same_token(&id, token);
}

struct module_token *module_login_find(const struct module *module,
                                       const struct worker_token *token)
{
    for (size_t i = 0; i < module->token_count; i++)
        if (module_token_is(&module->tokens[i], token))
            return &module->tokens[i];
    return NULL;
}

struct module_token *module_login_get(struct module *module, const struct worker_token *token)
{
    struct module_token *known = module_login_find(module, token);

    if (known || module->token_count >= WORKER_TOKENS_MAX)
        return known;
    struct module_token *tokens =
        reallocarray(module->tokens, module->token_count + 1, sizeof(*tokens));
    if (!tokens)
        return NULL;
    module->tokens = tokens;
    struct module_token fresh = {.label = wire_span_to_text(token->label),
                                 .serial = wire_span_to_text(token->serial),
                                 .flags = token->flags};
    if (!fresh.label || !fresh.serial) {
        free(fresh.label);
        free(fresh.serial);
        return NULL;
    }
    tokens[module->token_count] = fresh;
    return &tokens[module->token_count++];
}

void module_login_free_tokens(struct module *module)
{
    for (size_t i = 0; i < module->token_count; i++) {
        (void)module_pin_kill(module->tokens[i].pin);
        (void)module_pin_kill(module->tokens[i].kept);
        free(module->tokens[i].label);
        free(module->tokens[i].serial);
    }
    free(module->tokens);
}

/* The token is open because a PIN was given. */
static bool module_login_was_made(const struct worker_token *token)
{
    return (token->flags & WORKER_TOKEN_LOGIN_REQUIRED) && (token->flags & WORKER_TOKEN_LOGGED_IN);
}

bool module_login_is_held(const struct worker *worker)
{
    for (size_t i = 0; i < worker->inventory->token_count; i++)
        if (module_login_was_made(&worker->inventory->tokens[i].info))
            return true;
    return false;
}

bool module_login_token_is_typed(const struct module *module, const struct worker_token *token)
{
    const struct module_token *known = module_login_find(module, token);
    bool source_would_do =
        known && (known->kept || (module_login_is_configured(module, token) && !known->pin_is_bad));

    return module_login_was_made(token) && !source_would_do;
}

bool module_login_is_typed(const struct module *module, const struct worker *worker)
{
    for (size_t i = 0; i < worker->inventory->token_count; i++)
        if (module_login_token_is_typed(module, &worker->inventory->tokens[i].info))
            return true;
    return false;
}

void module_login_note(struct module_token *token, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(token->text, sizeof(token->text), format, args);
    va_end(args);
}

void module_login_note_bad_source(struct module_token *token, const char *detail)
{
    token->pin_is_bad = true;
    module_login_note(token, "%s; correct it and reload the agent (SIGHUP), or use `mtls unlock`",
                      detail);
}

bool module_login_is_risky(const struct module_token *known, const struct worker_token *token)
{
    return (known->flags | token->flags) &
           (WORKER_TOKEN_PIN_COUNT_LOW | WORKER_TOKEN_PIN_FINAL_TRY | WORKER_TOKEN_PIN_LOCKED);
}

struct pin_ask module_login_make_ask(const struct module *module, const struct worker_token *token,
                                     const struct config_token *config)
{
    static const enum pin_kind kinds[] = {[CONFIG_PIN_ASK] = PIN_KIND_PROMPT,
                                          [CONFIG_PIN_FILE] = PIN_KIND_FILE,
                                          [CONFIG_PIN_COMMAND] = PIN_KIND_COMMAND,
                                          [CONFIG_PIN_CREDENTIAL] = PIN_KIND_CREDENTIAL};
    const struct pin_ledger *ledger = module->agent->ledger;

    return (struct pin_ask){
        .kind = kinds[config->pin],
        .timeout_ms = MODULE_LOGIN_PIN_MS,
        .argument = wire_span_from_text(config->pin_argument),
        .refused = wire_span_from_text(pin_ledger_refused(ledger, token)),
        .ledger = wire_span_from_text(pin_ledger_path(ledger)),
    };
}

static int module_login_ask_source(struct module *module, struct module_token *known,
                                   const struct worker_token *token,
                                   const struct config_token *config)
{
    const struct pin_ask ask = module_login_make_ask(module, token, config);

    int r = module_pin_new(module, (size_t)(known - module->tokens), MODULE_PIN_SOURCE, &ask, -1,
                           &known->pin);
    if (!r)
        return 0;
    log_error("%s: cannot ask for the PIN: %s", module_get_name(module),
              strerror(r < 0 ? -r : EINVAL));
    module_login_note(known, "its PIN could not be asked for: %s", strerror(r < 0 ? -r : EINVAL));
    return r;
}

static enum worker_tries module_login_get_tries(const struct module_token *known,
                                                const struct module_pin *pin)
{
    if (pin == known->kept || pin->kind == MODULE_PIN_SOURCE)
        return WORKER_TRIES_SAFE;
    return pin->kind == MODULE_PIN_RELAY || pin->is_last_told ? WORKER_TRIES_ALL
                                                              : WORKER_TRIES_BUT_LAST;
}

/* Sends the LOGIN, and has the PIN follow it. */
static int module_login_send(struct module *module, struct worker *worker,
                             struct module_token *known, const struct worker_token *token,
                             struct module_pin *pin)
{
    struct pin_ledger *ledger = module->agent->ledger;
    bool is_keypad = pin->kind == MODULE_PIN_KEYPAD;
    /* A kept PIN that is refused says nothing of what its source has now. */
    const char *source = pin->kind == MODULE_PIN_SOURCE && pin != known->kept
                             ? pin_source_identity(pin->source)
                             : NULL;
    const struct pin_record *record = pin_ledger_begin(ledger, token, source);
    _cleanup_close_ int pin_fd = -1;

    int r = is_keypad || !pin->source ? 0 : pin_source_give(pin->source, record, &pin_fd);
    if (is_keypad)
        module_pin_record(pin, record);
    if (!r)
        r = worker_send_login(worker, token->token, pin->source ? pin_fd : pin->fd,
                              module_login_get_tries(known, pin), is_keypad, MODULE_LOGIN_PIN_MS);
    if (r) {
        module_pin_record(pin, pin_ledger_end(ledger, token, PIN_OUTCOME_NOT_TRIED));
        return r;
    }
    pin->fd = close_fd(pin->fd); /* it is given once */
    module->login_worker = worker;
    module->login_pin = pin;
    agent_watch(module->agent);
    return 0;
}

enum login_look {
    LOGIN_LOOK_WAIT, /* a login is under way, or will be */
    LOGIN_LOOK_NEXT, /* nothing can be done for this token now */
};

static enum login_look module_login_use(struct module *module, struct worker *worker,
                                        struct module_token *known,
                                        const struct worker_token *token, struct module_pin *pin)
{
    if (module->login_worker)
        return LOGIN_LOOK_WAIT;
    worker->login_next++;
    int r = module_login_send(module, worker, known, token, pin);
    if (!r)
        return LOGIN_LOOK_WAIT;
    worker->login_next--;
    log_error("%s: cannot send a login: %s", worker->name, strerror(-r));
    return LOGIN_LOOK_NEXT;
}

/* Whether the source may be asked for this token now. */
static bool module_login_may_ask(const struct module_token *known,
                                 const struct config_token *config)
{
    return config && config->pin != CONFIG_PIN_ASK && !known->pin_is_bad && !known->is_blocked &&
           !known->is_locked_by_person;
}

static enum login_look module_login_look(struct module *module, struct worker *worker,
                                         const struct worker_token *token)
{
    struct module_token *known = module_login_get(module, token);
    const struct config_token *config = module_login_find_config(module, token);

    if (!known || !inventory_token_is_locked(token))
        return LOGIN_LOOK_NEXT;
    /* What a signature, or another worker, has found out meanwhile. */
    if (known->pin && known->pin->kind == MODULE_PIN_SOURCE && known->pin_is_bad &&
        module_pin_is_ready(known->pin) && known->pin != module->login_pin)
        known->pin = module_pin_free(known->pin);
    if (known->pin && module_pin_is_ready(known->pin))
        return module_login_use(module, worker, known, token, known->pin);
    /* A person is not waited for: what needs no PIN goes on meanwhile. */
    if (known->pin)
        return known->pin->kind == MODULE_PIN_SOURCE ? LOGIN_LOOK_WAIT : LOGIN_LOOK_NEXT;
    /* The card is used through another module; a person may still have meant this one. */
    if (!module_readers_may_login(module, token))
        return LOGIN_LOOK_NEXT;
    if (known->kept && !known->is_locked_by_person && !module_login_is_risky(known, token))
        return module_login_use(module, worker, known, token, known->kept);
    if (!module_login_may_ask(known, config))
        return LOGIN_LOOK_NEXT;
    /* What the worker that is logging in now finds of this source is waited for. */
    if (module->login_worker)
        return LOGIN_LOOK_WAIT;
    return module_login_ask_source(module, known, token, config) ? LOGIN_LOOK_NEXT
                                                                 : LOGIN_LOOK_WAIT;
}

bool module_login_step(struct module *module, struct worker *worker)
{
    const struct inventory *inventory = worker->inventory;

    if (worker->login_is_pending)
        return true;
    while (worker->login_next < inventory->token_count) {
        if (module_login_look(module, worker, &inventory->tokens[worker->login_next].info) ==
            LOGIN_LOOK_WAIT)
            return true;
        worker->login_next++;
    }
    return false;
}

/* Nobody can log in with a PIN of a person: says why. 0: somebody can, or will. */
static enum protocol_error_code module_login_find_obstacle(const struct module *module,
                                                           const struct module_token *known,
                                                           const char **ret_text)
{
    const struct worker_token id = module_token_get_id(known);

    if (module_is_starting(module) || module->login_worker)
        return 0;
    list_for_each (link, &module->workers) {
        const struct worker *worker = list_entry(link, struct worker, link);
        const struct worker_token *seen = worker->state == WORKER_STATE_READY
                                              ? inventory_find_same(worker->inventory, &id, 0)
                                              : NULL;
        if (seen && inventory_token_is_locked(seen))
            return 0;
    }
    *ret_text = module->text[0] ? module->text : "the token is gone";
    return module_first_worker(module, WORKER_STATE_READY) ? PROTOCOL_E_TOKEN_GONE
                                                           : PROTOCOL_E_BUSY;
}

void module_login_drop_pin(struct module *module, struct module_token *token,
                           enum protocol_error_code code, const char *text)
{
    struct module_pin *pin = TAKE_PTR(token->pin);
    struct request *request = pin->request;

    (void)module_pin_free(pin);
    if (request)
        token_request_fail(request, code, text);
    module_prompt_end(module, token, code, text);
}

bool module_login_drop_typed(struct module *module, struct module_token *known, const char *why)
{
    char text[PROTOCOL_TEXT_MAX];

    /* One that a worker has may be in use: the worker ends. */
    if (!known->pin || known->pin->kind == MODULE_PIN_SOURCE || module->login_pin == known->pin)
        return false;
    (void)snprintf(text, sizeof(text), "the PIN was forgotten before it was used: %s", why);
    module_login_drop_pin(module, known, PROTOCOL_E_PIN, text);
    return true;
}

void module_login_resume(struct module *module)
{
    const char *text = NULL;

    list_for_each (link, &module->workers)
        list_entry(link, struct worker, link)->login_next = 0;
    module_advance_logins(module);
    for (size_t i = 0; i < module->token_count; i++) {
        struct module_token *known = &module->tokens[i];
        if (!known->pin || known->pin->kind == MODULE_PIN_SOURCE ||
            !module_pin_is_ready(known->pin))
            continue;
        enum protocol_error_code code = module_login_find_obstacle(module, known, &text);
        if (code)
            module_login_drop_pin(module, known, code, text);
    }
    module_pump(module);
}

void module_login_handle_source(struct module *module, struct module_token *token)
{
    struct module_pin *pin = TAKE_PTR(token->pin);
    const struct worker_token id = module_token_get_id(token);
    char label[256];

    module_login_note_bad_source(token, pin_source_text(pin->source));
    (void)module_pin_free(pin);
    log_warning("%s: no PIN for token \"%s\": %s", module_get_name(module),
                escape_cstring(token->label, label, sizeof(label)), token->text);
    module_login_tell(module, &id, "not unlocked");
    module_login_resume(module);
}

void module_login_tell(struct module *module, const struct worker_token *token, const char *text)
{
    _cleanup_free_ char *label = wire_span_to_text(token->label);

    if (label)
        agent_broadcast(module->agent, EVENT_TOKEN_CHANGED, label, text);
}

void module_login_note_context(struct module *module, const struct worker_token *token,
                               const char *detail)
{
    struct module_token *known = module_login_get(module, token);

    if (known)
        module_login_note_bad_source(known, detail);
}

enum protocol_error_code module_login_relay(struct module *module, const struct worker_token *token,
                                            int pin_fd, struct request *request,
                                            const char **ret_text)
{
    struct module_token *known = module_login_get(module, token);
    const struct pin_ask ask = {
        .kind = PIN_KIND_RELAY,
        .timeout_ms = MODULE_LOGIN_PIN_MS,
        .ledger = wire_span_from_text(pin_ledger_path(module->agent->ledger)),
    };

    if (token->flags & WORKER_TOKEN_PIN_PAD) {
        *ret_text =
            "the reader of this token takes PINs from its own keypad alone: run `mtls unlock "
            "--ask`";
        return PROTOCOL_E_PIN;
    }
    if (module->login_worker || (known && known->pin && known->pin->kind != MODULE_PIN_PROMPT &&
                                 !module_login_is_asking(known))) {
        *ret_text = "the token's module is busy with another login; try again";
        return PROTOCOL_E_BUSY;
    }
    struct module_pin *pin = NULL;
    size_t place = known ? (size_t)(known - module->tokens) : 0;
    int r = known ? module_pin_new(module, place, MODULE_PIN_RELAY, &ask, pin_fd, &pin) : -ENOMEM;
    /* Without a process between it goes all the same, but is neither kept nor in the ledger. */
    if (r && known) {
        log_warning("%s: no process to take a PIN: %s", module_get_name(module),
                    strerror(r < 0 ? -r : EINVAL));
        r = module_pin_new_direct(module, place, pin_fd, &pin);
    }
    if (r) {
        log_error("%s: cannot take a PIN: %s", module_get_name(module),
                  strerror(r < 0 ? -r : EINVAL));
        *ret_text = "the PIN could not be handed to the token's process";
        return PROTOCOL_E_INTERNAL;
    }
    /* Who typed it here need not type it into the dialog as well, nor wait for a source. */
    (void)module_pin_free(known->pin);
    known->pin = pin;
    pin->request = request;
    if (!pin->source)
        module_login_resume(module);
    return 0;
}

bool module_login_check(struct module *module, uint64_t now_ms)
{
    bool is_busy = module_prompt_check(module, now_ms);

    for (size_t i = 0; i < module->token_count; i++) {
        struct module_token *known = &module->tokens[i];
        struct module_pin *pin = known->pin;
        is_busy |= pin != NULL;
        if (!pin || pin == module->login_pin || !module_pin_is_ready(pin) ||
            !clock_is_over(now_ms, pin->since_ms, MODULE_PIN_HELD_MS))
            continue;
        module_login_drop_pin(module, known, PROTOCOL_E_TIMEOUT,
                              "the token was not there in time for its PIN; try again");
    }
    return is_busy;
}
