/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much of cmocka as the tests of common/ use, for machines that this one has no cmocka for:
 * run_foreign.sh compiles them with it for 32 bits and for the other byte order. Everything is
 * weak, so that several files of one program share it. A test that fails goes no further.
 */
#ifndef MTLS_TESTS_FOREIGN_CMOCKA_H
#define MTLS_TESTS_FOREIGN_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*test)(void **state);
    int (*setup)(void **state);
    int (*teardown)(void **state);
    void *state;
};

__attribute__((weak)) jmp_buf foreign_failed;

__attribute__((weak, noreturn, format(printf, 3, 4))) void foreign_fail(const char *file, int line,
                                                                        const char *format, ...)
{
    va_list args;

    (void)fprintf(stderr, "%s:%d: ", file, line);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    longjmp(foreign_failed, 1);
}

#define fail_msg(...) foreign_fail(__FILE__, __LINE__, __VA_ARGS__)
#define foreign_check(holds, text) ((holds) ? (void)0 : fail_msg("%s", text))
#define assert_true(value) foreign_check(value, #value)
#define assert_false(value) foreign_check(!(value), "not " #value)
#define assert_null(pointer) foreign_check((pointer) == NULL, #pointer " is NULL")
#define assert_non_null(pointer) foreign_check((pointer) != NULL, #pointer " is not NULL")
#define assert_int_equal(a, b) foreign_check((uintmax_t)(a) == (uintmax_t)(b), #a " == " #b)
#define assert_int_not_equal(a, b) foreign_check((uintmax_t)(a) != (uintmax_t)(b), #a " != " #b)
#define assert_string_equal(a, b) foreign_check(strcmp(a, b) == 0, #a " equals " #b)
#define assert_string_not_equal(a, b) foreign_check(strcmp(a, b) != 0, #a " does not equal " #b)
#define assert_memory_equal(a, b, len) foreign_check(memcmp(a, b, len) == 0, #a " equals " #b)

#define cmocka_unit_test(function)          \
    {                                       \
        .name = #function, .test = function \
    }
#define cmocka_unit_test_prestate(function, start)          \
    {                                                       \
        .name = #function, .test = function, .state = start \
    }
#define cmocka_unit_test_setup(function, before)             \
    {                                                        \
        .name = #function, .test = function, .setup = before \
    }
#define cmocka_unit_test_setup_teardown(function, before, after)                \
    {                                                                           \
        .name = #function, .test = function, .setup = before, .teardown = after \
    }

/* 0 when it passed. A test without a set-up or a state of its own gets the group's. */
__attribute__((weak)) int foreign_run(const struct CMUnitTest *row, void *group_state)
{
    void *state = row->state ? row->state : group_state;
    volatile int failed = 0;

    if (row->setup && row->setup(&state) != 0)
        failed = 1;
    else if (setjmp(foreign_failed) == 0)
        row->test(&state);
    else
        failed = 1;
    if (row->teardown && row->teardown(&state) != 0)
        failed = 1;
    if (failed)
        (void)fprintf(stderr, "FAILED %s\n", row->name);
    return failed;
}

__attribute__((weak)) int foreign_run_all(const char *group, const struct CMUnitTest *rows,
                                          size_t count, int (*setup)(void **state),
                                          int (*teardown)(void **state))
{
    void *state = NULL;
    int failures = setup ? setup(&state) != 0 : 0;

    for (size_t i = 0; i < count; i++)
        failures += foreign_run(&rows[i], state);
    if (teardown)
        failures += teardown(&state) != 0;
    (void)printf("%s: %zu tests, %d failed\n", group, count, failures);
    return failures;
}

#define cmocka_run_group_tests_name(group, rows, setup, teardown) \
    foreign_run_all(group, rows, sizeof(rows) / sizeof((rows)[0]), setup, teardown)

#endif
