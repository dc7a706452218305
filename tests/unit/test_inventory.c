/* SPDX-License-Identifier: Apache-2.0 */
/* What one worker may report: it is bounded, whatever the worker says. */
#include "agent/inventory.h"

#include <string.h>

#include "common/frame.h"
#include "unit.h"

static int setup(void **state)
{
    *state = inventory_new();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    (void)inventory_unref(*state);
    return 0;
}

/* The answer to one more token, number @number. */
static int add_token(struct inventory *inventory, uint32_t number)
{
    const struct worker_token token = {.token = number};
    struct wire_writer writer;
    struct frame frame;

    wire_writer_init(&writer, WIRE_FRAME_MAX);
    assert_int_equal(worker_token_encode(&writer, &token), 0);
    assert_int_equal(frame_parse((struct wire_span){writer.data, writer.len}, &frame), 0);
    int r = inventory_add_token(inventory, frame.body);
    wire_writer_deinit(&writer);
    return r;
}

/* The answer to one more key. */
static int add_this_key(struct inventory *inventory, const struct worker_key *key)
{
    struct wire_writer writer;
    struct frame frame;

    wire_writer_init(&writer, WIRE_FRAME_MAX);
    assert_int_equal(worker_key_encode(&writer, key), 0);
    assert_int_equal(frame_parse((struct wire_span){writer.data, writer.len}, &frame), 0);
    int r = inventory_add_key(inventory, frame.body);
    wire_writer_deinit(&writer);
    return r;
}

/* The answer to one more key of token 0, whose certificate has @cert_len bytes. */
static int add_key(struct inventory *inventory, size_t cert_len)
{
    static const uint8_t cert[PROTOCOL_DER_MAX];
    struct worker_key key = {
        .type = KEY_TYPE_EC, .spki = WIRE_SPAN_LITERAL("spki"), .cert_count = 1};

    key.certs[0] = (struct wire_span){cert, cert_len};
    return add_this_key(inventory, &key);
}

/* The number of the token on which a key is found that is on the tokens 0 to 2, where it can sign
 * on those that @usable has a bit for. */
static uint32_t find_twin(struct inventory *inventory, unsigned int usable)
{
    for (uint32_t i = 0; i < 3; i++) {
        const struct worker_key key = {.token = i,
                                       .type = KEY_TYPE_EC,
                                       .spki = WIRE_SPAN_LITERAL("spki"),
                                       .usable = usable >> i & 1};
        assert_int_equal(add_token(inventory, i), 0);
        assert_int_equal(add_this_key(inventory, &key), 0);
    }
    assert_int_equal(inventory_finish(inventory), 0);
    const struct inventory_key *found = inventory_find_key(inventory, inventory->keys[0].hash);
    assert_non_null(found);
    return found->info.token;
}

static void test_find_key_on_several_tokens_prefers_one_that_can_sign(void **state)
{
    assert_int_equal(find_twin(*state, 1u << 1 | 1u << 2), 1);
}

static void test_find_key_that_can_sign_nowhere_finds_the_first(void **state)
{
    assert_int_equal(find_twin(*state, 0), 0);
}

static void test_find_key_finds_each_of_many(void **state)
{
    struct inventory *inventory = *state;
    uint8_t unknown[PROTOCOL_KEY_HASH_LEN] = {0};

    assert_int_equal(add_token(inventory, 0), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        const struct worker_key key = {
            .key = i, .type = KEY_TYPE_EC, .spki = {(const uint8_t *)&i, sizeof(i)}};
        assert_int_equal(add_this_key(inventory, &key), 0);
    }
    assert_int_equal(inventory_finish(inventory), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        const struct inventory_key *key = inventory_find_key(inventory, inventory->keys[i].hash);
        assert_ptr_equal(key, &inventory->keys[i]);
    }
    assert_null(inventory_find_key(inventory, unknown));
    assert_int_equal(inventory->tokens[0].key_count, 1000);
}

static void test_find_token_whose_number_is_not_its_place(void **state)
{
    struct inventory *inventory = *state;

    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(add_token(inventory, 2 * i + 1), 0);
    for (uint32_t i = 0; i < 3; i++)
        assert_ptr_equal(inventory_find_token(inventory, 2 * i + 1), &inventory->tokens[i]);
    assert_null(inventory_find_token(inventory, 0));
    assert_null(inventory_find_token(inventory, 2));
}

static void test_add_token_beyond_the_limit_is_refused(void **state)
{
    for (uint32_t i = 0; i < WORKER_TOKENS_MAX; i++)
        assert_int_equal(add_token(*state, i), 0);
    assert_int_equal(add_token(*state, WORKER_TOKENS_MAX), WIRE_E_MALFORMED);
}

static void test_add_key_of_an_unknown_token_is_refused(void **state)
{
    assert_int_equal(add_key(*state, 1), WIRE_E_MALFORMED);
}

static void test_add_key_beyond_the_memory_is_refused(void **state)
{
    struct inventory *inventory = *state;
    size_t count = 0;

    assert_int_equal(add_token(inventory, 0), 0);
    while (count < WORKER_KEYS_MAX && add_key(inventory, PROTOCOL_DER_MAX) == 0)
        count++;
    assert_in_range(count, 1000, INVENTORY_LEN_MAX / PROTOCOL_DER_MAX);
}

static bool is_odd(const struct worker_token *token, const void *context)
{
    (void)context;
    return token->token % 2 == 1;
}

static bool is_any(const struct worker_token *token, const void *context)
{
    (void)token;
    (void)context;
    return true;
}

static void test_without_tokens_their_keys_are_gone_too(void **state)
{
    struct inventory *inventory = *state;
    struct inventory *rest = NULL;
    uint8_t spki[4] = {0};

    inventory->uses_pcsc = true;
    for (uint8_t i = 0; i < 4; i++) {
        const struct worker_key key = {
            .key = i, .token = i, .type = KEY_TYPE_EC, .spki = {spki, sizeof(spki)}};
        spki[0] = i;
        assert_int_equal(add_token(inventory, i), 0);
        assert_int_equal(add_this_key(inventory, &key), 0);
    }
    assert_int_equal(inventory_finish(inventory), 0);
    assert_int_equal(inventory_without(inventory, is_odd, NULL, &rest), 0);
    assert_int_equal(rest->token_count, 2);
    assert_int_equal(rest->key_count, 2);
    assert_true(rest->uses_pcsc);
    for (size_t i = 0; i < inventory->key_count; i++)
        assert_true((inventory_find_key(rest, inventory->keys[i].hash) != NULL) == (i % 2 == 0));
    assert_non_null(inventory_find_token(rest, 2));
    assert_int_equal(inventory_find_token(rest, 2)->key_count, 1);
    assert_null(inventory_find_token(rest, 1));
    rest = inventory_unref(rest);
    assert_int_equal(inventory_without(inventory, is_any, NULL, &rest), 0);
    assert_int_equal(rest->token_count + rest->key_count, 0);
    rest = inventory_unref(rest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_add_token_beyond_the_limit_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_add_key_of_an_unknown_token_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_add_key_beyond_the_memory_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_find_key_on_several_tokens_prefers_one_that_can_sign,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_find_key_that_can_sign_nowhere_finds_the_first, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_find_key_finds_each_of_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_find_token_whose_number_is_not_its_place, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_without_tokens_their_keys_are_gone_too, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
