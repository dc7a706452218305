/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for what comes soon before going to sleep for it. To be woken on an idle processor takes
 * half as long as a software token takes for a P-256 signature, and a signature needs four such
 * wake-ups. A thread that expects its event within microseconds saves one by looking.
 *
 * It costs time of the processor, so it is for software tokens under load alone, lasts
 * microseconds, and ends as soon as anybody else wants the processor, or when there is only one.
 */
#ifndef MTLS_COMMON_LOOKOUT_H
#define MTLS_COMMON_LOOKOUT_H

#include <stdbool.h>
#include <stdint.h>

/* What is expected later than this is slept for. */
#define LOOKOUT_SOON_US 200u

/* All zero: does not look. */
struct lookout {
    uint64_t until_us; /* of the monotonic clock; 0: does not look */
};

/** lookout_begin() - something is expected within LOOKOUT_SOON_US. */
void lookout_begin(struct lookout *lookout);

/**
 * lookout_goes_on() - whether to look once more, rather than to sleep
 *
 * Lets others run first.
 */
bool lookout_goes_on(struct lookout *lookout);

/** lookout_end() - what was expected is here. */
void lookout_end(struct lookout *lookout);

#endif
