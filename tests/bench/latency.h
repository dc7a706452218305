/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durations counted in bins of 0.1 to 0.2 %, so that counts of several threads and processes add up
 * and percentiles come from all of them. Header only, and without libm, whose loading would be in
 * the time of a fresh process.
 */
#ifndef MTLS_BENCH_LATENCY_H
#define MTLS_BENCH_LATENCY_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

/* Each power of two has so many bins; clients.py has the same number. */
#define LATENCY_BINS_PER_OCTAVE 512u
#define LATENCY_BINS (30u * LATENCY_BINS_PER_OCTAVE) /* up to 2^38 ns: four minutes */

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
    unsigned int octave = 0;

    while (ns >> octave >= 2 * LATENCY_BINS_PER_OCTAVE)
        octave++;
    uint64_t bin = octave * LATENCY_BINS_PER_OCTAVE + (ns >> octave);
    latency->bins[bin < LATENCY_BINS ? bin : LATENCY_BINS - 1]++;
    latency->count++;
}

static inline void latency_merge(struct latency *into, const struct latency *from)
{
    for (size_t i = 0; i < LATENCY_BINS; i++)
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
    for (unsigned int i = 0; i < LATENCY_BINS; i++) {
        if (latency->bins[i] == 0)
            continue;
        (void)printf("%s[%u,%u]", comma, i, latency->bins[i]);
        comma = ",";
    }
    (void)printf("]}\n");
    (void)fflush(stdout);
}

#endif
