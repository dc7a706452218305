/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: handles that are not used again soon, the limit, and the ways to close them. */
#include "client/module/sessions.h"

#include "unit.h"

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct sessions));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    sessions_deinit(*state);
    free(*state);
    return 0;
}

static CK_SESSION_HANDLE open_one(struct sessions *sessions, CK_SLOT_ID slot_id)
{
    CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;

    assert_int_equal(sessions_open(sessions, slot_id, CKF_SERIAL_SESSION, &handle), CKR_OK);
    assert_int_not_equal(handle, CK_INVALID_HANDLE);
    assert_int_equal(sessions_get(sessions, handle)->slot_id, slot_id);
    return handle;
}

static void test_get_of_handles_that_never_were(void **state)
{
    struct sessions *sessions = *state;
    CK_SESSION_HANDLE handle = open_one(sessions, 0);

    assert_null(sessions_get(sessions, CK_INVALID_HANDLE));
    assert_null(sessions_get(sessions, handle + 1));
    assert_null(sessions_get(sessions, handle + SESSIONS_MAX + 1));
    assert_null(sessions_get(sessions, (CK_SESSION_HANDLE)-1));
}

static void test_handle_is_not_used_again_soon(void **state)
{
    struct sessions *sessions = *state;
    CK_SESSION_HANDLE first = open_one(sessions, 0);

    sessions_close(sessions, sessions_get(sessions, first));
    for (unsigned int i = 0; i < 60000; i++) {
        CK_SESSION_HANDLE next = open_one(sessions, 0);
        assert_int_not_equal(next, first);
        assert_null(sessions_get(sessions, first));
        sessions_close(sessions, sessions_get(sessions, next));
    }
    assert_int_equal(sessions->count, 1);
}

static void test_numbers_begin_again_without_an_invalid_handle(void **state)
{
    struct sessions *sessions = *state;

    sessions->last_number = (~0UL >> 16) - 1;
    (void)open_one(sessions, 0);
    (void)open_one(sessions, 0);
    (void)open_one(sessions, 0);
    assert_int_equal(sessions->last_number, 2);
}

static void test_limit(void **state)
{
    struct sessions *sessions = *state;
    CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;

    for (unsigned int i = 0; i < SESSIONS_MAX; i++)
        assert_int_equal(sessions_open(sessions, i & 1, 0, &handle), CKR_OK);
    CK_SESSION_HANDLE last = handle;
    assert_int_equal(sessions_open(sessions, 0, 0, &handle), CKR_SESSION_COUNT);
    assert_int_equal(handle, last);
    sessions_close(sessions, sessions_get(sessions, last));
    (void)open_one(sessions, 0);
}

static void test_close_of_a_slot_leaves_the_others(void **state)
{
    struct sessions *sessions = *state;
    CK_SESSION_HANDLE first = open_one(sessions, 0);
    CK_SESSION_HANDLE second = open_one(sessions, 1);
    CK_SESSION_HANDLE third = open_one(sessions, 0);

    assert_int_equal(sessions_count_slot(sessions, 0), 2);
    sessions_close_slot(sessions, 0);
    assert_null(sessions_get(sessions, first));
    assert_null(sessions_get(sessions, third));
    assert_non_null(sessions_get(sessions, second));
    assert_int_equal(sessions_count_slot(sessions, 0), 0);
    assert_int_equal(sessions->open_count, 1);
}

static void test_close_absent(void **state)
{
    struct sessions *sessions = *state;
    struct slot present = {.is_present = true};
    struct slot absent = {.is_present = false};
    struct slot *items[] = {&absent, &present};
    const struct slots slots = {.items = items, .count = 2};
    CK_SESSION_HANDLE gone = open_one(sessions, 0);
    CK_SESSION_HANDLE stays = open_one(sessions, 1);

    sessions_close_absent(sessions, &slots);
    assert_null(sessions_get(sessions, gone));
    assert_non_null(sessions_get(sessions, stays));
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_get_of_handles_that_never_were),
        TEST(test_handle_is_not_used_again_soon),
        TEST(test_numbers_begin_again_without_an_invalid_handle),
        TEST(test_limit),
        TEST(test_close_of_a_slot_leaves_the_others),
        TEST(test_close_absent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
