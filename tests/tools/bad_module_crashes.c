/* SPDX-License-Identifier: Apache-2.0 */
/* A module whose constructor crashes the process that loads it. */
#include <signal.h>

__attribute__((constructor)) static void crash(void)
{
    (void)raise(SIGSEGV);
}
