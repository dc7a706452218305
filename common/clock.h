/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time for deadlines: CLOCK_MONOTONIC, which no one can set and which stands still while the system
 * sleeps. A deadline is time in which something could have been done: whoever slept is not late.
 * How long a secret may be kept is another matter, there sleep counts. Certificate validity is the
 * only use of the real-time clock and does not go through here.
 */
#ifndef MTLS_COMMON_CLOCK_H
#define MTLS_COMMON_CLOCK_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static inline uint64_t clock_now_us(clockid_t clock)
{
    struct timespec now = {0};

    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/** clock_monotonic_us() - microseconds of CLOCK_MONOTONIC. */
static inline uint64_t clock_monotonic_us(void)
{
    return clock_now_us(CLOCK_MONOTONIC);
}

/** clock_monotonic_ms() - milliseconds of CLOCK_MONOTONIC. */
static inline uint64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000u;
}

/** clock_with_sleep_ms() - milliseconds of CLOCK_BOOTTIME: for how long something is kept. */
static inline uint64_t clock_with_sleep_ms(void)
{
    return clock_now_us(CLOCK_BOOTTIME) / 1000u;
}

/**
 * clock_is_over() - more than @limit_ms have gone by since @since_ms
 * @now_ms:     may have been read before @since_ms, in the same turn of a loop: then nothing has
 */
static inline bool clock_is_over(uint64_t now_ms, uint64_t since_ms, uint64_t limit_ms)
{
    return now_ms > since_ms && now_ms - since_ms > limit_ms;
}

/** clock_poll_timeout() - milliseconds as poll() takes them. */
static inline int clock_poll_timeout(uint64_t left_ms)
{
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

#endif
