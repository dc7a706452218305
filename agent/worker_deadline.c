/* SPDX-License-Identifier: Apache-2.0 */
/* How long a token worker may take, and how far its login had come; see worker.h. */
#include "agent/sign_request.h"
#include "agent/worker.h"
#include "common/clock.h"

#define WORKER_DISMISS_MS 2000u /* for a dismissed worker to end by itself */

static uint32_t worker_get_login_state(const struct worker *worker)
{
    return atomic_load_explicit(&worker->ledger->login, memory_order_acquire);
}

bool worker_may_have_tried_pin(const struct worker *worker)
{
    uint32_t state = worker_get_login_state(worker);

    return !worker->login_is_logout && state != WORKER_LOGIN_TAKEN &&
           (worker->login_call_since_ms > 0 || state == WORKER_LOGIN_CALLED);
}

static bool worker_login_is_late(struct worker *worker, uint64_t now_ms, uint32_t timeout_ms,
                                 uint32_t pin_timeout_ms)
{
    if (!worker->login_is_pending)
        return false;
    if (worker->login_is_logout)
        return clock_is_over(now_ms, worker->login_since_ms, timeout_ms);
    if (worker->login_call_since_ms > 0 || worker_get_login_state(worker) != WORKER_LOGIN_WAITING) {
        if (worker->login_call_since_ms == 0)
            worker->login_call_since_ms = now_ms;
        return clock_is_over(now_ms, worker->login_call_since_ms,
                             (uint64_t)timeout_ms + (worker->login_is_keypad ? pin_timeout_ms : 0));
    }
    return clock_is_over(now_ms, worker->login_since_ms, (uint64_t)timeout_ms + pin_timeout_ms);
}

/* Somebody is at the keypad, and the token, or the whole module, is theirs meanwhile. */
static bool worker_is_typed_at(const struct worker *worker)
{
    bool is_typed_at = worker->login_is_pending && worker->login_is_keypad;

    for (size_t i = 0; worker->in_flight > 0 && i < WORKER_WINDOW_MAX; i++)
        is_typed_at |= worker->slots[i].request && worker->slots[i].request->pin_is_typed;
    return is_typed_at;
}

static bool worker_slot_is_late(const struct worker *worker, size_t slot, uint64_t now_ms,
                                uint32_t timeout_ms, uint32_t pin_timeout_ms)
{
    const struct sign_request *request = worker->slots[slot].request;
    uint64_t allowed_ms = timeout_ms;
    uint64_t since_ms = worker_began_us(worker, slot) / 1000;
    uint64_t sent_ms = worker->slots[slot].sent_us / 1000;

    if (!request)
        return false;
    if (request->pin_is_typed) {
        allowed_ms += pin_timeout_ms;
    } else {
        since_ms = since_ms < worker->typed_ms ? worker->typed_ms : since_ms;
        sent_ms = sent_ms < worker->typed_ms ? worker->typed_ms : sent_ms;
    }
    /* One that hangs while others are answered is late after as many turns as there may be. */
    return clock_is_over(now_ms, since_ms, allowed_ms) ||
           clock_is_over(now_ms, sent_ms, allowed_ms * worker->threads);
}

bool worker_is_late(struct worker *worker, uint64_t now_ms, uint32_t timeout_ms,
                    uint32_t pin_timeout_ms)
{
    if (worker->state == WORKER_STATE_ENDING)
        return worker->end == WORKER_END_RETIRED &&
               clock_is_over(now_ms, worker->state_since_ms, WORKER_DISMISS_MS);
    if (worker->state == WORKER_STATE_LOADING &&
        clock_is_over(now_ms, worker->state_since_ms, timeout_ms))
        return true;
    if (worker_is_typed_at(worker))
        worker->typed_ms = now_ms;
    if (worker->look_since_ms > 0 && clock_is_over(now_ms, worker->look_since_ms, timeout_ms) &&
        clock_is_over(now_ms, worker->typed_ms, timeout_ms))
        return true;
    if (worker_login_is_late(worker, now_ms, timeout_ms, pin_timeout_ms))
        return true;
    for (size_t i = 0; worker->in_flight > 0 && i < WORKER_WINDOW_MAX; i++)
        if (worker_slot_is_late(worker, i, now_ms, timeout_ms, pin_timeout_ms))
            return true;
    return false;
}
