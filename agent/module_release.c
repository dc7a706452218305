/* SPDX-License-Identifier: Apache-2.0 */
/* Idle modules; see module_release.h. */
#include "agent/module_release.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/module_internal.h"
#include "common/clock.h"
#include "common/log.h"

static void module_release_arm_for(struct module *module, uint64_t wait_ms)
{
    int r = sd_event_source_set_time_relative(module->release, wait_ms * 1000);

    if (r >= 0)
        r = sd_event_source_set_enabled(module->release, SD_EVENT_ONESHOT);
    if (r < 0)
        log_error("%s: cannot arm the timer for its release: %s", module_get_name(module),
                  strerror(-r));
}

static bool module_is_busy(const struct module *module)
{
    if (module->queue.count > 0 || module->login_worker || module->unlock_wait ||
        module->context_request || !list_is_empty(&module->context_requests) ||
        !list_is_empty(&module->context_sources))
        return true;
    /* A person is asked, or a PIN is on its way to a worker. */
    for (size_t i = 0; i < module->token_count; i++)
        if (module->tokens[i].pin || module->tokens[i].prompt)
            return true;
    list_for_each (link, &module->workers) {
        const struct worker *worker = list_entry(link, struct worker, link);
        if (worker->in_flight > 0 || worker->state != WORKER_STATE_READY)
            return true;
    }
    return false;
}

static void module_release(struct module *module)
{
    log_info("%s: not used for %u ms; released", module_get_name(module),
             module->config->release_ms);
    module_set_state(module, MODULE_STATE_RELEASED);
    list_for_each (link, &module->workers)
        worker_dismiss(list_entry(link, struct worker, link));
    agent_watch(module->agent);
}

static int module_handle_release(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct module *module = userdata;
    uint64_t idle_ms = clock_monotonic_ms() - module->used_ms;
    uint32_t limit_ms = module->config->release_ms;

    (void)source;
    (void)usec;
    if (module->is_leaving || module->agent->is_stopping || module->state != MODULE_STATE_READY)
        return 0;
    if (module_is_busy(module))
        module_release_arm_for(module, limit_ms);
    else if (idle_ms < limit_ms)
        module_release_arm_for(module, limit_ms - idle_ms);
    else
        module_release(module);
    return 0;
}

int module_release_init(struct module *module)
{
    int r = sd_event_add_time(module->agent->event, &module->release, CLOCK_MONOTONIC, UINT64_MAX,
                              0, module_handle_release, module);

    if (r >= 0)
        r = sd_event_source_set_enabled(module->release, SD_EVENT_OFF);
    return r < 0 ? r : 0;
}

void module_release_arm(struct module *module)
{
    if (module->config->release_ms == 0)
        return;
    module->used_ms = clock_monotonic_ms();
    module_release_arm_for(module, module->config->release_ms);
}

void module_release_end(struct module *module)
{
    if (module->config->release_ms == 0)
        return;
    module->used_ms = clock_monotonic_ms();
    if (module->state != MODULE_STATE_RELEASED || module->is_leaving)
        return;
    module_set_state(module, MODULE_STATE_STARTING);
    module_start(module);
}
