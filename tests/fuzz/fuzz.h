/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every fuzzer has: libFuzzer's entry, and a check that is never compiled out. A fuzzer is one
 * C file; with -Dfuzz=true it is linked with libFuzzer, else with replay.c, which runs it over its
 * seeds as a test.
 */
#ifndef MTLS_TESTS_FUZZ_H
#define MTLS_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A claim about the input at hand; when it does not hold, the process ends and the input is kept.
 */
#define fuzz_check(claim)                                                                    \
    do {                                                                                     \
        if (!(claim)) {                                                                      \
            (void)fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #claim); \
            abort();                                                                         \
        }                                                                                    \
    } while (0)

#endif
