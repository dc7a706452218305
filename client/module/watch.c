/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping the slots up to date; see watch.h. */
#include "client/module/watch.h"

#include "client/lib/deadline.h"
#include "client/module/library.h"

/* What was listed so long ago is worth a subscription. */
#define WATCH_FRESH_US 1000000u
/* An agent that is there and does not answer is left alone for so long, and for as long again as
 * the question took: a program that looks hundreds of times must not hang each time. */
#define WATCH_RETRY_US 1000000u
/* For another thread's first answer, which has the handle's deadline itself. */
#define WATCH_WAIT_US (2u * MTLS_AGENT_DEADLINE_MS * 1000u)

int watch_init(struct watch *watch)
{
    *watch = (struct watch){.is_stale = true};
    return deadline_init_condition(&watch->asked);
}

/* Taken out first: a child of a fork in the middle must not find what is gone. */
static void watch_end_events(struct watch *watch)
{
    (void)mtls_agent_events_free(TAKE_PTR(watch->events));
}

void watch_deinit(struct watch *watch)
{
    watch_end_events(watch);
    (void)pthread_cond_destroy(&watch->asked);
}

/* Takes what the agent has told. Its end means that anything may have happened. */
static void watch_drain(struct library *library)
{
    struct watch *watch = &library->watch;
    struct mtls_agent_event event;

    while (watch->events) {
        int code = mtls_agent_events_next(watch->events, 0, &event, NULL);
        if (code == MTLS_AGENT_E_TIMEOUT)
            return;
        watch->is_stale = true;
        if (code) {
            watch_end_events(watch);
            library_wake(library);
        }
    }
}

/* What one look asks the agent for, and gets. */
struct watch_question {
    bool wants_events;
    int events_code; /* enum mtls_agent_code */
    struct mtls_agent_events *events;
    int list_code;
    struct mtls_agent_keys *keys;
};

/*
 * Without the lock. The subscription comes first, so that no change falls between it and the list.
 * An agent that has no room for one more connection still has its list.
 */
static void watch_ask(struct mtls_agent *agent, struct watch_question *question)
{
    if (question->wants_events)
        question->events_code = mtls_agent_events_new(
            agent, MTLS_AGENT_EVENT_KEYS | MTLS_AGENT_EVENT_TOKEN | MTLS_AGENT_EVENT_MODULE,
            &question->events, NULL);
    question->list_code = question->events_code;
    if (question->events_code == 0 || question->events_code == MTLS_AGENT_E_BUSY)
        question->list_code = mtls_agent_list(agent, NULL, &question->keys, NULL);
}

/* Where nobody listens, connecting fails at once: the agent is found as soon as it is there. */
static bool watch_is_worth_a_rest(int code)
{
    return code && code != MTLS_AGENT_E_NO_AGENT;
}

static void watch_take_answer(struct library *library, struct watch_question *question,
                              uint64_t asked_us)
{
    struct watch *watch = &library->watch;
    bool is_first = !watch->has_looked;

    watch->has_looked = true;
    watch->looked_us = asked_us;
    if (question->events) {
        watch_end_events(watch);
        watch->events = question->events;
    }
    if (question->list_code == 0 && slots_update(&library->slots, question->keys, is_first) == 0)
        watch->is_stale = false;
    if (question->events || question->list_code == 0)
        library_wake(library);
    if (watch_is_worth_a_rest(question->events_code) ||
        watch_is_worth_a_rest(question->list_code)) {
        uint64_t now_us = clock_monotonic_us();
        watch->retry_us = now_us + WATCH_RETRY_US + (now_us - asked_us);
    }
    sessions_close_absent(&library->sessions, &library->slots);
}

static CK_RV watch_refresh(struct library *library, bool wants_events)
{
    struct watch *watch = &library->watch;
    struct watch_question question = {.wants_events = wants_events};
    uint64_t asked_us = clock_monotonic_us();

    watch->is_asking = true;
    library_pause(library);
    watch_ask(library->agent, &question);
    CK_RV rv = library_resume(library);
    if (rv != CKR_OK) {
        (void)mtls_agent_events_free(question.events);
        (void)mtls_agent_keys_free(question.keys);
        return rv;
    }
    watch->is_asking = false;
    (void)pthread_cond_broadcast(&watch->asked);
    watch_take_answer(library, &question, asked_us);
    return CKR_OK;
}

unsigned long watch_look(struct library *library, bool must_subscribe)
{
    struct watch *watch = &library->watch;
    uint64_t now_us = clock_monotonic_us();

    while (watch->is_asking && !watch->has_looked && deadline_left_us(now_us + WATCH_WAIT_US) > 0) {
        CK_RV rv = library_wait(library, &watch->asked, now_us + WATCH_WAIT_US);
        if (rv != CKR_OK)
            return rv;
    }
    watch_drain(library);
    bool is_old = !watch->events && now_us > watch->looked_us + WATCH_FRESH_US;
    bool wants_events =
        !watch->events && (must_subscribe || (watch->has_looked && (is_old || watch->is_stale)));
    if (watch->is_asking || !(watch->is_stale || wants_events) || now_us < watch->retry_us)
        return CKR_OK;
    return watch_refresh(library, wants_events);
}
