/* SPDX-License-Identifier: Apache-2.0 */
/* Core-worker messages: what holds for all of them, then the values that each refuses. */
#include "common/worker_protocol.h"

#include <string.h>

#include "message_checks.h"

static struct message_set messages = {worker_messages, &worker_message_count};

static int parse_load(struct wire_writer *writer, const struct worker_load *load)
{
    struct worker_load msg;

    wire_writer_reset(writer);
    assert_int_equal(worker_load_encode(writer, load), 0);
    return worker_load_parse(message_body(writer), &msg);
}

static void test_load_with_thread_count_outside_its_range_is_refused(void **state)
{
    assert_int_equal(parse_load(*state, &(struct worker_load){.threads = 1}), 0);
    assert_int_equal(parse_load(*state, &(struct worker_load){.threads = WORKER_THREADS_MAX}), 0);
    assert_int_equal(parse_load(*state, &(struct worker_load){.threads = 0}), WIRE_E_MALFORMED);
    assert_int_equal(parse_load(*state, &(struct worker_load){.threads = WORKER_THREADS_MAX + 1}),
                     WIRE_E_MALFORMED);
}

static void test_load_with_unknown_verify_mode_is_refused(void **state)
{
    struct worker_load load = {.threads = 1, .verify = (enum verify_mode)(VERIFY_NEVER + 1)};

    assert_int_equal(parse_load(*state, &load), WIRE_E_MALFORMED);
}

static void test_load_with_more_certificates_than_fit_is_refused(void **state)
{
    struct wire_writer *writer = *state;
    struct worker_load msg;

    assert_int_equal(parse_load(writer, &(struct worker_load){.threads = 1}), 0);
    writer->data[writer->len - 2] = (WORKER_CERTS_MAX + 1) >> 8;
    writer->data[writer->len - 1] = (WORKER_CERTS_MAX + 1) & 0xff;
    assert_int_equal(worker_load_parse(message_body(writer), &msg), WIRE_E_MALFORMED);
}

static void test_load_refused_leaves_the_result_alone(void **state)
{
    struct wire_writer *writer = *state;
    struct worker_load msg = {.threads = 77};

    assert_int_equal(worker_load_encode(writer, &(struct worker_load){.threads = 0}), 0);
    assert_int_equal(worker_load_parse(message_body(writer), &msg), WIRE_E_MALFORMED);
    assert_int_equal(msg.threads, 77);
}

static void test_sign_with_slot_outside_the_ledger_is_refused(void **state)
{
    struct wire_writer *writer = *state;
    struct worker_sign msg = {.slot = WORKER_WINDOW_MAX};

    assert_int_equal(worker_sign_encode(writer, &msg), 0);
    assert_int_equal(worker_sign_parse(message_body(writer), &msg), WIRE_E_MALFORMED);
}

static int parse_key(struct wire_writer *writer, const struct worker_key *key)
{
    struct worker_key msg;

    wire_writer_reset(writer);
    assert_int_equal(worker_key_encode(writer, key), 0);
    return worker_key_parse(message_body(writer), &msg);
}

static void test_key_with_type_outside_the_enum_is_refused(void **state)
{
    static const unsigned int types[] = {0, KEY_TYPE_ED25519 + 1, UINT32_MAX};

    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        assert_int_equal(parse_key(*state, &(struct worker_key){.type = (enum key_type)types[i]}),
                         WIRE_E_MALFORMED);
}

static void test_key_with_long_fields_is_refused(void **state)
{
    const struct worker_key keys[] = {
        {.type = KEY_TYPE_EC, .label = message_filler(PROTOCOL_NAME_MAX + 1)},
        {.type = KEY_TYPE_EC, .ck_id = message_filler(PROTOCOL_ID_MAX + 1)},
        {.type = KEY_TYPE_EC, .spki = message_filler(PROTOCOL_DER_MAX + 1)},
        {.type = KEY_TYPE_EC, .cert_count = 1, .certs = {message_filler(PROTOCOL_DER_MAX + 1)}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        assert_int_equal(parse_key(*state, &keys[i]), WIRE_E_MALFORMED);
}

static void test_key_with_too_many_certificates_is_refused(void **state)
{
    struct wire_writer *writer = *state;
    struct worker_key msg;

    assert_int_equal(parse_key(writer, &(struct worker_key){.type = KEY_TYPE_EC}), 0);
    writer->data[writer->len - 1] = PROTOCOL_CERTS_MAX + 1;
    assert_int_equal(worker_key_parse(message_body(writer), &msg), WIRE_E_MALFORMED);
}

static void test_key_with_too_many_schemes_is_refused(void **state)
{
    struct worker_key key = {.type = KEY_TYPE_EC, .scheme_count = SCHEMES_MAX};

    assert_int_equal(parse_key(*state, &key), 0);
    /* The count stands after type, number, token, type, bits and two booleans. */
    struct wire_writer *writer = *state;
    writer->data[WIRE_HEADER_LEN + 1 + 4 * 4 + 2 + 3] = SCHEMES_MAX + 1;
    assert_int_equal(worker_key_parse(message_body(writer), &(struct worker_key){0}),
                     WIRE_E_MALFORMED);
}

static void test_token_with_text_that_is_not_utf8_is_refused(void **state)
{
    struct wire_writer *writer = *state;
    struct worker_token msg = {.label = WIRE_SPAN_LITERAL("tok\xff")};

    assert_int_equal(worker_token_encode(writer, &msg), 0);
    assert_int_equal(worker_token_parse(message_body(writer), &msg), WIRE_E_MALFORMED);
}

static int parse_reply(struct wire_writer *writer, struct worker_reply msg)
{
    wire_writer_reset(writer);
    assert_int_equal(worker_reply_encode(writer, WORKER_SIGN_REPLY, &msg), 0);
    return worker_reply_parse(message_body(writer), &msg);
}

static void test_reply_with_unknown_result_is_refused(void **state)
{
    assert_int_equal(parse_reply(*state, (struct worker_reply){.result = WORKER_E_REFUSED}), 0);
    assert_int_equal(parse_reply(*state, (struct worker_reply){.result = (enum worker_result)(
                                                                   WORKER_E_REFUSED + 1)}),
                     WIRE_E_MALFORMED);
}

static void test_reply_with_signature_over_the_cap_is_refused(void **state)
{
    assert_int_equal(parse_reply(*state, (struct worker_reply){.signature = message_filler(
                                                                   PROTOCOL_SIGNATURE_MAX)}),
                     0);
    assert_int_equal(parse_reply(*state, (struct worker_reply){.signature = message_filler(
                                                                   PROTOCOL_SIGNATURE_MAX + 1)}),
                     WIRE_E_MALFORMED);
}

static void test_failure_with_boolean_over_one_is_refused(void **state)
{
    struct wire_writer *writer = *state;
    struct worker_failure msg = {.permanent = true};

    assert_int_equal(worker_failure_encode(writer, &msg), 0);
    for (unsigned int value = 2; value <= 255; value++) {
        writer->data[WIRE_HEADER_LEN + 1] = (uint8_t)value;
        assert_int_equal(worker_failure_parse(message_body(writer), &msg), WIRE_E_MALFORMED);
    }
}

static void test_set_pin_with_unknown_change_is_refused(void **state)
{
    struct wire_writer *writer = *state;
    struct worker_set_pin msg = {.change = (enum worker_pin_change)(WORKER_PIN_UNBLOCK + 1)};

    assert_int_equal(worker_set_pin_encode(writer, &msg), 0);
    assert_int_equal(worker_set_pin_parse(message_body(writer), &msg), WIRE_E_MALFORMED);
}

static void test_login_with_unknown_tries_is_refused(void **state)
{
    struct wire_writer *writer = *state;
    struct worker_login msg = {.tries = (enum worker_tries)(WORKER_TRIES_ALL + 1)};

    assert_int_equal(worker_login_encode(writer, &msg), 0);
    assert_int_equal(worker_login_parse(message_body(writer), &msg), WIRE_E_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MESSAGE_SET_TESTS(&messages),
        MESSAGE_TEST(test_load_with_thread_count_outside_its_range_is_refused),
        MESSAGE_TEST(test_load_with_unknown_verify_mode_is_refused),
        MESSAGE_TEST(test_load_with_more_certificates_than_fit_is_refused),
        MESSAGE_TEST(test_load_refused_leaves_the_result_alone),
        MESSAGE_TEST(test_set_pin_with_unknown_change_is_refused),
        MESSAGE_TEST(test_login_with_unknown_tries_is_refused),
        MESSAGE_TEST(test_sign_with_slot_outside_the_ledger_is_refused),
        MESSAGE_TEST(test_key_with_type_outside_the_enum_is_refused),
        MESSAGE_TEST(test_key_with_long_fields_is_refused),
        MESSAGE_TEST(test_key_with_too_many_certificates_is_refused),
        MESSAGE_TEST(test_key_with_too_many_schemes_is_refused),
        MESSAGE_TEST(test_token_with_text_that_is_not_utf8_is_refused),
        MESSAGE_TEST(test_reply_with_unknown_result_is_refused),
        MESSAGE_TEST(test_reply_with_signature_over_the_cap_is_refused),
        MESSAGE_TEST(test_failure_with_boolean_over_one_is_refused),
    };

    return cmocka_run_group_tests_name("worker_protocol", tests, NULL, NULL);
}
