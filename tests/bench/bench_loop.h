/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation of every bench client with run.py: it prints "ready", then for each line
 * "run MILLISECONDS" on stdin works for that long on all its threads and prints one line of JSON.
 * End of input ends it. So one process serves all rounds, and its start is in none of them.
 */
#ifndef MTLS_BENCH_LOOP_H
#define MTLS_BENCH_LOOP_H

#include "common/cleanup.h"

/** bench_work_fn - one unit of work; the time it takes is one latency. Return: 0, or 1. */
typedef int (*bench_work_fn)(void *context);

#define BENCH_THREADS_MAX 64u

/**
 * bench_loop() - talk and work until the input ends
 * @contexts:   one per thread, given to @work
 *
 * Return: 0, or 1 when some work failed.
 */
int bench_loop(bench_work_fn work, void **contexts, unsigned int threads) _must_check_;

#endif
