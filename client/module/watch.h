/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the slots still show what the agent has. The first look asks for the list alone, so that
 * a program that signs once and ends pays for nothing else. A program that looks again later gets a
 * subscription; from then on a look costs one poll() and asks the agent only when it has said that
 * something changed.
 */
#ifndef MTLS_MODULE_WATCH_H
#define MTLS_MODULE_WATCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/lib/mtls-agent.h"

struct library;

struct watch {
    struct mtls_agent_events *events; /* NULL: not subscribed */
    bool has_looked;                  /* asked at least once, with or without an answer */
    bool is_stale;                    /* what the slots show may be out of date */
    bool is_asking;                   /* a thread is about it, without the lock */
    uint64_t looked_us;               /* when the list was asked for last */
    uint64_t retry_us;    /* not before: an agent that hangs is not asked at each look */
    pthread_cond_t asked; /* is_asking was cleared */
};

/** watch_init() - nothing is known. Return: 0, or -errno. */
int watch_init(struct watch *watch);
void watch_deinit(struct watch *watch);

/**
 * watch_look() - bring the slots up to date, where needed
 * @must_subscribe: the caller is going to wait for events
 *
 * With the library's lock, which it gives up while it asks the agent. Where another thread asks
 * already, it waits for that answer only when the slots have never been filled.
 * Return: CKR_OK, also when the agent could not be asked; CKR_CRYPTOKI_NOT_INITIALIZED as
 * library_resume().
 */
unsigned long watch_look(struct library *library, bool must_subscribe);

#endif
