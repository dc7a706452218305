/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that work for a time on request; see bench_loop.h. */
#include "bench_loop.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "latency.h"

struct bench_thread {
    pthread_t thread;
    bench_work_fn work;
    void *context;
    uint64_t end_ns;
    struct latency latency;
};

static void *bench_thread_run(void *arg)
{
    struct bench_thread *self = arg;

    for (uint64_t now = latency_now_ns(); now < self->end_ns;) {
        int r = self->work(self->context);
        uint64_t done = latency_now_ns();
        if (r) {
            self->latency.failures++;
            break;
        }
        latency_add(&self->latency, done - now);
        now = latency_now_ns();
    }
    return NULL;
}

/* Works for @ms on all threads; a single one needs no thread of its own. */
static int bench_run(struct bench_thread *threads, unsigned int count, unsigned long ms,
                     struct latency *total)
{
    uint64_t start = latency_now_ns();

    for (unsigned int i = 0; i < count; i++) {
        memset(&threads[i].latency, 0, sizeof(threads[i].latency));
        threads[i].end_ns = start + ms * 1000000u;
    }
    if (count == 1) {
        (void)bench_thread_run(&threads[0]);
    } else {
        for (unsigned int i = 0; i < count; i++)
            if (pthread_create(&threads[i].thread, NULL, bench_thread_run, &threads[i]))
                return 1;
        for (unsigned int i = 0; i < count; i++)
            (void)pthread_join(threads[i].thread, NULL);
    }
    uint64_t elapsed = latency_now_ns() - start;
    memset(total, 0, sizeof(*total));
    for (unsigned int i = 0; i < count; i++)
        latency_merge(total, &threads[i].latency);
    latency_print(total, elapsed);
    return total->failures > 0;
}

int bench_loop(bench_work_fn work, void **contexts, unsigned int threads)
{
    _cleanup_free_ struct bench_thread *all = calloc(threads, sizeof(*all));
    _cleanup_free_ struct latency *total = calloc(1, sizeof(*total));
    unsigned long ms = 0;
    char line[64];
    int r = 0;

    if (!all || !total)
        return 1;
    for (unsigned int i = 0; i < threads; i++) {
        all[i].work = work;
        all[i].context = contexts[i];
    }
    (void)puts("ready");
    (void)fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        if (sscanf(line, "run %lu", &ms) != 1)
            return 1;
        r |= bench_run(all, threads, ms, total);
    }
    return r;
}
