/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers by hash: all of them, in order, and none that was not added. */
#include "pkcs11/hash_index.h"

#include "unit.h"

static size_t count_of(const struct hash_index *index, uint32_t hash, uint32_t wanted)
{
    size_t count = 0;

    hash_index_for_each (number, index, hash)
        count += number == wanted ? 1 : 0;
    return count;
}

static void test_without_room_nothing_is_found(void **state)
{
    const struct hash_index index = {0};

    (void)state;
    assert_int_equal(hash_index_first(&index, 1), HASH_INDEX_END);
}

static void test_each_number_is_found_once_under_its_hash(void **state)
{
    struct hash_index index;

    (void)state;
    assert_int_equal(hash_index_init(&index, 1000), 0);
    for (uint32_t i = 0; i < 1000; i++)
        hash_index_add(&index, i * 2654435761u, i);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(count_of(&index, i * 2654435761u, i), 1);
    hash_index_deinit(&index);
}

static void test_last_added_is_found_first(void **state)
{
    struct hash_index index;
    uint32_t expected = 5;

    (void)state;
    assert_int_equal(hash_index_init(&index, 5), 0);
    for (uint32_t i = 0; i < 5; i++)
        hash_index_add(&index, 7, i);
    hash_index_for_each (number, &index, 7)
        assert_int_equal(number, --expected);
    assert_int_equal(expected, 0);
    hash_index_deinit(&index);
}

static void test_add_beyond_its_room_does_nothing(void **state)
{
    struct hash_index index;

    (void)state;
    assert_int_equal(hash_index_init(&index, 0), 0);
    hash_index_add(&index, 7, 0);
    assert_int_equal(hash_index_first(&index, 7), HASH_INDEX_END);
    hash_index_deinit(&index);
}

static void test_hash_is_fnv_1a(void **state)
{
    (void)state;
    assert_int_equal(hash_index_hash((struct wire_span){0}), 0x811c9dc5u);
    assert_int_equal(hash_index_hash(WIRE_SPAN_LITERAL("a")), 0xe40c292cu);
    assert_int_equal(hash_index_hash(WIRE_SPAN_LITERAL("foobar")), 0xbf9cf968u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_room_nothing_is_found),
        cmocka_unit_test(test_each_number_is_found_once_under_its_hash),
        cmocka_unit_test(test_last_added_is_found_first),
        cmocka_unit_test(test_add_beyond_its_room_does_nothing),
        cmocka_unit_test(test_hash_is_fnv_1a),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
