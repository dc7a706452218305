/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking a person for a token's PIN: one dialog for all who wait, three attempts at most, and a
 * pause after one that was closed, so that programs which try again do not storm the screen. The
 * dialog itself is ask-pin's.
 */
#include <string.h>

#include "agent/agent.h"
#include "agent/module_internal.h"
#include "agent/module_pin.h"
#include "agent/module_release.h"
#include "agent/pin_ledger.h"
#include "agent/token_request.h"
#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"

#define PROMPT_ATTEMPTS_MAX 3u
#define PROMPT_PAUSE_MS 10000u /* after a dialog that gave no PIN */
/* What a dialog shows of each: all together must fit MODULE_PROMPT_TEXT_MAX. */
#define PROMPT_NAME_MAX 100u
#define PROMPT_PROGRAM_MAX 160u

/* An UNLOCK without a PIN. */
struct prompt_waiter {
    struct list link;
    struct request *request;
};

static struct module_prompt *module_prompt_free(struct module_prompt *prompt)
{
    if (!prompt)
        return NULL;
    list_for_each_safe (link, &prompt->waiters) {
        list_remove(link);
        free(list_entry(link, struct prompt_waiter, link));
    }
    free(prompt->program);
    free(prompt->key);
    free(prompt->destination);
    free(prompt);
    return NULL;
}

static int module_prompt_copy(const char *text, char **ret_text)
{
    if (!text)
        return 0;
    *ret_text = strdup(text);
    return *ret_text ? 0 : -ENOMEM;
}

static struct module_prompt *module_prompt_new(const struct prompt_context *context)
{
    struct module_prompt *prompt = calloc(1, sizeof(*prompt));

    if (!prompt)
        return NULL;
    list_init(&prompt->waiters);
    prompt->pid = context->pid;
    if (module_prompt_copy(context->program, &prompt->program) ||
        module_prompt_copy(context->key, &prompt->key) ||
        module_prompt_copy(context->destination, &prompt->destination))
        return module_prompt_free(prompt);
    return prompt;
}

static bool module_prompt_is_wanted(const struct module *module, const struct module_token *token)
{
    const struct worker_token id = module_token_get_id(token);

    return !list_is_empty(&token->prompt->waiters) ||
           agent_login_is_wanted(module->agent, module, &id);
}

/* ---- What the dialog says */

static void module_prompt_say_tries(const struct module *module, const struct module_token *token,
                                    char *text, size_t size)
{
    const struct worker_token id = module_token_get_id(token);
    unsigned int refused = pin_ledger_count(module->agent->ledger, &id);
    const char *few = "";

    if (token->flags & WORKER_TOKEN_PIN_FINAL_TRY)
        few = "\nTHIS IS THE LAST TRY: one more wrong PIN blocks the token.";
    else if (token->flags & WORKER_TOKEN_PIN_COUNT_LOW)
        few = "\nFew tries are left: wrong PINs block the token.";
    if (refused > 0)
        (void)snprintf(text, size, "%s\nRefused since the last right PIN: %u", few, refused);
    else
        (void)snprintf(text, size, "%s", few);
}

static void module_prompt_say_line(char *text, const char *what, const char *value, size_t size)
{
    size_t len = strlen(text);
    char shown[PROMPT_PROGRAM_MAX];

    if (value && *value)
        (void)snprintf(text + len, MODULE_PROMPT_TEXT_MAX - len, "\n%s: %s", what,
                       escape_cstring(value, shown, size));
}

/* The warning stands where it cannot be cut off. */
void module_prompt_say(const struct module *module, const struct module_token *token,
                       const struct prompt_context *context, const char *wants,
                       char text[static MODULE_PROMPT_TEXT_MAX])
{
    char label[PROMPT_NAME_MAX];
    char serial[PROMPT_NAME_MAX];
    char tries[160];
    char pid[32];

    module_prompt_say_tries(module, token, tries, sizeof(tries));
    (void)snprintf(text, MODULE_PROMPT_TEXT_MAX, "Token \"%s\" (serial %s) %s.%s",
                   escape_cstring(token->label, label, sizeof(label)),
                   escape_cstring(token->serial, serial, sizeof(serial)), wants, tries);
    module_prompt_say_line(text, "Key", context->key, PROMPT_NAME_MAX);
    module_prompt_say_line(text, "Program", context->program, PROMPT_PROGRAM_MAX);
    (void)snprintf(pid, sizeof(pid), "%d", (int)context->pid);
    module_prompt_say_line(text, "Process", context->pid > 0 ? pid : NULL, sizeof(pid));
    module_prompt_say_line(text, "Server", context->destination, PROMPT_PROGRAM_MAX);
}

/* ---- Beginning and ending */

static int module_prompt_ask(struct module *module, struct module_token *token, const char *error)
{
    const struct agent *agent = module->agent;
    bool has_keypad = token->flags & WORKER_TOKEN_PIN_PAD;
    const struct prompt_context context = {token->prompt->pid, token->prompt->program,
                                           token->prompt->key, token->prompt->destination};
    char text[MODULE_PROMPT_TEXT_MAX];

    module_prompt_say(module, token, &context, "wants its PIN", text);
    const struct pin_ask ask = {
        .kind = has_keypad ? PIN_KIND_PRESENCE : PIN_KIND_PROMPT,
        .timeout_ms = MODULE_LOGIN_PIN_MS,
        .ledger = wire_span_from_text(pin_ledger_path(agent->ledger)),
        .pinentry = wire_span_from_text(agent->config->pinentry),
        .client_pid = token->prompt->pid > 0 ? (uint32_t)token->prompt->pid : 0,
        .text = wire_span_from_text(text),
        .error = wire_span_from_text(error),
    };
    token->prompt->attempt++;
    int r =
        module_pin_new(module, (size_t)(token - module->tokens),
                       has_keypad ? MODULE_PIN_KEYPAD : MODULE_PIN_PROMPT, &ask, -1, &token->pin);
    if (!r)
        token->pin->is_last_told = has_keypad || (token->flags & WORKER_TOKEN_PIN_FINAL_TRY);
    return r;
}

void module_prompt_end(struct module *module, struct module_token *token,
                       enum protocol_error_code code, const char *text)
{
    const struct worker_token id = module_token_get_id(token);
    struct module_prompt *prompt = TAKE_PTR(token->prompt);
    struct agent *agent = module->agent;

    if (!prompt)
        return;
    while (!list_is_empty(&prompt->waiters)) {
        struct prompt_waiter *waiter = list_entry(prompt->waiters.next, struct prompt_waiter, link);
        struct request *request = waiter->request;
        list_remove(&waiter->link);
        free(waiter);
        if (code)
            token_request_fail(request, code, text);
        else
            token_request_succeed(request);
    }
    (void)module_prompt_free(prompt);
    agent_login_ended(agent, module, &id, code, text);
}

/* No new dialog for a moment. */
static void module_prompt_end_with_pause(struct module *module, struct module_token *token,
                                         const char *text)
{
    token->prompt_not_before_ms = clock_monotonic_ms() + PROMPT_PAUSE_MS;
    module_prompt_end(module, token, PROTOCOL_E_PIN, text);
}

void module_prompt_cancel(struct module *module, struct module_token *token,
                          enum protocol_error_code code, const char *why)
{
    char text[PROTOCOL_TEXT_MAX];

    if (token->pin && token->pin != module->login_pin && token->pin->kind != MODULE_PIN_SOURCE) {
        struct request *request = token->pin->request;
        token->pin = module_pin_free(token->pin);
        (void)snprintf(text, sizeof(text), "the login was given up: %s", why);
        if (request)
            token_request_fail(request, code, text);
    }
    (void)snprintf(text, sizeof(text), "the question for the PIN was withdrawn: %s", why);
    module_prompt_end(module, token, code, text);
}

enum protocol_error_code module_prompt_explain(struct module_token *token, enum pin_answer answer,
                                               const char *reason, char *text, size_t size)
{
    char label[PROMPT_NAME_MAX];

    escape_cstring(token->label, label, sizeof(label));
    if (answer == PIN_E_CANCELLED)
        (void)snprintf(text, size, "the question for the PIN of token \"%s\" was cancelled", label);
    else if (answer == PIN_E_TIMEOUT)
        (void)snprintf(text, size, "nobody answered the question for the PIN of token \"%s\"",
                       label);
    else
        (void)snprintf(text, size, "token \"%s\": %.500s; run `mtls unlock '%s'`", label, reason,
                       label);
    if (answer == PIN_E_NOBODY)
        return PROTOCOL_E_LOCKED;
    token->prompt_not_before_ms = clock_monotonic_ms() + PROMPT_PAUSE_MS;
    return PROTOCOL_E_PIN;
}

/* One notice for each token. */
static void module_prompt_name_keypad(const struct module_token *token,
                                      char reason[static PROTOCOL_TEXT_MAX])
{
    (void)snprintf(reason, PROTOCOL_TEXT_MAX, "keypad %s %s", token->serial, token->label);
}

void module_prompt_tell_keypad(struct module *module, const struct module_token *token,
                               const char *key)
{
    const struct worker_token id = module_token_get_id(token);
    char tries[160];
    char label[PROMPT_NAME_MAX];
    char reason[PROTOCOL_TEXT_MAX];
    char text[PROTOCOL_TEXT_MAX];

    module_prompt_say_tries(module, token, tries, sizeof(tries));
    for (char *at = tries; *at; at++)
        if (*at == '\n')
            *at = ' ';
    (void)snprintf(text, sizeof(text), "type its PIN on the keypad of the reader.%s", tries);
    module_login_tell(module, &id, text);
    (void)snprintf(text, sizeof(text), "token \"%s\" wants its PIN on the keypad of the reader.%s",
                   escape_cstring(token->label, label, sizeof(label)), tries);
    module_prompt_name_keypad(token, reason);
    agent_tell_waiting(module->agent, reason, key ? key : token->label, text);
}

void module_prompt_tell_keypad_over(struct module *module, const struct module_token *token)
{
    char reason[PROTOCOL_TEXT_MAX];

    module_prompt_name_keypad(token, reason);
    agent_tell_waiting_over(module->agent, reason);
}

void module_prompt_handle_answer(struct module *module, struct module_token *token)
{
    char text[PROTOCOL_TEXT_MAX];

    if (module_pin_is_ready(token->pin)) {
        if (token->pin->kind == MODULE_PIN_KEYPAD)
            module_prompt_tell_keypad(module, token, token->prompt ? token->prompt->key : NULL);
        module_login_resume(module);
        return;
    }
    struct module_pin *pin = TAKE_PTR(token->pin);
    enum protocol_error_code code =
        module_prompt_explain(token, pin_source_get_answer(pin->source),
                              pin_source_text(pin->source), text, sizeof(text));
    (void)module_pin_free(pin);
    module_prompt_end(module, token, code, text);
}

/* The code for those who wait when the token did not open. */
static enum protocol_error_code module_prompt_code(enum worker_result result)
{
    if (result == WORKER_E_MODULE || result == WORKER_E_BAD_REQUEST)
        return PROTOCOL_E_INTERNAL;
    return result == WORKER_E_STATE_LOST ? PROTOCOL_E_TOKEN_GONE : PROTOCOL_E_PIN;
}

void module_prompt_handle_refusal(struct module *module, struct module_token *token,
                                  const struct worker_reply *reply)
{
    struct module_prompt *prompt = token->prompt;
    char text[PROTOCOL_TEXT_MAX / 2];
    bool may_ask_again = reply->result == WORKER_E_PIN || reply->result == WORKER_E_REFUSED;
    /* A reader does not say that it is the last try; those who are answered now hear it. */
    bool is_told =
        !(token->flags & WORKER_TOKEN_PIN_PAD) || !(token->flags & WORKER_TOKEN_PIN_FINAL_TRY);

    if (!prompt)
        return;
    escape_text(reply->text, text, sizeof(text));
    if (may_ask_again && is_told && prompt->attempt < PROMPT_ATTEMPTS_MAX &&
        module_prompt_is_wanted(module, token) && module_prompt_ask(module, token, text) == 0)
        return;
    /* Cancelled there, or not typed in time. */
    bool is_keypad = token->flags & WORKER_TOKEN_PIN_PAD;
    if (is_keypad && reply->result == WORKER_E_MODULE)
        module_prompt_end_with_pause(module, token, "no PIN was typed at the reader");
    else if (may_ask_again)
        module_prompt_end_with_pause(module, token, text);
    else
        module_prompt_end(module, token, module_prompt_code(reply->result), text);
}

bool module_prompt_check(struct module *module, uint64_t now_ms)
{
    bool is_busy = false;

    (void)now_ms;
    for (size_t i = 0; i < module->token_count; i++) {
        struct module_token *token = &module->tokens[i];
        if (!token->prompt)
            continue;
        is_busy = true;
        /* What it was to wait for gave no PIN: people who asked for the question get it. */
        if (!token->pin && !list_is_empty(&token->prompt->waiters) &&
            module_prompt_ask(module, token, "") == 0)
            continue;
        /* A source was asked when it began, of a configuration that is not ours any more. */
        if (!token->pin)
            module_prompt_cancel(module, token, PROTOCOL_E_PIN, "the configuration was changed");
        else if (token->pin->kind != MODULE_PIN_RELAY && token->pin != module->login_pin &&
                 !module_pin_is_ready(token->pin) && !module_prompt_is_wanted(module, token))
            module_prompt_cancel(module, token, PROTOCOL_E_PIN, "nobody waits for it any more");
    }
    return is_busy;
}

void module_prompt_forget(struct module *module, const struct request *request)
{
    for (size_t i = 0; i < module->token_count; i++) {
        struct module_prompt *prompt = module->tokens[i].prompt;
        if (!prompt)
            continue;
        list_for_each_safe (link, &prompt->waiters) {
            struct prompt_waiter *waiter = list_entry(link, struct prompt_waiter, link);
            if (waiter->request != request)
                continue;
            list_remove(&waiter->link);
            free(waiter);
        }
    }
}

/* ---- Whether to ask */

/* A person who asks for the question may have it where a program's need is not enough. */
static enum protocol_error_code module_prompt_refuse(const struct module *module,
                                                     const struct module_token *token,
                                                     const struct worker_token *id,
                                                     const char **ret_text)
{
    static char text[PROTOCOL_TEXT_MAX];
    char label[PROMPT_NAME_MAX];

    if (token->is_blocked || (token->flags & WORKER_TOKEN_PIN_LOCKED) ||
        module->agent->config->asks_nobody)
        return module_refuse_locked(module, id, ret_text);
    if (clock_monotonic_ms() >= token->prompt_not_before_ms)
        return 0;
    (void)snprintf(text, sizeof(text),
                   "the question for the PIN of token \"%s\" was closed a moment ago; wait %u "
                   "seconds, or run `mtls unlock '%s'`",
                   escape_cstring(token->label, label, sizeof(label)), PROMPT_PAUSE_MS / 1000,
                   label);
    *ret_text = text;
    return PROTOCOL_E_PIN;
}

enum protocol_error_code module_prompt_find_obstacle(const struct module *module,
                                                     const struct module_token *token,
                                                     const struct worker_token *id,
                                                     const char **ret_text)
{
    const struct config_token *config = module_login_find_config(module, id);
    bool has_source = config && config->pin != CONFIG_PIN_ASK;

    if (has_source || token->is_locked_by_person)
        return module_refuse_locked(module, id, ret_text);
    return module_prompt_refuse(module, token, id, ret_text);
}

static enum module_prompt_start
module_prompt_begin(struct module *module, const struct worker_token *token,
                    const struct prompt_context *context, bool is_by_person,
                    enum protocol_error_code *ret_code, const char **ret_text)
{
    struct module_token *known = module_login_get(module, token);

    if (known && known->prompt)
        return MODULE_PROMPT_UNDER_WAY;
    *ret_code = PROTOCOL_E_BUSY;
    *ret_text = "the agent could not ask for the PIN; try again";
    if (!known)
        return MODULE_PROMPT_IMPOSSIBLE;
    known->flags = token->flags;
    enum protocol_error_code code =
        is_by_person ? module_prompt_refuse(module, known, token, ret_text)
                     : module_prompt_find_obstacle(module, known, token, ret_text);
    if (code) {
        *ret_code = code;
        return MODULE_PROMPT_IMPOSSIBLE;
    }
    known->prompt = module_prompt_new(context);
    if (!known->prompt)
        return MODULE_PROMPT_IMPOSSIBLE;
    /* `mtls unlock` is at it: should that fail, the dialog follows. */
    if (is_by_person && module_login_waits_for_source(module, token))
        known->pin = module_pin_free(known->pin);
    if (known->pin)
        return MODULE_PROMPT_UNDER_WAY;
    int r = module_prompt_ask(module, known, "");
    if (!r)
        return MODULE_PROMPT_STARTED;
    log_error("%s: cannot ask for a PIN: %s", module_get_name(module),
              strerror(r < 0 ? -r : EINVAL));
    known->prompt = module_prompt_free(known->prompt);
    return MODULE_PROMPT_IMPOSSIBLE;
}

enum module_prompt_start module_login_prompt(struct module *module,
                                             const struct worker_token *token,
                                             const struct prompt_context *context,
                                             enum protocol_error_code *ret_code,
                                             const char **ret_text)
{
    return module_prompt_begin(module, token, context, false, ret_code, ret_text);
}

enum protocol_error_code module_login_wait(struct module *module, const struct worker_token *token,
                                           const struct prompt_context *context,
                                           struct request *request, const char **ret_text)
{
    struct prompt_waiter *waiter = NULL;
    enum protocol_error_code code = PROTOCOL_E_BUSY;

    if (module_token_state(module, token, NULL) == TOKEN_STATE_READY) {
        *ret_text = "the token is unlocked already";
        return PROTOCOL_E_PIN;
    }
    waiter = calloc(1, sizeof(*waiter));
    *ret_text = "out of memory";
    if (!waiter)
        return PROTOCOL_E_INTERNAL;
    if (module_prompt_begin(module, token, context, true, &code, ret_text) ==
        MODULE_PROMPT_IMPOSSIBLE) {
        free(waiter);
        return code;
    }
    module_release_end(module);
    waiter->request = request;
    list_append(&module_login_find(module, token)->prompt->waiters, &waiter->link);
    return 0;
}
