/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells, at the price of one load, whether this process is the one that made an object. The mark
 * lies on a page that the kernel empties in a forked child (MADV_WIPEONFORK), so nothing is
 * registered with libc and the library can be unloaded at any time. getpid(2) would be a system
 * call per signature.
 */
#ifndef MTLS_CLIENT_FORK_GUARD_H
#define MTLS_CLIENT_FORK_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>

#include "common/cleanup.h"

enum fork_guard_state {
    FORK_GUARD_FORKED = 0, /* what the kernel leaves in a child */
    FORK_GUARD_OWN = 1,
    FORK_GUARD_RENEWING = 2, /* a thread of the child makes the object its own */
};

struct fork_guard {
    void *page;
    _Atomic int *state; /* at its start */
};

/** fork_guard_init() - this process owns the object. Return: 0, or -errno. */
int fork_guard_init(struct fork_guard *guard) _must_check_;
void fork_guard_deinit(struct fork_guard *guard);

/** fork_guard_is_own() - no fork happened since fork_guard_init() or fork_guard_end_renewal(). */
static inline bool fork_guard_is_own(const struct fork_guard *guard)
{
    return atomic_load_explicit(guard->state, memory_order_acquire) == FORK_GUARD_OWN;
}

/**
 * fork_guard_begin_renewal() - one thread of the child is chosen to clean up after the fork
 *
 * Return: true for that thread, which then calls fork_guard_end_renewal(); false for any other
 * thread, once the chosen one is done.
 */
bool fork_guard_begin_renewal(struct fork_guard *guard) _must_check_;
void fork_guard_end_renewal(struct fork_guard *guard);

#endif
