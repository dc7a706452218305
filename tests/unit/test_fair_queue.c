/* SPDX-License-Identifier: Apache-2.0 */
/* Whose turn it is: one client's flood never delays another by more than one request. */
#include "agent/fair_queue.h"

#include "unit.h"

#define ITEMS 8

struct client {
    struct list lines;
    struct fair_line *line;
    struct fair_item items[ITEMS];
};

struct fixture {
    struct fair_queue queue;
    struct client clients[3];
};

static int setup(void **state)
{
    static struct fixture fixture;

    fair_queue_init(&fixture.queue);
    for (size_t i = 0; i < ARRAY_SIZE(fixture.clients); i++) {
        list_init(&fixture.clients[i].lines);
        fixture.clients[i].line = fair_line_get(&fixture.clients[i].lines, &fixture);
        if (!fixture.clients[i].line)
            return -1;
        for (size_t j = 0; j < ITEMS; j++)
            fair_item_init(&fixture.clients[i].items[j]);
    }
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    while (fair_queue_peek(&fixture->queue))
        fair_queue_take(&fixture->queue, fair_queue_peek(&fixture->queue));
    for (size_t i = 0; i < ARRAY_SIZE(fixture->clients); i++)
        fair_lines_free(&fixture->clients[i].lines);
    return 0;
}

static struct fair_item *add(struct fixture *fixture, size_t client, size_t item)
{
    struct client *owner = &fixture->clients[client];

    fair_queue_append(&fixture->queue, owner->line, &owner->items[item]);
    return &owner->items[item];
}

static struct fair_item *take(struct fixture *fixture)
{
    struct fair_item *item = fair_queue_peek(&fixture->queue);

    if (item)
        fair_queue_take(&fixture->queue, item);
    return item;
}

static void test_peek_empty_queue_gives_nothing(void **state)
{
    struct fixture *fixture = *state;

    assert_null(fair_queue_peek(&fixture->queue));
    assert_int_equal(fixture->queue.count, 0);
}

static void test_take_keeps_the_order_of_one_client(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ITEMS; i++)
        (void)add(fixture, 0, i);
    for (size_t i = 0; i < ITEMS; i++)
        assert_ptr_equal(take(fixture), &fixture->clients[0].items[i]);
}

static void test_take_alternates_between_clients(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < 4; i++)
        (void)add(fixture, 0, i);
    for (size_t i = 0; i < 4; i++)
        (void)add(fixture, 1, i);
    for (size_t i = 0; i < 4; i++) {
        assert_ptr_equal(take(fixture)->line, fixture->clients[0].line);
        assert_ptr_equal(take(fixture)->line, fixture->clients[1].line);
    }
}

static void test_append_idle_client_goes_before_a_flood(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ITEMS; i++)
        (void)add(fixture, 0, i);
    (void)take(fixture);
    struct fair_item *modest = add(fixture, 1, 0);
    assert_ptr_equal(take(fixture), modest);
}

static void test_append_two_modest_clients_do_not_starve_a_third(void **state)
{
    struct fixture *fixture = *state;
    size_t served = 0;

    for (size_t i = 0; i < ITEMS; i++)
        (void)add(fixture, 0, i);
    for (size_t round = 0; round < 12; round++) {
        if (!fair_item_is_queued(&fixture->clients[1].items[0]))
            (void)add(fixture, 1, 0);
        if (!fair_item_is_queued(&fixture->clients[2].items[0]))
            (void)add(fixture, 2, 0);
        served += take(fixture)->line == fixture->clients[0].line ? 1 : 0;
    }
    assert_int_equal(served, 4);
}

static void test_put_back_is_next_again(void **state)
{
    struct fixture *fixture = *state;

    struct fair_item *first = add(fixture, 0, 0);
    (void)add(fixture, 1, 0);
    assert_ptr_equal(take(fixture), first);
    fair_queue_put_back(&fixture->queue, first);
    assert_ptr_equal(fair_queue_peek(&fixture->queue), first);
    assert_int_equal(fixture->queue.count, 2);
}

static void test_remove_leaves_the_others(void **state)
{
    struct fixture *fixture = *state;

    (void)add(fixture, 0, 0);
    struct fair_item *other = add(fixture, 1, 0);
    fair_queue_remove(&fixture->queue, &fixture->clients[0].items[0]);
    assert_false(fair_item_is_queued(&fixture->clients[0].items[0]));
    assert_ptr_equal(take(fixture), other);
    assert_null(fair_queue_peek(&fixture->queue));
}

static void test_lines_forget_drops_those_of_one_module(void **state)
{
    struct fixture *fixture = *state;
    struct list *lines = &fixture->clients[0].lines;
    int other = 0;
    const struct fair_line *kept = fixture->clients[0].line;

    assert_non_null(fair_line_get(lines, &other));
    fair_lines_forget(lines, &other);
    assert_ptr_equal(lines->next, &kept->of_owner);
    assert_ptr_equal(lines->previous, &kept->of_owner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_peek_empty_queue_gives_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_take_keeps_the_order_of_one_client, setup, teardown),
        cmocka_unit_test_setup_teardown(test_take_alternates_between_clients, setup, teardown),
        cmocka_unit_test_setup_teardown(test_append_idle_client_goes_before_a_flood, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_append_two_modest_clients_do_not_starve_a_third, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_put_back_is_next_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remove_leaves_the_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines_forget_drops_those_of_one_module, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
