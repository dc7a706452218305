/* SPDX-License-Identifier: Apache-2.0 */
/* Looking before sleeping: it must end, and must not begin where it only takes time from others. */
#include <sched.h>

#include "common/clock.h"
#include "common/lookout.h"
#include "unit.h"

#define ROUNDS 50
#define PATIENCE_US 5000000u /* beyond any pause that a busy machine makes */

static int save_processors(void **state)
{
    cpu_set_t *processors = calloc(1, sizeof(*processors));

    *state = processors;
    return processors ? sched_getaffinity(0, sizeof(*processors), processors) : -1;
}

static int restore_processors(void **state)
{
    int r = sched_setaffinity(0, sizeof(cpu_set_t), *state);

    free(*state);
    return r;
}

static void test_goes_on_not_begun(void **state)
{
    struct lookout lookout = {0};

    (void)state;
    assert_false(lookout_goes_on(&lookout));
}

static void test_goes_on_single_processor(void **state)
{
    const cpu_set_t *processors = *state;
    struct lookout lookout = {0};
    cpu_set_t one;
    int cpu = 0;

    while (!CPU_ISSET(cpu, processors))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    lookout_begin(&lookout);
    assert_false(lookout_goes_on(&lookout));
}

static void test_goes_on_ends_by_itself(void **state)
{
    struct lookout lookout = {0};

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t end_us = clock_monotonic_us() + PATIENCE_US;
        lookout_begin(&lookout);
        while (lookout_goes_on(&lookout))
            assert_true(clock_monotonic_us() < end_us);
        assert_false(lookout_goes_on(&lookout));
    }
}

static void test_goes_on_begun(void **state)
{
    const cpu_set_t *processors = *state;
    struct lookout lookout = {0};
    bool has_gone_on = false;

    if (CPU_COUNT(processors) < 2)
        skip();
    /* Other programs may end any one look; not all of them. */
    for (int i = 0; i < ROUNDS && !has_gone_on; i++) {
        lookout_begin(&lookout);
        has_gone_on = lookout_goes_on(&lookout);
    }
    assert_true(has_gone_on);
}

static void test_end_stops(void **state)
{
    struct lookout lookout = {0};

    (void)state;
    lookout_begin(&lookout);
    lookout_end(&lookout);
    assert_false(lookout_goes_on(&lookout));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on_not_begun),
        cmocka_unit_test_setup_teardown(test_goes_on_single_processor, save_processors,
                                        restore_processors),
        cmocka_unit_test(test_goes_on_ends_by_itself),
        cmocka_unit_test_setup_teardown(test_goes_on_begun, save_processors, restore_processors),
        cmocka_unit_test(test_end_stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
