/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens in slots: numbers that stay, the empty slot, the one for Ed25519, events, absence. */
#include "client/module/slots.h"

#include <string.h>

#include "module_seam.h"
#include "unit.h"

static int setup(void **state)
{
    struct slots *slots = calloc(1, sizeof(*slots));

    *state = slots;
    return slots && slots_init(slots) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    slots_deinit(*state);
    free(*state);
    return 0;
}

static void update(struct slots *slots, const struct mtls_agent_key *keys, size_t count,
                   bool is_first)
{
    assert_int_equal(slots_update(slots, seam_take_keys(keys, count), is_first), 0);
}

static void test_empty_slot_alone(void **state)
{
    struct slots *slots = *state;
    CK_SLOT_INFO info;
    CK_SLOT_ID id = 0;

    assert_int_equal(slots->count, 1);
    assert_null(slots_get(slots, 1));
    assert_null(slots_get(slots, (CK_SLOT_ID)-1));
    slot_fill_info(slots_get(slots, 0), &info);
    assert_int_equal(info.flags, CKF_REMOVABLE_DEVICE);
    assert_false(slots_take_event(slots, &id));
}

static void test_first_list_is_no_event(void **state)
{
    struct slots *slots = *state;
    CK_SLOT_ID id = 0;

    update(slots, module_keys, 2, true);
    assert_int_equal(slots->count, 2);
    assert_false(slots_take_event(slots, &id));
    assert_true(slots_get(slots, 0)->is_present);
    assert_false(slots_get(slots, 1)->is_present);
}

static void test_ed25519_lies_apart(void **state)
{
    struct slots *slots = *state;
    CK_TOKEN_INFO plain;
    CK_TOKEN_INFO edwards;

    update(slots, module_keys, KEYS_COUNT, true);
    assert_int_equal(slots->count, 3);
    assert_false(slots_get(slots, 0)->is_edwards);
    assert_true(slots_get(slots, 1)->is_edwards);
    /* private, public, certificate, and the two of the chain */
    assert_int_equal(slots_get(slots, 1)->content.object_count, 5);
    slot_fill_token_info(slots_get(slots, 0), 0, &plain);
    slot_fill_token_info(slots_get(slots, 1), 0, &edwards);
    assert_memory_equal(plain.label, edwards.label, sizeof(plain.label));
    assert_memory_equal(plain.serialNumber, edwards.serialNumber, sizeof(plain.serialNumber));
    assert_memory_equal(plain.model, "mtls-agent      ", sizeof(plain.model));
    assert_memory_equal(edwards.model, "mtls-agent EdDSA", sizeof(edwards.model));
    assert_false(plain.flags & CKF_LOGIN_REQUIRED);
    assert_true(plain.flags & CKF_WRITE_PROTECTED);
    assert_true(plain.flags & CKF_RNG);
}

static void test_token_goes_and_comes_back_to_its_slot(void **state)
{
    struct slots *slots = *state;
    struct mtls_agent_key other = module_keys[KEYS_P384];
    CK_SLOT_ID id = 99;

    update(slots, module_keys, 1, true);
    update(slots, NULL, 0, false);
    assert_false(slots_get(slots, 0)->is_present);
    assert_true(slots_take_event(slots, &id));
    assert_int_equal(id, 0);
    assert_false(slots_take_event(slots, &id));

    other.token_serial = "another";
    update(slots, &other, 1, false);
    assert_int_equal(slots->count, 3);
    assert_false(slots_get(slots, 0)->is_present);
    assert_true(slots_get(slots, 1)->is_present);
    assert_true(slots_take_event(slots, &id));
    assert_int_equal(id, 1);

    update(slots, module_keys, 1, false);
    assert_true(slots_get(slots, 0)->is_present);
    assert_false(slots_get(slots, 1)->is_present);
    assert_int_equal(slots->count, 3);
}

static void test_same_list_is_no_event(void **state)
{
    struct slots *slots = *state;
    CK_SLOT_ID id = 0;

    update(slots, module_keys, KEYS_COUNT, true);
    CK_OBJECT_HANDLE handle = slots_get(slots, 0)->content.objects[0].handle;
    update(slots, module_keys, KEYS_COUNT, false);
    assert_false(slots_take_event(slots, &id));
    assert_int_equal(slots_get(slots, 0)->content.objects[0].handle, handle);
}

static void test_new_object_is_an_event(void **state)
{
    struct slots *slots = *state;
    CK_SLOT_ID id = 99;

    update(slots, module_keys, 1, true);
    update(slots, module_keys, 2, false);
    assert_true(slots_take_event(slots, &id));
    assert_int_equal(id, 0);
}

static void test_absent_keys_make_an_empty_slot_of_the_token(void **state)
{
    struct slots *slots = *state;
    struct mtls_agent_key absent = module_keys[KEYS_P256];

    absent.state = MTLS_AGENT_KEY_ABSENT;
    update(slots, &absent, 1, true);
    assert_int_equal(slots->count, 2);
    assert_false(slots_get(slots, 0)->is_present);
    assert_non_null(slots_get(slots, 0)->label);
}

static void test_locked_and_login_follow_the_token(void **state)
{
    struct slots *slots = *state;
    struct mtls_agent_key key = module_keys[KEYS_P256];

    update(slots, &key, 1, true);
    slots_get(slots, 0)->is_logged_in = true;
    update(slots, &key, 1, false);
    assert_true(slots_get(slots, 0)->is_logged_in);

    key.state = MTLS_AGENT_KEY_LOCKED;
    update(slots, &key, 1, false);
    assert_true(slots_get(slots, 0)->is_locked);
    /* the program can log in again, which is what helps */
    assert_false(slots_get(slots, 0)->is_logged_in);
}

static void test_login_is_over_when_the_token_goes(void **state)
{
    struct slots *slots = *state;

    update(slots, module_keys, 1, true);
    slots_get(slots, 0)->is_logged_in = true;
    update(slots, NULL, 0, false);
    assert_false(slots_get(slots, 0)->is_logged_in);
}

static void test_texts_too_long_are_cut_between_characters(void **state)
{
    struct slots *slots = *state;
    struct mtls_agent_key key = module_keys[KEYS_P256];
    CK_TOKEN_INFO info;

    key.token_label = "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
                      "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4x\xc3\xa4";
    key.token_serial = "";
    update(slots, &key, 1, true);
    slot_fill_token_info(slots_get(slots, 0), 7, &info);
    assert_memory_equal(info.label + 28, "\xc3\xa4x ", 4);
    assert_memory_equal(info.serialNumber, "                ", 16);
    assert_int_equal(info.ulSessionCount, 7);
}

static void test_slots_end_somewhere(void **state)
{
    struct slots *slots = *state;
    static struct mtls_agent_key keys[SLOTS_MAX + 10];
    static char serials[ARRAY_SIZE(keys)][16];

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        (void)snprintf(serials[i], sizeof(serials[i]), "%zu", i);
        keys[i] = module_keys[KEYS_P256];
        keys[i].token_serial = serials[i];
    }
    update(slots, keys, ARRAY_SIZE(keys), false);
    assert_int_equal(slots->count, SLOTS_MAX);
    update(slots, keys, ARRAY_SIZE(keys), false);
    assert_int_equal(slots->count, SLOTS_MAX);
    assert_false(slots_get(slots, SLOTS_MAX - 1)->is_present);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_empty_slot_alone),
        TEST(test_first_list_is_no_event),
        TEST(test_ed25519_lies_apart),
        TEST(test_token_goes_and_comes_back_to_its_slot),
        TEST(test_same_list_is_no_event),
        TEST(test_new_object_is_an_event),
        TEST(test_absent_keys_make_an_empty_slot_of_the_token),
        TEST(test_locked_and_login_follow_the_token),
        TEST(test_login_is_over_when_the_token_goes),
        TEST(test_texts_too_long_are_cut_between_characters),
        TEST(test_slots_end_somewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
