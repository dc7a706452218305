/* SPDX-License-Identifier: Apache-2.0 */
/* Supervision of one module's workers; see module.h. */
#include "agent/module.h"

#include <stdarg.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/module_internal.h"
#include "agent/module_login.h"
#include "agent/module_pin.h"
#include "agent/module_readers.h"
#include "agent/module_release.h"
#include "agent/sign_request.h"
#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"

#define MODULE_SETTLE_LOGIN_MS 2000u /* a login that takes longer does not hold up LIST */
#define MODULE_STABLE_MS 1000u /* a worker that was ready for so long did not fail at its start */

const char *module_get_name(const struct module *module)
{
    return module->config->name;
}

void module_set_text(struct module *module, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(module->text, sizeof(module->text), format, args);
    va_end(args);
}

void module_set_state(struct module *module, enum module_state state)
{
    if (module->state == state)
        return;
    module->state = state;
    agent_broadcast(module->agent, EVENT_MODULE_CHANGED, module_get_name(module), module->text);
    module_readers_reconsider(module);
}

void module_settle(struct module *module)
{
    if (module->has_settled)
        return;
    module->has_settled = true;
    module_readers_reconsider(module);
    agent_check_settled(module->agent);
}

struct worker *module_first_worker(const struct module *module, enum worker_state state)
{
    list_for_each (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        if (worker->state == state)
            return worker;
    }
    return NULL;
}

/* A worker may still come up, or is being replaced: requests can wait for it. */
bool module_is_starting(const struct module *module)
{
    static const enum worker_state states[] = {WORKER_STATE_LOADING, WORKER_STATE_LOGIN,
                                               WORKER_STATE_RETIRING, WORKER_STATE_ENDING};

    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        if (module_first_worker(module, states[i]))
            return true;
    return module->state == MODULE_STATE_STARTING || module->state == MODULE_STATE_RELEASED;
}

/* A state that was lost ends the worker: a fresh one starts from nothing. */
void module_retire(struct worker *worker)
{
    if (worker->state != WORKER_STATE_ENDING)
        worker_set_state(worker, WORKER_STATE_RETIRING);
    if (worker->in_flight == 0 && !worker->login_is_pending)
        worker_dismiss(worker);
}

bool module_is_replacing(const struct module *module)
{
    return module_first_worker(module, WORKER_STATE_RETIRING) ||
           module_first_worker(module, WORKER_STATE_ENDING);
}

/* It cannot work as it is configured: only a reload starts it again. */
static void module_give_up(struct module *module)
{
    module_set_state(module, MODULE_STATE_FAILED);
    module_settle(module);
    module_flush(module, PROTOCOL_E_BUSY, module->text);
    module_fail_unlock(module, module->text);
}

static void module_take_inventory(struct module *module, const struct worker *worker)
{
    absence_update(&module->absence, module->inventory, worker->inventory);
    module_readers_tell_new(module, worker->inventory);
    (void)inventory_unref(module->inventory);
    module->inventory = inventory_ref(worker->inventory);
    module_login_note_inventory(module, module->inventory);
}

/* Its logins are done: it may sign, and one more worker may start. */
static void module_worker_is_ready(struct module *module, struct worker *worker)
{
    if (worker->state == WORKER_STATE_LOGIN) {
        worker_set_state(worker, WORKER_STATE_READY);
        module->text[0] = '\0';
        log_info("%s: ready with %zu tokens and %zu keys (worker pid %d)", module_get_name(module),
                 worker->inventory->token_count, worker->inventory->key_count, (int)worker->pid);
    }
    module_take_inventory(module, worker);
    module_set_state(module, MODULE_STATE_READY);
    agent_keys_changed(module->agent);
    module_settle(module);
    module_resume_unlock(module, worker);
    module_release_arm(module);
    module_readers_check(module, worker);
    if (module_must_rescan(module)) {
        module_schedule_rescan(module);
        return;
    }
    module->rescans = 0;
    if (module->failures <= 1)
        module_start_missing(module);
}

/* A fresh worker that does not see a token which its siblings see has started at a bad moment. */
static bool module_start_went_wrong(const struct module *module, const struct worker *worker)
{
    return worker->state == WORKER_STATE_LOADING &&
           module_first_worker(module, WORKER_STATE_READY) &&
           module_misses_token(module, worker->inventory) &&
           !module_misses_token(module, module->inventory);
}

static void module_on_inventory(struct worker *worker, void *userdata)
{
    struct module *module = userdata;

    module_readers_take(module, worker);
    if (module_start_went_wrong(module, worker)) {
        log_warning("%s: a worker started without a token that others see; starting it again",
                    module_get_name(module));
        worker_kill(worker, WORKER_END_CRASH);
        return;
    }
    /* Before the logins not all keys are there: the picture of a ready sibling is better. */
    if (!module_first_worker(module, WORKER_STATE_READY))
        module_take_inventory(module, worker);
    if (worker->state == WORKER_STATE_LOADING)
        worker_set_state(worker, WORKER_STATE_LOGIN);
    /* In between: its keys can do less than it had said, or it was asked to look again. */
    if (worker->state == WORKER_STATE_READY && !worker->login_is_pending) {
        module_take_inventory(module, worker);
        agent_keys_changed(module->agent);
        module_login_again(module);
        module_pump(module);
    }
    if (worker->state != WORKER_STATE_LOGIN || worker->login_is_pending)
        return;
    if (module_login_step(module, worker))
        return;
    module_worker_is_ready(module, worker);
    module_pump(module);
}

void module_advance_logins(struct module *module)
{
    list_for_each (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        bool is_starting = worker->state == WORKER_STATE_LOGIN;
        if (!is_starting && worker->state != WORKER_STATE_READY)
            continue;
        if (!module_login_step(module, worker) && is_starting)
            module_worker_is_ready(module, worker);
    }
}

/* Sources may be asked that were not before. */
void module_login_again(struct module *module)
{
    list_for_each (link, &module->workers)
        list_entry(link, struct worker, link)->login_next = 0;
    module_advance_logins(module);
}

static void module_on_login_reply(struct worker *worker, const struct worker_reply *reply,
                                  void *userdata)
{
    struct module *module = userdata;

    if (worker->login_is_logout) {
        module_retire(worker);
        return;
    }
    if (worker->login_is_set_pin)
        module_set_pin_handle_reply(module, worker, reply);
    else
        module_login_handle_reply(module, worker, reply);
    if (reply->result == WORKER_E_STATE_LOST) {
        module->failures++; /* the next one starts after a pause */
        escape_text(reply->text, module->text, sizeof(module->text));
    }
    if (reply->result == WORKER_E_STATE_LOST || worker->state == WORKER_STATE_RETIRING)
        module_retire(worker);
    else if (worker->state == WORKER_STATE_READY)
        module_worker_is_ready(module, worker);
    module_advance_logins(module);
    module_pump(module);
}

/* A signature proves that the module works: missing workers may start at once. */
void module_note_success(struct module *module)
{
    if (module->failures == 0)
        return;
    module->failures = 0;
    module_start_missing(module);
}

static void module_on_failure(struct worker *worker, const struct worker_failure *failure,
                              void *userdata)
{
    struct module *module = userdata;

    escape_text(failure->text, module->text, sizeof(module->text));
    log_error("%s: %s", module_get_name(module), module->text);
    module->is_failed = failure->permanent;
    if (failure->uses_pcsc)
        module_readers_note_failure(module);
    module->has_declined = true;
    worker_kill(worker, WORKER_END_CRASH);
}

void module_note_failure(struct module *module, const struct worker *worker)
{
    bool had_come_up =
        worker->ready_since_ms > 0 &&
        clock_is_over(clock_monotonic_ms(), worker->ready_since_ms, MODULE_STABLE_MS);

    /* Workers that had been up and end together are one failure, not several in a row. */
    module->failures = had_come_up ? 1 : module->failures + 1;
}

static void module_on_ended(struct worker *worker, enum worker_end end, void *userdata)
{
    struct module *module = userdata;
    bool is_in_order = end == WORKER_END_RETIRED || end == WORKER_END_REMOVED;

    module_settle_requests(module, worker, end);
    if (module->login_worker == worker && worker->login_is_set_pin)
        module_set_pin_abort(module, worker);
    else if (module->login_worker == worker)
        module_login_abort(module, worker);
    if (!is_in_order)
        module_note_failure(module, worker);
    (void)worker_free(worker);
    module->worker_count--;
    module_advance_logins(module);
    agent_keys_changed(module->agent);
    if (module->is_leaving || module->agent->is_stopping) {
        module_pump(module);
        return;
    }
    if (!is_in_order) {
        module->restarts++;
        if (!module->text[0])
            module_set_text(module, end == WORKER_END_TIMEOUT
                                        ? "the module did not answer in time and was restarted"
                                        : "the module's process ended by itself and was restarted");
    }
    if (module->is_failed)
        module_give_up(module);
    else if (module->state != MODULE_STATE_RELEASED)
        module_schedule(module);
}

static void module_on_module(struct worker *worker, const struct worker_module *found,
                             void *userdata)
{
    (void)found;
    (void)userdata;
    worker_kill(worker, WORKER_END_INVALID);
}

static void module_on_discover_end(struct worker *worker, void *userdata)
{
    (void)userdata;
    worker_kill(worker, WORKER_END_INVALID);
}

const struct worker_callbacks module_callbacks = {
    .inventory = module_on_inventory,
    .login_reply = module_on_login_reply,
    .sign_reply = module_on_sign_reply,
    .failure = module_on_failure,
    .module = module_on_module,
    .discover_end = module_on_discover_end,
    .ended = module_on_ended,
};

static void module_kill_late(struct module *module, struct worker *worker)
{
    if (worker->state == WORKER_STATE_ENDING) {
        log_warning("%s: worker pid %d did not end by itself; killed", module_get_name(module),
                    (int)worker->pid);
    } else {
        log_error("%s: worker pid %d did not answer within %u ms; killed", module_get_name(module),
                  (int)worker->pid, module->config->timeout_ms);
        module_set_text(module, "the module did not answer in time and was restarted");
        if (module->uses_pcsc)
            module_readers_note_failure(module);
    }
    worker_kill(worker, WORKER_END_TIMEOUT);
}

bool module_check_deadlines(struct module *module, uint64_t now_ms)
{
    bool is_busy = module_login_check(module, now_ms);

    list_for_each (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        is_busy |= worker->state != WORKER_STATE_READY || worker->in_flight > 0 ||
                   worker->login_is_pending || worker->look_since_ms > 0;
        /* A PIN source may ask a person: nobody else waits for that. */
        if (worker->state == WORKER_STATE_LOGIN &&
            clock_is_over(now_ms, worker->state_since_ms, MODULE_SETTLE_LOGIN_MS))
            module_settle(module);
        if (worker->state == WORKER_STATE_LOADING && !module->has_settled && !module->is_slow &&
            clock_is_over(now_ms, worker->state_since_ms, MODULE_SETTLE_LOGIN_MS)) {
            module->is_slow = true;
            module_readers_reconsider(module);
        }
        if (module_readers_is_late(worker, now_ms)) {
            log_warning("%s: worker pid %d does not let go of a card that is gone; killed",
                        module_get_name(module), (int)worker->pid);
            worker_kill(worker, WORKER_END_REMOVED);
        }
        if (!worker_is_late(worker, now_ms, module->config->timeout_ms, MODULE_LOGIN_PIN_MS))
            continue;
        module_kill_late(module, worker);
    }
    return is_busy;
}

void module_reload(struct module *module)
{
    bool must_restart = module_certs_changed(module);

    for (size_t i = 0; i < module->token_count; i++) {
        module->tokens[i].pin_is_bad = false;
        module->tokens[i].source_is_proved = false;
        module->tokens[i].broken_off = 0;
        module->tokens[i].is_blocked = false;
        module->tokens[i].text[0] = '\0';
    }
    module_keep_expire(module);
    list_for_each (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        worker->login_next = 0;
        if (must_restart)
            module_retire(worker);
    }
    module_advance_logins(module);
    if (module->is_failed) {
        module->is_failed = false;
        module->failures = 0;
        module_schedule(module);
    }
}

void module_stop(struct module *module)
{
    list_for_each (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        worker_dismiss(worker);
    }
}

void module_leave(struct module *module)
{
    module->is_leaving = true;
    module_pump(module);
}

static int module_handle_keep_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source;
    (void)usec;
    module_keep_expire(userdata);
    return 0;
}

int module_new(struct agent *agent, struct config *owner, const struct config_module *config,
               struct module **ret_module)
{
    struct module *module = calloc(1, sizeof(*module));

    if (!module)
        return -ENOMEM;
    list_init(&module->link);
    list_init(&module->workers);
    list_init(&module->context_requests);
    list_init(&module->context_sources);
    fair_queue_init(&module->queue);
    module->agent = agent;
    module->config_owner = config_ref(owner);
    module->config = config;
    module->state = MODULE_STATE_STARTING;
    (void)module_certs_changed(module);
    int r = sd_event_add_time(agent->event, &module->keep_timer, CLOCK_BOOTTIME, UINT64_MAX, 0,
                              module_handle_keep_timer, module);
    if (r >= 0)
        r = sd_event_source_set_enabled(module->keep_timer, SD_EVENT_OFF);
    if (r >= 0)
        r = module_start_init(module);
    if (r >= 0)
        r = module_release_init(module);
    if (r < 0) {
        (void)module_free(module);
        return r;
    }
    *ret_module = module;
    return 0;
}

struct module *module_free(struct module *module)
{
    bool was_signing = false;
    struct sign_request *request = NULL;

    if (!module)
        return NULL;
    list_remove(&module->link);
    module_flush(module, PROTOCOL_E_BUSY, "the agent is ending");
    module_fail_unlock(module, "the agent is ending");
    module_login_abort(module, NULL);
    module_set_pin_abort(module, NULL);
    list_for_each_safe (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        while ((request = worker_steal_request(worker, &was_signing)))
            sign_request_fail(request, PROTOCOL_E_BUSY, "the agent is ending");
        (void)worker_free(worker);
    }
    sd_event_source_disable_unref(module->restart);
    sd_event_source_disable_unref(module->release);
    sd_event_source_disable_unref(module->keep_timer);
    sd_event_source_disable_unref(module->context_next);
    (void)inventory_unref(module->inventory);
    absence_forget_all(&module->absence);
    wire_writer_deinit(&module->certs);
    module_login_free_tokens(module);
    (void)config_unref(module->config_owner);
    free(module);
    return NULL;
}
