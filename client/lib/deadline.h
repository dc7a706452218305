/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a call as a point of CLOCK_MONOTONIC in microseconds (common/clock.h), and what system
 * calls want instead: the time that is left.
 */
#ifndef MTLS_CLIENT_DEADLINE_H
#define MTLS_CLIENT_DEADLINE_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/time.h>

#include "common/clock.h"

static inline uint64_t deadline_after_ms(unsigned int ms)
{
    return clock_monotonic_us() + (uint64_t)ms * 1000u;
}

/** deadline_left_us() - microseconds left; 0: it has passed. */
static inline uint64_t deadline_left_us(uint64_t deadline_us)
{
    uint64_t now = clock_monotonic_us();

    return now < deadline_us ? deadline_us - now : 0;
}

/** deadline_left_ms() - milliseconds left, rounded up, as the wire carries them: 0 means passed. */
static inline uint32_t deadline_left_ms(uint64_t deadline_us)
{
    uint64_t left_ms = (deadline_left_us(deadline_us) + 999u) / 1000u;

    return left_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)left_ms;
}

/** deadline_for_agent_ms() - the same, a little less: what the agent says at its end comes in time.
 */
static inline uint32_t deadline_for_agent_ms(uint64_t deadline_us)
{
    uint32_t left_ms = deadline_left_ms(deadline_us);
    uint32_t margin_ms = left_ms / 10u < 500u ? left_ms / 10u : 500u;

    return left_ms - margin_ms;
}

static inline struct timeval deadline_to_timeval(uint64_t left_us)
{
    return (struct timeval){
        .tv_sec = (time_t)(left_us / 1000000u),
        .tv_usec = (suseconds_t)(left_us % 1000000u),
    };
}

/**
 * deadline_init_condition() - a condition variable for deadline_wait()
 *
 * Return: 0, or -errno.
 */
static inline int deadline_init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    int r = pthread_condattr_init(&attributes);
    if (r)
        return -r;
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    r = pthread_cond_init(condition, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return -r;
}

/**
 * deadline_wait() - wait on a condition variable
 * @mutex:      held; released meanwhile
 *
 * Return: true, also when it woke for nothing; false when the deadline had passed before.
 */
static inline bool deadline_wait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                 uint64_t deadline_us)
{
    uint64_t left_us = deadline_left_us(deadline_us);

    if (left_us == 0)
        return false;
    uint64_t until_us = clock_now_us(CLOCK_MONOTONIC) + left_us;
    struct timespec until = {
        .tv_sec = (time_t)(until_us / 1000000u),
        .tv_nsec = (long)(until_us % 1000000u) * 1000,
    };
    (void)pthread_cond_timedwait(condition, mutex, &until);
    return true;
}

#endif
