/* SPDX-License-Identifier: Apache-2.0 */
/* Looking for the tokens of a module again: many modules see none that came after they were loaded,
 * so fresh workers do it. */
#include <string.h>

#include "agent/agent.h"
#include "agent/module_internal.h"
#include "agent/module_login.h"
#include "agent/module_pin.h"
#include "agent/module_readers.h"
#include "common/clock.h"
#include "common/log.h"

#define MODULE_RESCAN_FIRST_MS 1000u /* then doubled up to 32 s */
#define MODULE_LOOK_MS 1000u         /* on demand, when nobody has to log in again for it */
#define MODULE_LOOK_LOGIN_MS 32000u  /* when a PIN source has to be asked again */

/* @hint: where it was before, as tokens seldom change their places. */
static bool module_inventory_has(const struct inventory *inventory,
                                 const struct module_token *token, size_t hint)
{
    const struct worker_token id = module_token_get_id(token);

    return inventory_find_same(inventory, &id, hint) != NULL;
}

bool module_misses_token(const struct module *module, const struct inventory *inventory)
{
    for (size_t i = 0; i < module->token_count; i++)
        if (!module_inventory_has(inventory, &module->tokens[i], i))
            return true;
    return false;
}

bool module_must_rescan(const struct module *module)
{
    for (size_t i = 0; i < module->token_count; i++)
        if (!module_inventory_has(module->inventory, &module->tokens[i], i) &&
            !module_readers_tell_of(module, &module->tokens[i]))
            return true;
    return false;
}

void module_schedule_rescan(struct module *module)
{
    unsigned int doublings = module->rescans < 5 ? module->rescans : 5;
    uint64_t pause_ms = (uint64_t)MODULE_RESCAN_FIRST_MS << doublings;

    int r = sd_event_source_set_time_relative(module->restart, pause_ms * 1000);
    if (r >= 0)
        r = sd_event_source_set_enabled(module->restart, SD_EVENT_ONESHOT);
    if (r < 0)
        log_error("%s: cannot schedule a look for its tokens: %s", module_get_name(module),
                  strerror(-r));
}

void module_rescan(struct module *module)
{
    module->rescans++;
    list_for_each (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        if (worker->state == WORKER_STATE_READY && !module_login_is_typed(module, worker))
            module_retire(worker);
    }
}

/* The age of a worker is how long ago it looked. */
void module_look_again(struct module *module)
{
    const struct worker *worker = module_first_worker(module, WORKER_STATE_READY);

    if (!worker || module->is_leaving || module->login_worker || module_readers_are_known(module))
        return;
    uint32_t pause_ms = module_login_is_held(worker) ? MODULE_LOOK_LOGIN_MS : MODULE_LOOK_MS;
    if (clock_is_over(clock_monotonic_ms(), worker->ready_since_ms, pause_ms))
        module_rescan(module);
}

/* A worker that is in a call may be in it for ever: the machine slept in between. */
static void module_replace_now(struct worker *worker)
{
    if (worker->state == WORKER_STATE_LOADING)
        worker_kill(worker, WORKER_END_RETIRED);
    else if (worker->in_flight > 0 || worker->login_is_pending)
        worker->card_gone_ms = clock_monotonic_ms();
    module_retire(worker);
}

static bool module_has_hardware(const struct inventory *inventory)
{
    for (size_t i = 0; inventory && i < inventory->token_count; i++)
        if (inventory->tokens[i].info.flags & WORKER_TOKEN_HARDWARE)
            return true;
    return false;
}

static bool module_had_hardware(const struct module *module)
{
    for (size_t i = 0; i < module->absence.count; i++)
        if (absence_get_token(&module->absence.tokens[i])->flags & WORKER_TOKEN_HARDWARE)
            return true;
    return false;
}

void module_look_again_now(struct module *module)
{
    if (module->is_leaving || module->is_failed ||
        (!module->uses_pcsc && !module_has_hardware(module->inventory) &&
         !module_had_hardware(module)))
        return;
    list_for_each (link, &module->workers)
        module_replace_now(list_entry(link, struct worker, link));
    agent_watch(module->agent);
    if (module->worker_count > 0 || module->state == MODULE_STATE_RELEASED)
        return;
    module->failures = 0;
    module_schedule(module);
}
