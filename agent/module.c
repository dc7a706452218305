/* SPDX-License-Identifier: Apache-2.0 */
/* Supervision of one module's workers, and the queue in front of them; see module.h. */
#include "agent/module.h"

#include <stdarg.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/keyring.h"
#include "agent/module_login.h"
#include "agent/pin_source.h"
#include "agent/sign_request.h"
#include "agent/worker.h"
#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"

#define MODULE_PAUSE_FIRST_MS 250u
#define MODULE_PAUSE_MAX_MS 30000u
#define MODULE_STABLE_MS 60000u /* a worker that lived so long did not fail at its start */
#define MODULE_HARDWARE_THREADS 4u
#define MODULE_ATTEMPTS_MAX 2u /* a request is with a worker at most so often */

static const struct worker_callbacks module_callbacks;

const char *module_get_name(const struct module *module)
{
    return module->config->name;
}

_printf_(2, 3) static void module_set_text(struct module *module, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(module->text, sizeof(module->text), format, args);
    va_end(args);
}

static void module_set_state(struct module *module, enum module_state state)
{
    if (module->state == state)
        return;
    module->state = state;
    agent_broadcast(module->agent, EVENT_MODULE_CHANGED, module_get_name(module), module->text);
}

/* The first outcome of a module, good or bad: from then on clients need not wait for it. */
static void module_settle(struct module *module)
{
    if (module->has_settled)
        return;
    module->has_settled = true;
    agent_check_settled(module->agent);
}

static struct worker *module_first_worker(const struct module *module, enum worker_state state)
{
    list_for_each (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        if (worker->state == state)
            return worker;
    }
    return NULL;
}

/* A worker may still come up, or is being replaced: requests can wait for it. */
static bool module_is_starting(const struct module *module)
{
    static const enum worker_state states[] = {WORKER_STATE_LOADING, WORKER_STATE_LOGIN,
                                               WORKER_STATE_RETIRING, WORKER_STATE_ENDING};

    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        if (module_first_worker(module, states[i]))
            return true;
    return module->state == MODULE_STATE_STARTING;
}

/* How many workers it should have: several only where that is known to help and to be safe. */
static size_t module_wanted_workers(const struct module *module)
{
    const struct inventory *inventory = module->inventory;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (module->config->workers != CONFIG_WORKERS_AUTO)
        return module->config->workers;
    if (!inventory || inventory->token_count == 0)
        return 1;
    for (size_t i = 0; i < inventory->token_count; i++) {
        const struct worker_token *token = &inventory->tokens[i].info;
        if (token->flags & WORKER_TOKEN_HARDWARE)
            return 1;
        /* A PIN that a person typed reaches one worker: it is given once and used once. */
        if ((token->flags & WORKER_TOKEN_LOGIN_REQUIRED) && !module_login_has_source(module, token))
            return 1;
    }
    return cores < 1 ? 1 : cores > (long)CONFIG_WORKERS_MAX ? CONFIG_WORKERS_MAX : (size_t)cores;
}

/* Signing threads of one worker: hardware may overlap calls; software with a worker per core need
 * not. */
static uint32_t module_wanted_threads(const struct module *module)
{
    bool is_software = module->inventory && module_wanted_workers(module) > 1;

    return is_software ? 2 : MODULE_HARDWARE_THREADS;
}

/* Certificates from files go along: the worker matches them to its keys. */
static void module_fill_certs(const struct module *module, struct worker_load *load)
{
    const struct config *config = module->agent->config;

    for (size_t i = 0; i < config->key_count && load->cert_count < WORKER_CERTS_MAX; i++) {
        const struct config_key *key = config->keys[i];
        if (key->cert_count == 0)
            continue;
        load->certs[load->cert_count++] = (struct worker_cert){
            .uri = wire_span_from_text(key->uri), .cert = {key->certs[0].der, key->certs[0].len}};
    }
}

static int module_spawn(struct module *module)
{
    _cleanup_free_ struct worker_load *load = calloc(1, sizeof(*load));
    struct worker *worker = NULL;

    if (!load)
        return -ENOMEM;
    int r = worker_spawn(module->agent->event, module_get_name(module), module->config->environment,
                         &module_callbacks, module, &worker);
    if (r)
        return r;
    load->path = wire_span_from_text(module->config->path);
    load->init_args = wire_span_from_text(module->config->init_args);
    load->threads = module_wanted_threads(module);
    load->verify = module->config->verify;
    module_fill_certs(module, load);
    list_append(&module->workers, &worker->link);
    module->worker_count++;
    r = worker_send_load(worker, load);
    if (r) {
        module_set_text(module, "the module's configuration does not fit one message");
        worker_kill(worker, WORKER_END_INVALID);
    }
    agent_watch(module->agent);
    log_debug("%s: worker pid %d started", module_get_name(module), (int)worker->pid);
    return 0;
}

static uint32_t module_pause_ms(const struct module *module)
{
    unsigned int doublings = module->failures - 2;

    if (module->failures <= 1)
        return 0;
    if (doublings > 7)
        return MODULE_PAUSE_MAX_MS;
    uint32_t pause_ms = MODULE_PAUSE_FIRST_MS << doublings;
    return pause_ms > MODULE_PAUSE_MAX_MS ? MODULE_PAUSE_MAX_MS : pause_ms;
}

/* Answers every waiting request: nothing will come to sign them soon. */
static void module_flush(struct module *module, enum protocol_error_code code, const char *text)
{
    struct fair_item *item = NULL;

    while ((item = fair_queue_peek(&module->queue))) {
        fair_queue_take(&module->queue, item);
        sign_request_fail(list_entry(item, struct sign_request, item), code, text);
    }
}

static void module_schedule(struct module *module)
{
    uint32_t pause_ms = module_pause_ms(module);
    bool has_worker = module_first_worker(module, WORKER_STATE_READY) != NULL;

    if (pause_ms == 0) {
        if (!has_worker)
            module_set_state(module, MODULE_STATE_STARTING);
    } else {
        log_warning("%s: failed %u times in a row; next start in %u ms", module_get_name(module),
                    module->failures, pause_ms);
        if (!has_worker) {
            module_set_state(module, MODULE_STATE_BACKOFF);
            module_settle(module);
            module_flush(module, PROTOCOL_E_BUSY, module->text);
        }
    }
    int r = sd_event_source_set_time_relative(module->restart, (uint64_t)pause_ms * 1000);
    if (r >= 0)
        r = sd_event_source_set_enabled(module->restart, SD_EVENT_ONESHOT);
    if (r < 0)
        log_error("%s: cannot schedule a restart: %s", module_get_name(module), strerror(-r));
}

/* It cannot work as it is configured: only a reload starts it again. */
static void module_give_up(struct module *module)
{
    module_set_state(module, MODULE_STATE_FAILED);
    module_settle(module);
    module_flush(module, PROTOCOL_E_BUSY, module->text);
}

static int module_handle_restart(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct module *module = userdata;

    (void)source;
    (void)usec;
    if (module->worker_count >= module_wanted_workers(module) || module->is_leaving)
        return 0;
    int r = module_spawn(module);
    if (r) {
        log_error("%s: cannot start a worker: %s", module_get_name(module), strerror(-r));
        module_set_text(module, "no worker process could be started: %s", strerror(-r));
        module->failures++;
        module_schedule(module);
    }
    return 0;
}

void module_start(struct module *module)
{
    module->state = MODULE_STATE_STARTING;
    (void)module_handle_restart(module->restart, 0, module);
}

/* Its logins are done: it may sign. One more worker may start now, never two at a time: software
 * tokens lose objects while another process starts or logs in (research on SoftHSM). */
static void module_worker_is_ready(struct module *module, struct worker *worker)
{
    if (worker->state == WORKER_STATE_LOGIN) {
        worker_set_state(worker, WORKER_STATE_READY);
        module->text[0] = '\0';
        log_info("%s: ready with %zu tokens and %zu keys (worker pid %d)", module_get_name(module),
                 worker->inventory->token_count, worker->inventory->key_count, (int)worker->pid);
    }
    module_set_state(module, MODULE_STATE_READY);
    agent_keys_changed(module->agent);
    module_settle(module);
    if (module->worker_count < module_wanted_workers(module) && module->failures == 0)
        (void)module_handle_restart(module->restart, 0, module);
}

static void module_pump(struct module *module);

/* A state that was lost ends the worker: a fresh one starts from nothing. */
static void module_retire(struct worker *worker)
{
    if (worker->state != WORKER_STATE_ENDING)
        worker_set_state(worker, WORKER_STATE_RETIRING);
    if (worker->in_flight == 0 && !worker->login_is_pending)
        worker_kill(worker, WORKER_END_RETIRED);
}

static void module_on_inventory(struct worker *worker, void *userdata)
{
    struct module *module = userdata;

    /* While a login is under way its reply follows; the keys count from then on. */
    (void)inventory_unref(module->inventory);
    module->inventory = inventory_ref(worker->inventory);
    if (worker->state == WORKER_STATE_LOADING)
        worker_set_state(worker, WORKER_STATE_LOGIN);
    if (worker->state != WORKER_STATE_LOGIN || worker->login_is_pending)
        return;
    if (module_login_step(module, worker))
        return;
    module_worker_is_ready(module, worker);
    module_pump(module);
}

static void module_on_login_reply(struct worker *worker, const struct worker_reply *reply,
                                  void *userdata)
{
    struct module *module = userdata;

    if (worker->login_is_logout) {
        module_retire(worker);
        return;
    }
    module_login_handle_reply(module, worker, reply);
    if (reply->result == WORKER_E_STATE_LOST) {
        module_retire(worker);
        return;
    }
    if (worker->state == WORKER_STATE_LOGIN && module_login_step(module, worker))
        return;
    module_worker_is_ready(module, worker);
    module_pump(module);
}

/* What the client is told for each way in which a worker can fail. */
static enum protocol_error_code module_error_code(enum worker_result result)
{
    switch (result) {
    case WORKER_E_LOCKED:
        return PROTOCOL_E_LOCKED;
    case WORKER_E_PIN:
    case WORKER_E_PIN_BLOCKED:
    case WORKER_E_PIN_SOURCE:
    case WORKER_E_REFUSED:
        return PROTOCOL_E_PIN;
    case WORKER_E_STATE_LOST:
        return PROTOCOL_E_TOKEN_GONE;
    case WORKER_E_UNSUPPORTED:
        return PROTOCOL_E_POLICY;
    default:
        return PROTOCOL_E_INTERNAL;
    }
}

static void module_on_sign_reply(struct worker *worker, struct sign_request *request,
                                 const struct worker_reply *reply, void *userdata)
{
    struct module *module = userdata;
    char text[PROTOCOL_TEXT_MAX];

    request->is_with_worker = false;
    if (reply->result == WORKER_OK) {
        module->failures = 0;
        sign_request_succeed(request, reply->signature);
    } else if (reply->result == WORKER_E_STATE_LOST && !request->is_answered &&
               request->item.line && request->attempts < MODULE_ATTEMPTS_MAX) {
        fair_queue_put_back(&module->queue, &request->item);
    } else {
        sign_request_fail(request, module_error_code(reply->result),
                          escape_text(reply->text, text, sizeof(text)));
    }
    if (reply->result == WORKER_E_STATE_LOST && worker->state == WORKER_STATE_READY) {
        log_warning("%s: %s; starting a fresh worker", module_get_name(module),
                    escape_text(reply->text, text, sizeof(text)));
        module_set_text(module, "%s", text);
        module->failures++;
        module_retire(worker);
    } else if (worker->state == WORKER_STATE_RETIRING) {
        module_retire(worker);
    }
    module_pump(module);
}

static void module_on_failure(struct worker *worker, const struct worker_failure *failure,
                              void *userdata)
{
    struct module *module = userdata;

    escape_text(failure->text, module->text, sizeof(module->text));
    log_error("%s: %s", module_get_name(module), module->text);
    module->is_failed = failure->permanent;
    worker_kill(worker, WORKER_END_CRASH);
}

/* Every request that the ended worker had gets its one answer, or another chance. */
static void module_settle_requests(struct module *module, struct worker *worker,
                                   enum worker_end end)
{
    struct sign_request *request = NULL;
    bool was_signing = false;

    while ((request = worker_steal_request(worker, &was_signing))) {
        request->is_with_worker = false;
        if (!was_signing && !request->is_answered && request->item.line &&
            request->attempts < MODULE_ATTEMPTS_MAX)
            fair_queue_put_back(&module->queue, &request->item);
        else if (end == WORKER_END_TIMEOUT)
            sign_request_fail(request, PROTOCOL_E_TIMEOUT,
                              "the token's module did not answer in time and was restarted");
        else
            sign_request_fail(request, PROTOCOL_E_INTERNAL,
                              "the token's module failed while it was signing; the signature was "
                              "not repeated, as it may have been made");
    }
}

static void module_on_ended(struct worker *worker, enum worker_end end, void *userdata)
{
    struct module *module = userdata;
    bool was_stable = worker->state_since_ms > 0 && worker->has_signed &&
                      clock_monotonic_ms() - worker->state_since_ms > MODULE_STABLE_MS;

    module_settle_requests(module, worker, end);
    if (worker->login_is_pending && !worker->login_is_logout)
        module_login_abort(module, worker);
    (void)worker_free(worker);
    module->worker_count--;
    agent_keys_changed(module->agent);
    if (module->is_leaving || module->agent->is_stopping) {
        module_pump(module);
        return;
    }
    module->restarts++;
    if (was_stable)
        module->failures = 0;
    if (end != WORKER_END_RETIRED) {
        module->failures++;
        if (!module->text[0])
            module_set_text(module, end == WORKER_END_TIMEOUT
                                        ? "the module did not answer in time and was restarted"
                                        : "the module's process ended by itself and was restarted");
    }
    if (module->is_failed)
        module_give_up(module);
    else
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

static const struct worker_callbacks module_callbacks = {
    .inventory = module_on_inventory,
    .login_reply = module_on_login_reply,
    .sign_reply = module_on_sign_reply,
    .failure = module_on_failure,
    .module = module_on_module,
    .discover_end = module_on_discover_end,
    .ended = module_on_ended,
};

/* The least busy worker that can sign with this key and has room. */
static struct worker *module_choose_worker(const struct module *module,
                                           const struct sign_request *request,
                                           const struct inventory_key **ret_key, bool *ret_may_come)
{
    struct worker *best = NULL;

    *ret_may_come = module_is_starting(module);
    list_for_each (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        if (worker->state != WORKER_STATE_READY)
            continue;
        const struct inventory_key *key = worker_get_usable_key(worker, request->key_hash);
        if (!key)
            continue;
        *ret_may_come = true;
        if (!worker_has_room(worker) || (best && best->in_flight <= worker->in_flight))
            continue;
        best = worker;
        *ret_key = key;
    }
    return best;
}

/* An always-authenticate key gets its PIN from the source for every signature. */
static int module_start_pin(struct module *module, struct worker *worker,
                            struct sign_request *request, const struct inventory_key *key,
                            int *ret_fd)
{
    const struct inventory_token *token = inventory_find_token(worker->inventory, key->info.token);
    const struct config_token *config =
        token ? module_login_find_config(module, &token->info) : NULL;

    if (!key->info.always_authenticate)
        return 0;
    if (!config || config->pin == CONFIG_PIN_ASK)
        return 1;
    return pin_source_start(module->agent->event, config, &request->pin_source, ret_fd);
}

/* Hands one request to a worker. False when it has to wait. */
static bool module_hand_over(struct module *module, struct worker *worker,
                             struct sign_request *request, const struct inventory_key *key)
{
    _cleanup_close_ int pin_fd = -1;

    fair_queue_take(&module->queue, &request->item);
    int r = module_start_pin(module, worker, request, key, &pin_fd);
    if (r > 0) {
        sign_request_fail(request, PROTOCOL_E_LOCKED,
                          "this key wants its PIN for every signature: give its [token] section a "
                          "source (pin = file:, command: or credential:)");
        return true;
    }
    if (!r)
        r = worker_send_sign(worker, request, key, pin_fd);
    if (r == -EAGAIN || r == -EPIPE || r == -ECONNRESET) {
        /* Its socket is full, or it has just died: nothing of the request has reached it. */
        request->pin_source = pin_source_free(request->pin_source);
        fair_queue_put_back(&module->queue, &request->item);
        if (r != -EAGAIN)
            worker_kill(worker, WORKER_END_CRASH);
        return false;
    }
    if (r) {
        sign_request_fail(request, PROTOCOL_E_INTERNAL,
                          "the request could not be handed to the token's process");
        return true;
    }
    request->attempts++;
    request->is_with_worker = true;
    return true;
}

static void module_fail_gone(struct sign_request *request)
{
    char text[PROTOCOL_TEXT_MAX];
    char label[256];

    (void)snprintf(text, sizeof(text), "token \"%s\" is gone, or no longer has this key",
                   escape_cstring(request->token_label, label, sizeof(label)));
    sign_request_fail(request, PROTOCOL_E_TOKEN_GONE, text);
}

static void module_pump_once(struct module *module)
{
    struct fair_item *item = NULL;

    while ((item = fair_queue_peek(&module->queue))) {
        struct sign_request *request = list_entry(item, struct sign_request, item);
        const struct inventory_key *key = NULL;
        bool may_come = false;
        struct worker *worker = module_choose_worker(module, request, &key, &may_come);
        if (worker) {
            if (!module_hand_over(module, worker, request, key))
                return;
        } else if (may_come) {
            return;
        } else {
            fair_queue_take(&module->queue, item);
            module_fail_gone(request);
        }
    }
}

static void module_pump(struct module *module)
{
    /* Answering may lead back here; one level is enough. */
    if (module->is_pumping)
        return;
    module->is_pumping = true;
    module_pump_once(module);
    module->is_pumping = false;
    if (!module->is_leaving || module->queue.count > 0)
        return;
    list_for_each (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        module_retire(worker);
    }
    if (list_is_empty(&module->workers))
        agent_module_left(module->agent, module);
}

void module_enqueue(struct module *module, struct fair_line *line, struct sign_request *request)
{
    fair_queue_append(&module->queue, line, &request->item);
    module_pump(module);
}

void module_forget(struct module *module, struct sign_request *request)
{
    fair_queue_remove(&module->queue, &request->item);
}

enum key_state module_key_state(const struct module *module,
                                const uint8_t hash[static PROTOCOL_KEY_HASH_LEN])
{
    const struct inventory_key *key =
        module->inventory ? inventory_find_key(module->inventory, hash) : NULL;

    list_for_each (link, &module->workers) {
        const struct worker *worker = list_entry(link, struct worker, link);
        if (worker->state == WORKER_STATE_READY && worker_get_usable_key(worker, hash))
            return KEY_STATE_READY;
    }
    if (!key || (module->state != MODULE_STATE_READY && module->state != MODULE_STATE_STARTING))
        return KEY_STATE_ABSENT;
    const struct inventory_token *token = inventory_find_token(module->inventory, key->info.token);
    bool is_locked = token && module_token_state(module, &token->info, NULL) != TOKEN_STATE_READY;
    if (is_locked)
        return KEY_STATE_LOCKED;
    return module_is_starting(module) ? KEY_STATE_READY : KEY_STATE_ABSENT;
}

enum token_state module_token_state(const struct module *module, const struct worker_token *token,
                                    const char **ret_text)
{
    const struct module_token *known = module_login_find(module, token);
    bool is_logged_in =
        !(token->flags & WORKER_TOKEN_LOGIN_REQUIRED) || (token->flags & WORKER_TOKEN_LOGGED_IN);

    if (ret_text)
        *ret_text = known && !is_logged_in ? known->text : "";
    if (known && known->is_locked_by_person)
        return TOKEN_STATE_LOCKED;
    if (is_logged_in)
        return TOKEN_STATE_READY;
    if ((known && known->is_blocked) || (token->flags & WORKER_TOKEN_PIN_LOCKED))
        return TOKEN_STATE_PIN_BLOCKED;
    if (known && known->pin_is_bad)
        return TOKEN_STATE_PIN_BAD;
    return TOKEN_STATE_LOCKED;
}

/* The sentence for a key whose token is not logged in. */
static enum protocol_error_code module_refuse_locked(const struct module *module,
                                                     const struct worker_token *token,
                                                     const char **ret_text)
{
    static char text[PROTOCOL_TEXT_MAX];
    char label[256];
    const char *detail = "";
    enum token_state state = module_token_state(module, token, &detail);

    escape_text(token->label, label, sizeof(label));
    *ret_text = text;
    if (state == TOKEN_STATE_PIN_BLOCKED) {
        (void)snprintf(text, sizeof(text), "the PIN of token \"%s\" is blocked", label);
        return PROTOCOL_E_PIN;
    }
    if (state == TOKEN_STATE_PIN_BAD) {
        (void)snprintf(text, sizeof(text), "token \"%s\": %.700s", label, detail);
        return PROTOCOL_E_PIN;
    }
    (void)snprintf(text, sizeof(text), "token \"%s\" waits for its PIN: run `mtls unlock '%s'`",
                   label, label);
    return PROTOCOL_E_LOCKED;
}

enum protocol_error_code module_admit(struct module *module, const struct keyring_key *key,
                                      const char **ret_text)
{
    const struct module_token *known = module_login_find(module, key->token);

    if (known && known->is_locked_by_person)
        return module_refuse_locked(module, key->token, ret_text);
    list_for_each (link, &module->workers) {
        const struct worker *worker = list_entry(link, struct worker, link);
        if (worker->state == WORKER_STATE_READY && worker_get_usable_key(worker, key->hash))
            return 0;
    }
    if (module_is_starting(module))
        return 0;
    if (module->state == MODULE_STATE_BACKOFF || module->state == MODULE_STATE_FAILED) {
        *ret_text = module->text[0] ? module->text : "the token's module is being restarted";
        return PROTOCOL_E_BUSY;
    }
    if (key->token->flags & WORKER_TOKEN_LOGGED_IN ||
        !(key->token->flags & WORKER_TOKEN_LOGIN_REQUIRED)) {
        *ret_text = "there is a certificate, but the token has no private key for it";
        return PROTOCOL_E_NO_KEY;
    }
    return module_refuse_locked(module, key->token, ret_text);
}

enum protocol_error_code module_unlock(struct module *module, const struct worker_token *token,
                                       int pin_fd, struct request *request, const char **ret_text)
{
    _cleanup_close_ int owned_fd = pin_fd;
    struct worker *worker = module_first_worker(module, WORKER_STATE_READY);

    if (!worker || worker->login_is_pending || module->login_request) {
        *ret_text = "the token's module is busy with another login or is starting; try again";
        return PROTOCOL_E_BUSY;
    }
    if (token->flags & WORKER_TOKEN_LOGGED_IN) {
        *ret_text = "the token is unlocked already";
        return PROTOCOL_E_PIN;
    }
    struct module_token *known = module_login_find(module, token);
    if (known)
        known->is_locked_by_person = false;
    int r = worker_send_login(worker, token->token, owned_fd, true, MODULE_LOGIN_PIN_MS);
    if (r) {
        *ret_text = "the PIN could not be handed to the token's process";
        return PROTOCOL_E_INTERNAL;
    }
    module->login_request = request;
    agent_watch(module->agent);
    return 0;
}

void module_forget_unlock(struct module *module, const struct request *request)
{
    if (module->login_request == request)
        module->login_request = NULL;
}

void module_lock(struct module *module, const struct worker_token *token)
{
    struct module_token *known = module_login_find(module, token);

    if (known)
        known->is_locked_by_person = true;
    list_for_each (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        if (worker->state != WORKER_STATE_READY && worker->state != WORKER_STATE_LOGIN)
            continue;
        if (worker->login_is_pending || worker_send_logout(worker, token->token)) {
            worker_kill(worker, WORKER_END_RETIRED);
            continue;
        }
        worker_set_state(worker, WORKER_STATE_RETIRING);
    }
    agent_watch(module->agent);
}

bool module_check_deadlines(struct module *module, uint64_t now_ms)
{
    bool is_busy = false;

    list_for_each (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        is_busy |= worker->state != WORKER_STATE_READY || worker->in_flight > 0 ||
                   worker->login_is_pending;
        if (!worker_is_late(worker, now_ms, module->config->timeout_ms, MODULE_LOGIN_PIN_MS))
            continue;
        log_error("%s: worker pid %d did not answer within %u ms; killed", module_get_name(module),
                  (int)worker->pid, module->config->timeout_ms);
        module_set_text(module, "the module did not answer in time and was restarted");
        worker_kill(worker, WORKER_END_TIMEOUT);
    }
    return is_busy;
}

/* Whether the certificates that go into LOAD are other ones than before; remembers the new ones. */
static bool module_certs_changed(struct module *module)
{
    _cleanup_free_ struct worker_load *load = calloc(1, sizeof(*load));
    struct wire_writer certs;

    if (!load)
        return false;
    wire_writer_init(&certs, WIRE_FRAME_MAX + WIRE_HEADER_LEN);
    load->threads = 1;
    module_fill_certs(module, load);
    if (worker_load_encode(&certs, load)) {
        wire_writer_deinit(&certs);
        return false;
    }
    bool changed = !wire_span_is_equal((struct wire_span){certs.data, certs.len},
                                       (struct wire_span){module->certs.data, module->certs.len});
    wire_writer_deinit(&module->certs);
    module->certs = certs;
    return changed;
}

void module_reload(struct module *module)
{
    bool must_restart = module_certs_changed(module);

    for (size_t i = 0; i < module->token_count; i++) {
        module->tokens[i].pin_is_bad = false;
        module->tokens[i].text[0] = '\0';
    }
    list_for_each (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        if (must_restart) {
            module_retire(worker);
        } else if (worker->state == WORKER_STATE_READY && !worker->login_is_pending) {
            worker->login_next = 0;
            (void)module_login_step(module, worker);
        }
    }
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
        worker_kill(worker, WORKER_END_RETIRED);
    }
}

void module_leave(struct module *module)
{
    module->is_leaving = true;
    module_pump(module);
}

int module_new(struct agent *agent, struct config *owner, const struct config_module *config,
               struct module **ret_module)
{
    struct module *module = calloc(1, sizeof(*module));

    if (!module)
        return -ENOMEM;
    list_init(&module->link);
    list_init(&module->workers);
    fair_queue_init(&module->queue);
    module->agent = agent;
    module->config_owner = config_ref(owner);
    module->config = config;
    module->state = MODULE_STATE_STARTING;
    (void)module_certs_changed(module);
    int r = sd_event_add_time(agent->event, &module->restart, CLOCK_BOOTTIME, UINT64_MAX, 0,
                              module_handle_restart, module);
    if (r >= 0)
        r = sd_event_source_set_enabled(module->restart, SD_EVENT_OFF);
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
    list_for_each_safe (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        while ((request = worker_steal_request(worker, &was_signing)))
            sign_request_fail(request, PROTOCOL_E_BUSY, "the agent is ending");
        (void)worker_free(worker);
    }
    module_login_abort(module, NULL);
    sd_event_source_disable_unref(module->restart);
    (void)inventory_unref(module->inventory);
    wire_writer_deinit(&module->certs);
    module_login_free_tokens(module);
    (void)config_unref(module->config_owner);
    free(module);
    return NULL;
}
