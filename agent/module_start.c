/* SPDX-License-Identifier: Apache-2.0 */
/* Starting the workers of a module: how many, with what, and how soon after a failure. */
#include <string.h>

#include "agent/agent.h"
#include "agent/module_internal.h"
#include "agent/module_login.h"
#include "agent/module_readers.h"
#include "agent/readers.h"
#include "common/clock.h"
#include "common/log.h"

#define MODULE_PAUSE_FIRST_MS 250u
#define MODULE_PAUSE_MAX_MS 30000u
#define MODULE_PAUSE_WAIT_MS 500u  /* requests wait out a pause that is not longer */
#define MODULE_DEMAND_MS 500u      /* between starts that requests ask for in a pause */
#define MODULE_HARDWARE_THREADS 4u /* a software token gets one, and more workers instead */

/* Each worker needs a session. */
static uint32_t module_has_sessions_for(const struct module *module, uint32_t workers)
{
    uint32_t max = module->config->max_sessions;

    return max > 0 && max < workers ? max : workers;
}

/* How many workers it should have: several only where that is known to help and to be safe. */
static size_t module_wanted_workers(const struct module *module)
{
    const struct inventory *inventory = module->inventory;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (module->config->workers != CONFIG_WORKERS_AUTO)
        return module_has_sessions_for(module, module->config->workers);
    /* What counts sessions is an HSM, and several threads of one process make do with less. */
    if (module->config->max_sessions > 0)
        return 1;
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

/* Certificates from files go along: the worker matches them to its keys. */
static void module_fill_certs(const struct module *module, struct worker_load *load)
{
    const struct config *config = module->agent->config;

    for (size_t i = 0; i < config->key_count; i++) {
        const struct config_key *key = config->keys[i];
        size_t uri_count = key->cert_count > 0 ? key->uri_count : 0;
        for (size_t j = 0; j < uri_count && load->cert_count < WORKER_CERTS_MAX; j++)
            load->certs[load->cert_count++] =
                (struct worker_cert){.uri = wire_span_from_text(key->uris[j].text),
                                     .cert = {key->certs[0].der, key->certs[0].len}};
    }
}

/* A thread each, the first one with the session that objects are read in. */
static void module_share_sessions(const struct module *module, struct worker_load *load)
{
    load->sessions = module->config->max_sessions / (uint32_t)module_wanted_workers(module);
    load->threads = MODULE_HARDWARE_THREADS;
    if (load->sessions > 0 && load->sessions < load->threads)
        load->threads = load->sessions;
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
    module_share_sessions(module, load);
    load->verify = module->config->verify;
    module_fill_certs(module, load);
    list_append(&module->workers, &worker->link);
    module->worker_count++;
    worker->generation = readers_generation(module->agent->readers);
    module->started_ms = clock_monotonic_ms();
    module->has_declined = false;
    r = worker_send_load(worker, load);
    if (r) {
        module_set_text(module, "the token's process could not be told what to load: %s",
                        r < 0 ? strerror(-r) : "it does not fit one message");
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

void module_schedule(struct module *module)
{
    uint32_t pause_ms = module_pause_ms(module);
    bool has_worker = module_first_worker(module, WORKER_STATE_READY) != NULL;

    if (pause_ms > 0)
        log_warning("%s: failed %u times in a row; next start in %u ms", module_get_name(module),
                    module->failures, pause_ms);
    if (!has_worker) {
        if (pause_ms <= MODULE_PAUSE_WAIT_MS) {
            module_set_state(module, MODULE_STATE_STARTING);
        } else {
            module_set_state(module, MODULE_STATE_BACKOFF);
            module_settle(module);
            module_flush(module, module_down_code(module), module->text);
            module_fail_unlock(module, module->text);
        }
    }
    int r = sd_event_source_set_time_relative(module->restart, (uint64_t)pause_ms * 1000);
    if (r >= 0)
        r = sd_event_source_set_enabled(module->restart, SD_EVENT_ONESHOT);
    if (r < 0)
        log_error("%s: cannot schedule a restart: %s", module_get_name(module), strerror(-r));
}

void module_start_missing(struct module *module)
{
    /* One at a time: software tokens lose objects while another process starts or logs in. The one
     * that is starting comes back here when it is done. */
    if (module->is_leaving || module->agent->is_stopping ||
        module->state == MODULE_STATE_RELEASED ||
        module_first_worker(module, WORKER_STATE_LOADING) ||
        module_first_worker(module, WORKER_STATE_LOGIN))
        return;
    if (module->worker_count >= module_wanted_workers(module)) {
        if (module_must_rescan(module))
            module_rescan(module);
        return;
    }
    int r = module_spawn(module);
    if (r) {
        log_error("%s: cannot start a worker: %s", module_get_name(module), strerror(-r));
        module_set_text(module, "no worker process could be started: %s", strerror(-r));
        module->failures++;
        module_schedule(module);
    }
}

static int module_handle_restart(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source;
    (void)usec;
    module_start_missing(userdata);
    return 0;
}

int module_start_init(struct module *module)
{
    int r = sd_event_add_time(module->agent->event, &module->restart, CLOCK_MONOTONIC, UINT64_MAX,
                              0, module_handle_restart, module);

    if (r >= 0)
        r = sd_event_source_set_enabled(module->restart, SD_EVENT_OFF);
    return r;
}

bool module_start_on_demand(struct module *module)
{
    if (module->state != MODULE_STATE_BACKOFF || !module->has_declined ||
        !clock_is_over(clock_monotonic_ms(), module->started_ms, MODULE_DEMAND_MS))
        return false;
    module_set_state(module, MODULE_STATE_STARTING);
    module_start_missing(module);
    return module_is_starting(module);
}

void module_start(struct module *module)
{
    module->state = MODULE_STATE_STARTING;
    module_start_missing(module);
}

bool module_certs_changed(struct module *module)
{
    _cleanup_free_ struct worker_load *load = calloc(1, sizeof(*load));
    struct wire_writer certs;

    if (!load)
        return false;
    wire_writer_init(&certs, WORKER_PACKET_MAX);
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
