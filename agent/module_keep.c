/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PINs that are kept (`pin-cache`), each in the ask-pin that obtained it, and what ends them: their
 * limits of time, the token's removal, a refusal, and a person who is away. What is over is over
 * for the token's logins, too.
 */
#include <string.h>

#include "agent/agent.h"
#include "agent/module_context.h"
#include "agent/module_internal.h"
#include "agent/module_pin.h"
#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"

/* One that is forgotten already may still be in its login. */
static bool module_keep_has(const struct module_token *token)
{
    return token->kept && module_pin_is_ready(token->kept);
}

static uint64_t module_keep_get_end(const struct module *module, const struct module_token *token)
{
    const struct worker_token id = module_token_get_id(token);
    const struct config_token *config = module_login_find_config(module, &id);

    /* The configuration was loaded anew, and does not want it any more. */
    if (!config || config->pin_cache_ms == 0)
        return 0;
    uint64_t end_ms = token->kept->since_ms + config->pin_cache_ms;
    uint64_t idle_end_ms = token->kept->used_ms + config->pin_cache_idle_ms;
    return config->pin_cache_idle_ms > 0 && idle_end_ms < end_ms ? idle_end_ms : end_ms;
}

static void module_keep_arm(struct module *module)
{
    uint64_t next_ms = UINT64_MAX;

    for (size_t i = 0; i < module->token_count; i++) {
        uint64_t end_ms = module_keep_has(&module->tokens[i])
                              ? module_keep_get_end(module, &module->tokens[i])
                              : UINT64_MAX;
        next_ms = end_ms < next_ms ? end_ms : next_ms;
    }
    if (next_ms == UINT64_MAX)
        return;
    int r = sd_event_source_set_time(module->keep_timer, (next_ms + 1) * 1000);
    if (r >= 0)
        r = sd_event_source_set_enabled(module->keep_timer, SD_EVENT_ONESHOT);
    if (r < 0)
        log_error("%s: cannot arm the limit of a kept PIN: %s", module_get_name(module),
                  strerror(-r));
}

void module_keep_expire(struct module *module)
{
    uint64_t now_ms = clock_with_sleep_ms();

    for (size_t i = 0; i < module->token_count; i++)
        if (module_keep_has(&module->tokens[i]) &&
            now_ms >= module_keep_get_end(module, &module->tokens[i]))
            module_keep_close(module, &module->tokens[i], "the time of its `pin-cache` is over");
    module_keep_arm(module);
}

void module_keep(struct module *module, struct module_token *token, struct module_pin *pin)
{
    const struct worker_token id = module_token_get_id(token);
    const struct config_token *config = module_login_find_config(module, &id);

    if (!config || config->pin_cache_ms == 0 || pin->kind == MODULE_PIN_KEYPAD || !pin->source) {
        (void)module_pin_free(pin);
        return;
    }
    (void)module_pin_kill(token->kept);
    token->kept = pin;
    pin->since_ms = clock_with_sleep_ms();
    pin->used_ms = pin->since_ms;
    module->keeps_pin = true;
    /* Its siblings may log in with it, too. */
    list_for_each (link, &module->workers)
        list_entry(link, struct worker, link)->login_next = 0;
    module_keep_arm(module);
}

void module_keep_drop(struct module_token *token, const char *why)
{
    struct module_pin *pin = token->kept;
    char label[256];

    if (!pin)
        return;
    /* Of one that is in a login the rest goes with the login: module_keep_end_login(). */
    if (pin->module->login_pin == pin)
        pin->source = pin_source_kill(pin->source);
    else
        token->kept = module_pin_kill(pin);
    log_info("the kept PIN of token \"%s\" was forgotten: %s",
             escape_cstring(token->label, label, sizeof(label)), why);
}

void module_keep_end_login(struct module_token *token)
{
    if (token->kept && !module_pin_is_ready(token->kept))
        module_keep_drop(token, "its process ended");
}

void module_keep_close(struct module *module, struct module_token *token, const char *why)
{
    const struct worker_token id = module_token_get_id(token);
    char text[PROTOCOL_TEXT_MAX];

    module_keep_drop(token, why);
    (void)snprintf(text, sizeof(text), "locked: %s", why);
    module_login_tell(module, &id, text);
    module_end_logins(module, &id);
}

/* A worker holds a login to it. */
static bool module_keep_is_open(const struct module *module, const struct worker_token *id)
{
    list_for_each (link, &module->workers) {
        const struct worker *worker = list_entry(link, struct worker, link);
        const struct worker_token *seen = inventory_find_same(worker->inventory, id, 0);
        if (seen && (seen->flags & WORKER_TOKEN_LOGIN_REQUIRED) &&
            ((seen->flags & WORKER_TOKEN_LOGGED_IN) || worker->login_is_pending))
            return true;
    }
    return false;
}

size_t module_login_forget(struct module *module, const char *why)
{
    char text[PROTOCOL_TEXT_MAX];
    size_t count = 0;

    module_fail_unlock(module, "PINs were just forgotten, and this one with them; try again");
    (void)snprintf(text, sizeof(text), "the question for the PIN was withdrawn: %s", why);
    module_context_flush(module, PROTOCOL_E_PIN, text);
    for (size_t i = 0; i < module->token_count; i++) {
        struct module_token *token = &module->tokens[i];
        const struct worker_token id = module_token_get_id(token);
        const struct config_token *config = module_login_find_config(module, &id);
        bool is_by_person = !config || config->pin == CONFIG_PIN_ASK || token->pin_is_bad;
        if (token->prompt)
            module_prompt_cancel(module, token, PROTOCOL_E_PIN, why);
        bool had_one = module_login_drop_typed(module, token, why);
        if (token->kept || (is_by_person && module_keep_is_open(module, &id))) {
            module_keep_close(module, token, why);
            had_one = true;
        }
        count += had_one;
    }
    return count;
}

void module_login_stop(struct module *module)
{
    for (size_t i = 0; i < module->token_count; i++)
        if (module->tokens[i].prompt)
            module_prompt_cancel(module, &module->tokens[i], PROTOCOL_E_BUSY,
                                 "the agent is ending");
    module_context_flush(module, PROTOCOL_E_BUSY, "the agent is ending");
}

void module_login_removed(struct module *module, const struct worker_token *token)
{
    struct module_token *known = module_login_find(module, token);

    if (!known)
        return;
    module_keep_drop(known, "the token was taken out");
    if (known->prompt)
        module_prompt_cancel(module, known, PROTOCOL_E_TOKEN_GONE, "the token was taken out");
}

void module_login_note_inventory(struct module *module, const struct inventory *inventory)
{
    for (size_t i = 0; i < module->token_count; i++) {
        const struct worker_token id = module_token_get_id(&module->tokens[i]);
        bool is_there = false;
        if (!module->tokens[i].kept && !module->tokens[i].prompt)
            continue;
        for (size_t j = 0; j < inventory->token_count && !is_there; j++)
            is_there = module_token_is(&module->tokens[i], &inventory->tokens[j].info);
        if (!is_there)
            module_login_removed(module, &id);
    }
}

void module_login_note_use(struct module *module, const struct worker_token *token)
{
    struct module_token *known = module_login_find(module, token);

    if (known && known->kept)
        known->kept->used_ms = clock_with_sleep_ms();
}
