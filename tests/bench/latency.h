/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durations counted in bins of equal ratio (0.2 %), so that counts of several threads and processes
 * add up and percentiles come from all of them. Header only.
 */
#ifndef MTLS_BENCH_LATENCY_H
#define MTLS_BENCH_LATENCY_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define LATENCY_BIN_LOG 0.002 /* run.py has the same number */
#define LATENCY_BINS 13000    /* up to e^26 ns: three minutes */

struct latency {
    uint32_t bins[LATENCY_BINS];
    uint64_t count;
    uint64_t failures;
};

static inline uint64_t latency_now_ns(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline void latency_add(struct latency *latency, uint64_t ns)
{
    double bin = ns > 1 ? log((double)ns) / LATENCY_BIN_LOG : 0;

    latency->bins[bin < LATENCY_BINS ? (int)bin : LATENCY_BINS - 1]++;
    latency->count++;
}

static inline void latency_merge(struct latency *into, const struct latency *from)
{
    for (int i = 0; i < LATENCY_BINS; i++)
        into->bins[i] += from->bins[i];
    into->count += from->count;
    into->failures += from->failures;
}

/** latency_print() - one line of JSON on stdout. */
static inline void latency_print(const struct latency *latency, uint64_t elapsed_ns)
{
    const char *comma = "";

    (void)printf("{\"count\":%llu,\"failures\":%llu,\"seconds\":%.6f,\"bins\":[",
                 (unsigned long long)latency->count, (unsigned long long)latency->failures,
                 (double)elapsed_ns / 1e9);
    for (int i = 0; i < LATENCY_BINS; i++) {
        if (latency->bins[i] == 0)
            continue;
        (void)printf("%s[%d,%u]", comma, i, latency->bins[i]);
        comma = ",";
    }
    (void)printf("]}\n");
    (void)fflush(stdout);
}

#endif
