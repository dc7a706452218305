/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for people; see hold.h. */
#include "agent/hold.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/connection.h"
#include "agent/module.h"
#include "agent/module_context.h"
#include "agent/module_login.h"
#include "agent/sign_request.h"
#include "agent/waiting.h"
#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"

#define HOLD_PROGRAM_SIZE 256u

bool hold_is_held(const struct sign_request *request)
{
    return request->hold.code != 0;
}

/* "curl (pid 4711)", escaped. */
static void hold_name_program(const struct peer *peer, char text[static HOLD_PROGRAM_SIZE])
{
    const char *slash = peer->exe ? strrchr(peer->exe, '/') : NULL;
    char name[HOLD_PROGRAM_SIZE / 2];

    (void)escape_cstring(slash && slash[1] ? slash + 1 : "a program", name, sizeof(name));
    (void)snprintf(text, HOLD_PROGRAM_SIZE, "%s (pid %d)", name, (int)peer->pid);
}

/* One notice for all that wait for one thing of one token. */
static char *hold_make_reason(const struct worker_token *token, enum protocol_error_code code)
{
    char *reason = NULL;

    if (asprintf(&reason, "hold %s %.*s %.*s", protocol_error_name(code), (int)token->serial.len,
                 (const char *)token->serial.data, (int)token->label.len,
                 (const char *)token->label.data) < 0)
        return NULL;
    return reason;
}

/* @why is escaped already, like all that is shown to clients. */
static char *hold_make_text(const struct sign_request *request, const char *why)
{
    char program[HOLD_PROGRAM_SIZE];
    char key[HOLD_PROGRAM_SIZE];
    char *text = NULL;

    hold_name_program(request->peer, program);
    if (asprintf(&text, "%s waits to use key %s: %s", program,
                 escape_cstring(request->key_name, key, sizeof(key)), why) < 0)
        return NULL;
    return text;
}

static void hold_clear(struct hold *hold)
{
    free(hold->reason);
    free(hold->text);
    *hold = (struct hold){0};
}

static bool hold_is_possible(const struct sign_request *request, enum protocol_error_code code)
{
    const struct agent *agent = request->agent;

    return (code == PROTOCOL_E_TOKEN_GONE || code == PROTOCOL_E_LOCKED) &&
           request->request.connection && !request->is_answered && agent->config->wait_ms > 0 &&
           !agent->is_stopping;
}

/* Another request waits for the same. */
static bool hold_has_another(const struct sign_request *request, const char *reason)
{
    list_for_each (link, &request->agent->sign_requests) {
        const struct sign_request *other = list_entry(link, struct sign_request, link);
        if (other != request && hold_is_held(other) && strcmp(other->hold.reason, reason) == 0)
            return true;
    }
    return false;
}

/* Has the PIN asked for. False when nobody is asked, and nobody told who might come by himself. */
static bool hold_ask(const struct sign_request *request, const struct keyring_key *key,
                     enum protocol_error_code *code, const char **text)
{
    const struct prompt_context context = {
        .pid = request->peer->pid, .program = request->peer->exe, .key = request->key_name};
    enum protocol_error_code why = PROTOCOL_E_LOCKED;
    const char *obstacle = NULL;

    if (module_login_prompt(key->module, key->token, &context, &why, &obstacle) !=
        MODULE_PROMPT_IMPOSSIBLE)
        return true;
    if (why == PROTOCOL_E_LOCKED && agent_person_is_told(request->agent))
        return true;
    *code = why;
    *text = obstacle;
    return false;
}

/* Makes it one that waits, before anybody is asked: a dialog stays as long as somebody waits. */
static int hold_take(struct sign_request *request, const struct keyring_key *key,
                     enum protocol_error_code code, const char *text)
{
    /* A module that gave it back during a look at all would only do so again. */
    struct hold hold = {.code = code, .round = request->agent->hold_round};

    /* However often it goes to a module and comes back: all of it is one wait. */
    if (request->held_until_ms == 0)
        request->held_until_ms = clock_monotonic_ms() + request->agent->config->wait_ms;
    hold.until_ms = request->held_until_ms;
    hold.reason = hold_make_reason(key->token, code);
    hold.text = hold_make_text(request, text);
    /* It may be another token than the one that it came for. */
    if (!hold.reason || !hold.text || sign_request_set_token(request, key->token)) {
        hold_clear(&hold);
        return -ENOMEM;
    }
    request->hold = hold;
    /* Whoever comes may be somebody else, and much later. */
    module_context_drop(request);
    request->module = NULL;
    request->item.line = NULL;
    return 0;
}

bool hold_begin(struct sign_request *request, const struct keyring_key *key,
                enum protocol_error_code *code, const char **text)
{
    if (!hold_is_possible(request, *code) || hold_take(request, key, *code, *text))
        return false;
    bool is_for_pin = *code == PROTOCOL_E_LOCKED;
    if (is_for_pin ? !hold_ask(request, key, code, text) : !agent_person_is_told(request->agent)) {
        hold_clear(&request->hold);
        return false;
    }
    log_info("%s", request->hold.text);
    if (!hold_has_another(request, request->hold.reason))
        agent_tell_waiting(request->agent, request->hold.reason, request->key_name,
                           request->hold.text);
    agent_watch(request->agent);
    return true;
}

void hold_end(struct sign_request *request)
{
    if (!hold_is_held(request))
        return;
    /* The one that was named as waiting may be this; many may end at once, so not here. */
    bool has_another = hold_has_another(request, request->hold.reason);
    if (has_another && !request->agent->is_reviewing)
        hold_review_soon(request->agent);
    else if (!has_another)
        agent_tell_waiting_over(request->agent, request->hold.reason);
    hold_clear(&request->hold);
}

void hold_check_limit(struct sign_request *request, uint64_t now_ms)
{
    char text[PROTOCOL_TEXT_MAX];

    if (!hold_is_held(request) || now_ms < request->hold.until_ms)
        return;
    (void)snprintf(text, sizeof(text), "nobody came within %u s: %.900s",
                   request->agent->config->wait_ms / 1000, request->hold.text);
    sign_request_fail(request, request->hold.code, text);
}

/* What is waited for may have changed: absent before, locked now. */
static void hold_change(struct sign_request *request, const struct keyring_key *key,
                        enum protocol_error_code code, const char *text)
{
    hold_end(request);
    if (!hold_begin(request, key, &code, &text))
        sign_request_fail(request, code, text);
}

/* The same is waited for, but what keeps it away may be another thing now. */
static void hold_retell(struct sign_request *request, const char *why)
{
    char *text = hold_make_text(request, why);

    if (!text)
        return;
    free(request->hold.text);
    request->hold.text = text;
}

static void hold_review(struct sign_request *request)
{
    const struct keyring_key *key = keyring_find(request->agent->keyring, request->key_hash);
    const char *text = NULL;

    /* Its module may be gone or be starting anew: the limit ends the wait. */
    if (!key)
        return;
    enum protocol_error_code code = module_admit(key->module, key, &text);
    if (code == PROTOCOL_E_BUSY)
        return;
    if (code == request->hold.code)
        hold_retell(request, text);
    else if (code == 0)
        sign_request_enqueue(request, key->module);
    else
        hold_change(request, key, code, text);
}

/* The first held request that was not looked at in this round. */
static struct sign_request *hold_next(const struct agent *agent)
{
    list_for_each (link, &agent->sign_requests) {
        struct sign_request *request = list_entry(link, struct sign_request, link);
        if (hold_is_held(request) && request->hold.round != agent->hold_round)
            return request;
    }
    return NULL;
}

/* None that came before it waits for the same. */
static bool hold_is_first(const struct sign_request *request)
{
    list_for_each (link, &request->agent->sign_requests) {
        const struct sign_request *other = list_entry(link, struct sign_request, link);
        if (other == request)
            break;
        if (hold_is_held(other) && strcmp(other->hold.reason, request->hold.reason) == 0)
            return false;
    }
    return true;
}

/* What is told of each reason is what the first who waits for it says. */
static void hold_tell_first(struct agent *agent)
{
    list_for_each (link, &agent->sign_requests) {
        const struct sign_request *request = list_entry(link, struct sign_request, link);
        if (hold_is_held(request) && hold_is_first(request))
            agent_tell_waiting(agent, request->hold.reason, request->key_name, request->hold.text);
    }
}

static int hold_handle_review(sd_event_source *source, void *userdata)
{
    struct agent *agent = userdata;
    struct sign_request *request = NULL;

    (void)source;
    agent->hold_round++;
    agent->is_reviewing = true;
    while ((request = hold_next(agent))) {
        request->hold.round = agent->hold_round;
        hold_review(request);
    }
    agent->is_reviewing = false;
    hold_tell_first(agent);
    agent_free_retired(agent);
    return 0;
}

void hold_review_soon(struct agent *agent)
{
    int r = sd_event_source_set_enabled(agent->hold_review, SD_EVENT_ONESHOT);

    if (r < 0)
        log_error("cannot schedule a look at the waiting requests: %s", strerror(-r));
}

void hold_fail_all(struct agent *agent)
{
    list_for_each_safe (link, &agent->sign_requests) {
        struct sign_request *request = list_entry(link, struct sign_request, link);
        if (hold_is_held(request))
            sign_request_fail(request, PROTOCOL_E_BUSY, "the agent is ending");
    }
}

int hold_init(struct agent *agent)
{
    int r = sd_event_add_defer(agent->event, &agent->hold_review, hold_handle_review, agent);

    if (r >= 0)
        r = sd_event_source_set_enabled(agent->hold_review, SD_EVENT_OFF);
    return r < 0 ? r : 0;
}

void hold_deinit(struct agent *agent)
{
    agent->hold_review = sd_event_source_disable_unref(agent->hold_review);
}
