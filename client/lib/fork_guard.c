/* SPDX-License-Identifier: Apache-2.0 */
/* Detection of fork(2) without a handler and without a system call; see fork_guard.h. */
#include "client/lib/fork_guard.h"

#include <sched.h>
#include <sys/mman.h>

static size_t fork_guard_page_len(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

int fork_guard_init(struct fork_guard *guard)
{
    size_t len = fork_guard_page_len();
    void *page = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return -errno;
    if (madvise(page, len, MADV_WIPEONFORK) < 0) {
        int r = -errno;
        (void)munmap(page, len);
        return r;
    }
    guard->page = page;
    guard->state = page;
    atomic_store(guard->state, FORK_GUARD_OWN);
    return 0;
}

void fork_guard_deinit(struct fork_guard *guard)
{
    if (guard->page)
        (void)munmap(guard->page, fork_guard_page_len());
    *guard = (struct fork_guard){0};
}

bool fork_guard_begin_renewal(struct fork_guard *guard)
{
    int expected = FORK_GUARD_FORKED;

    if (atomic_compare_exchange_strong(guard->state, &expected, FORK_GUARD_RENEWING))
        return true;
    while (!fork_guard_is_own(guard))
        (void)sched_yield();
    return false;
}

void fork_guard_end_renewal(struct fork_guard *guard)
{
    atomic_store_explicit(guard->state, FORK_GUARD_OWN, memory_order_release);
}
