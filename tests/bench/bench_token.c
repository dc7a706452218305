/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a SoftHSM token with many keys and a certificate for each: bench-token COUNT. Prints its
 * directory, which the caller removes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "tests/token/token_builder.h"

#define COUNT_MAX 10000u
#define LABEL_SIZE 16u

int main(int argc, char **argv)
{
    unsigned long count = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    char dir[BUILDER_PATH_MAX];

    if (count == 0 || count > COUNT_MAX) {
        (void)fputs("usage: bench-token COUNT\n", stderr);
        return 2;
    }
    _cleanup_free_ struct builder_key *keys = calloc(count, sizeof(*keys));
    _cleanup_free_ char *labels = calloc(count, LABEL_SIZE);
    if (!keys || !labels)
        return 1;
    for (unsigned long i = 0; i < count; i++) {
        (void)snprintf(labels + i * LABEL_SIZE, LABEL_SIZE, "key-%lu", i);
        keys[i] =
            (struct builder_key){labels + i * LABEL_SIZE, (uint8_t)i, BUILDER_P256, BUILDER_CERT};
    }
    if (!builder_make("many", keys, count, dir))
        return 1;
    (void)puts(dir);
    return 0;
}
