/* SPDX-License-Identifier: Apache-2.0 */
/* Looking before sleeping; see lookout.h. */
#include "common/lookout.h"

#include <sched.h>

#include "common/clock.h"

/* Yielding to nobody takes less than one microsecond, to somebody two switches and his time. */
#define LOOKOUT_YIELD_US 5u

void lookout_begin(struct lookout *lookout)
{
    cpu_set_t processors;

    /* With one processor, whoever is expected cannot come as long as we look. */
    bool is_alone =
        sched_getaffinity(0, sizeof(processors), &processors) < 0 || CPU_COUNT(&processors) < 2;
    lookout->until_us = is_alone ? 0 : clock_monotonic_us() + LOOKOUT_SOON_US;
}

bool lookout_goes_on(struct lookout *lookout)
{
    if (lookout->until_us == 0)
        return false;
    uint64_t now_us = clock_monotonic_us();
    (void)sched_yield();
    if (now_us >= lookout->until_us || clock_monotonic_us() - now_us > LOOKOUT_YIELD_US)
        lookout_end(lookout);
    return lookout->until_us > 0;
}

void lookout_end(struct lookout *lookout)
{
    lookout->until_us = 0;
}
