/* SPDX-License-Identifier: Apache-2.0 */
/* What every unit test of common/ needs: cmocka with its prerequisites, and one assertion. */
#ifndef MTLS_TESTS_UNIT_H
#define MTLS_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/wire.h"

/** assert_span_equal() - same length and same bytes; the bytes are shown when not. */
#define assert_span_equal(actual, expected)                                   \
    do {                                                                      \
        struct wire_span actual_ = (actual);                                  \
        struct wire_span expected_ = (expected);                              \
        assert_int_equal(actual_.len, expected_.len);                         \
        if (expected_.len > 0)                                                \
            assert_memory_equal(actual_.data, expected_.data, expected_.len); \
    } while (0)

#endif
