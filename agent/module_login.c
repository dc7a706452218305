/* SPDX-License-Identifier: Apache-2.0 */
/* Logins; see module_login.h. */
#include "agent/module_login.h"

#include <stdarg.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/module_readers.h"
#include "agent/pin_source.h"
#include "agent/selector.h"
#include "agent/token_request.h"
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

bool module_login_has_source(const struct module *module, const struct worker_token *token)
{
    const struct config_token *config = module_login_find_config(module, token);

    return config && config->pin != CONFIG_PIN_ASK;
}

bool module_token_is(const struct module_token *known, const struct worker_token *token)
{
    return wire_span_is_equal(wire_span_from_text(known->serial), token->serial) &&
           wire_span_is_equal(wire_span_from_text(known->label), token->label);
}

struct module_token *module_login_find(const struct module *module,
                                       const struct worker_token *token)
{
    for (size_t i = 0; i < module->token_count; i++)
        if (module_token_is(&module->tokens[i], token))
            return &module->tokens[i];
    return NULL;
}

/* As above, but a token that was not seen before is remembered from now on; NULL: there is no room,
 * and then no PIN for it. */
static struct module_token *module_login_get(struct module *module,
                                             const struct worker_token *token)
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
                                 .serial = wire_span_to_text(token->serial)};
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
    bool source_would_do = module_login_has_source(module, token) && known && !known->pin_is_bad;

    return module_login_was_made(token) && !source_would_do;
}

bool module_login_is_typed(const struct module *module, const struct worker *worker)
{
    for (size_t i = 0; i < worker->inventory->token_count; i++)
        if (module_login_token_is_typed(module, &worker->inventory->tokens[i].info))
            return true;
    return false;
}

static bool module_login_is_needed(const struct worker_token *token)
{
    return (token->flags & WORKER_TOKEN_LOGIN_REQUIRED) && !(token->flags & WORKER_TOKEN_LOGGED_IN);
}

/* Whether the source may be asked for this token now. */
static bool module_login_may_ask(struct module *module, const struct worker_token *token,
                                 const struct config_token **ret_config)
{
    const struct config_token *config = module_login_find_config(module, token);
    const struct module_token *known = module_login_get(module, token);

    if (!module_login_is_needed(token) || !config || config->pin == CONFIG_PIN_ASK || !known)
        return false;
    *ret_config = config;
    return !known->pin_is_bad && !known->is_blocked && !known->is_locked_by_person &&
           module_readers_may_login(module, token);
}

_printf_(2, 3) static void module_login_note(struct module_token *token, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(token->text, sizeof(token->text), format, args);
    va_end(args);
}

/* What the source gave is no good: it is not asked again before somebody has looked at it. */
static void module_login_note_bad_source(struct module_token *token, const char *detail)
{
    token->pin_is_bad = true;
    module_login_note(token, "%s; correct it and reload the agent (SIGHUP), or use `mtls unlock`",
                      detail);
}

/* The PIN may be right, but too few tries are left to find out: a reload would not help. */
static void module_login_note_refused(struct module_token *token, const char *detail)
{
    token->pin_is_bad = true;
    module_login_note(token, "%s; use `mtls unlock`", detail);
}

static int module_login_start(struct module *module, struct worker *worker,
                              const struct worker_token *token, const struct config_token *config)
{
    _cleanup_close_ int pin_fd = -1;

    int r = pin_source_start(module->agent->event, config, &module->login_source, &pin_fd);
    if (!r)
        r = worker_send_login(worker, token->token, pin_fd, false, MODULE_LOGIN_PIN_MS);
    if (r) {
        module->login_source = pin_source_free(module->login_source);
        return r;
    }
    module->login_worker = worker;
    module->login_is_by_person = false;
    return 0;
}

bool module_login_step(struct module *module, struct worker *worker)
{
    const struct inventory *inventory = worker->inventory;

    if (worker->login_is_pending)
        return true;
    while (worker->login_next < inventory->token_count) {
        const struct worker_token *token = &inventory->tokens[worker->login_next].info;
        const struct config_token *config = NULL;
        bool may_ask = module_login_may_ask(module, token, &config);
        if (may_ask && module->login_worker)
            return true;
        worker->login_next++;
        if (!may_ask)
            continue;
        int r = module_login_start(module, worker, token, config);
        if (!r)
            return true;
        struct module_token *known = module_login_get(module, token);
        log_error("%s: cannot ask for the PIN: %s", worker->name, strerror(-r));
        if (known)
            module_login_note(known, "its PIN could not be asked for: %s", strerror(-r));
    }
    return false;
}

/* Remembers what came out of a login, in words for the status. */
static void module_login_record(struct module *module, const struct worker *worker,
                                struct module_token *token, const struct worker_reply *reply)
{
    char detail[PROTOCOL_TEXT_MAX / 2];

    escape_text(reply->text, detail, sizeof(detail));
    if (reply->result == WORKER_OK) {
        /* A person's PIN says nothing about the source's. */
        token->pin_is_bad &= module->login_is_by_person;
        token->is_blocked = false;
        /* Only a person unlocks, and not in a worker that a later `mtls lock` has ended. */
        if (module->login_is_by_person && worker->state == WORKER_STATE_READY)
            token->is_locked_by_person = false;
        if (!token->pin_is_bad)
            token->text[0] = '\0';
        return;
    }
    if (reply->result == WORKER_E_PIN_SOURCE && module->login_source &&
        *pin_source_text(module->login_source))
        (void)snprintf(detail, sizeof(detail), "%s", pin_source_text(module->login_source));
    if (reply->result == WORKER_E_PIN_BLOCKED)
        token->is_blocked = true;
    if (module->login_is_by_person)
        return;
    /* A card that was not ready says nothing about the PIN: the next worker asks for it again. */
    if (reply->result == WORKER_E_STATE_LOST && !worker_may_have_tried_pin(worker))
        module_login_note(token, "%s", detail);
    else if (reply->result == WORKER_E_REFUSED)
        module_login_note_refused(token, detail);
    else
        module_login_note_bad_source(token, detail);
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

/* The answer of a login that a person asked for. */
static void module_login_answer(struct request *request, const struct worker *worker,
                                const struct worker_reply *reply)
{
    char text[PROTOCOL_TEXT_MAX];
    enum protocol_error_code code = PROTOCOL_E_PIN;

    if (reply->result == WORKER_OK && worker->state != WORKER_STATE_READY) {
        token_request_fail(request, PROTOCOL_E_BUSY,
                           "the login ended with its process, which is being replaced: the token "
                           "was locked, or the configuration loaded; try again");
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

static void module_login_end(struct module *module)
{
    module->login_worker = NULL;
    module->login_source = pin_source_free(module->login_source);
    module->login_request = NULL;
}

void module_login_handle_reply(struct module *module, struct worker *worker,
                               const struct worker_reply *reply)
{
    const struct inventory_token *token =
        inventory_find_token(worker->inventory, worker->login_token);
    struct module_token *known = token ? module_login_get(module, &token->info) : NULL;
    struct request *request = module->login_request;
    char label[256];

    if (known)
        module_login_record(module, worker, known, reply);
    if (token && reply->result != WORKER_OK)
        log_warning("%s: login to token \"%s\" failed: %s", worker->name,
                    escape_text(token->info.label, label, sizeof(label)),
                    known && !module->login_is_by_person ? known->text : "see the answer");
    else if (token)
        log_info("%s: logged in to token \"%s\"", worker->name,
                 escape_text(token->info.label, label, sizeof(label)));
    module_login_end(module);
    if (token)
        module_login_tell(module, &token->info,
                          reply->result == WORKER_OK ? "unlocked" : "not unlocked");
    if (request)
        module_login_answer(request, worker, reply);
}

/* Notes that the source's PIN may be one of the tries that the token counted. */
static void module_login_note_tried(struct module *module, const struct worker *worker)
{
    const struct inventory_token *token =
        worker->inventory ? inventory_find_token(worker->inventory, worker->login_token) : NULL;
    struct module_token *known = token ? module_login_get(module, &token->info) : NULL;

    if (!known)
        return;
    known->pin_is_bad = true;
    module_login_note(known, "%s",
                      "the module failed during the login, so the PIN may have been tried: reload "
                      "the agent (SIGHUP) to try it again, or use `mtls unlock`");
}

void module_login_abort(struct module *module, const struct worker *worker)
{
    struct request *request = module->login_request;

    if (worker && !module->login_is_by_person && worker_may_have_tried_pin(worker))
        module_login_note_tried(module, worker);
    module_login_end(module);
    if (request)
        token_request_fail(request,
                           worker && worker->end == WORKER_END_TIMEOUT ? PROTOCOL_E_TIMEOUT
                                                                       : PROTOCOL_E_INTERNAL,
                           "the token's module failed during the login; try again");
}
