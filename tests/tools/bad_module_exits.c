/* SPDX-License-Identifier: Apache-2.0 */
/* A module whose constructor ends the process that loads it, without a word. */
#include <stdlib.h>

__attribute__((constructor)) static void leave(void)
{
    exit(0);
}
