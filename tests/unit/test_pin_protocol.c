/* SPDX-License-Identifier: Apache-2.0 */
/* Core-ask-pin messages: what holds for all of them, then the values that each refuses. */
#include "common/pin_protocol.h"

#include <string.h>

#include "message_checks.h"

static struct message_set messages = {pin_messages, &pin_message_count};

static int parse_ask(struct wire_writer *writer, const struct pin_ask *ask)
{
    struct pin_ask msg;

    wire_writer_reset(writer);
    assert_int_equal(pin_ask_encode(writer, ask), 0);
    return pin_ask_parse(message_body(writer), &msg);
}

static void test_ask_with_an_unknown_kind_is_refused(void **state)
{
    struct pin_ask ask = {.kind = PIN_KIND_PRESENCE, .timeout_ms = 1};

    assert_int_equal(parse_ask(*state, &ask), 0);
    ask.kind = (enum pin_kind)(PIN_KIND_PRESENCE + 1);
    assert_int_equal(parse_ask(*state, &ask), WIRE_E_MALFORMED);
    ask.kind = (enum pin_kind)0;
    assert_int_equal(parse_ask(*state, &ask), WIRE_E_MALFORMED);
}

static void test_ask_with_a_time_outside_its_range_is_refused(void **state)
{
    struct pin_ask ask = {.kind = PIN_KIND_FILE, .timeout_ms = PIN_TIMEOUT_MS_MAX};

    assert_int_equal(parse_ask(*state, &ask), 0);
    ask.timeout_ms = PIN_TIMEOUT_MS_MAX + 1;
    assert_int_equal(parse_ask(*state, &ask), WIRE_E_MALFORMED);
    ask.timeout_ms = 0;
    assert_int_equal(parse_ask(*state, &ask), WIRE_E_MALFORMED);
}

static int parse_record(struct wire_writer *writer, const char *token, const char *facts,
                        const char *source)
{
    struct pin_record msg = {wire_span_from_text(token), wire_span_from_text(facts),
                             wire_span_from_text(source)};

    wire_writer_reset(writer);
    assert_int_equal(pin_record_encode(writer, PIN_GIVE, &msg), 0);
    return pin_record_parse(message_body(writer), &msg);
}

/* Each is one line of a file, and the token its first word. */
static void test_record_that_is_more_than_one_line_is_refused(void **state)
{
    assert_int_equal(parse_record(*state, "token=1:a", "refused=1 when=-", "-"), 0);
    assert_int_equal(parse_record(*state, "token=1 :a", "", ""), WIRE_E_MALFORMED);
    assert_int_equal(parse_record(*state, "token=1\n:a", "", ""), WIRE_E_MALFORMED);
    assert_int_equal(parse_record(*state, "token=1:a", "refused=1\n", ""), WIRE_E_MALFORMED);
    assert_int_equal(parse_record(*state, "token=1:a", "refused=1", "-\n"), WIRE_E_MALFORMED);
}

static void test_answer_that_is_unknown_is_refused(void **state)
{
    struct wire_writer *writer = *state;
    struct pin_reply msg = {.answer = (enum pin_answer)(PIN_E_REFUSED + 1)};

    assert_int_equal(pin_reply_encode(writer, &msg), 0);
    assert_int_equal(pin_reply_parse(message_body(writer), &msg), WIRE_E_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MESSAGE_SET_TESTS(&messages),
        MESSAGE_TEST(test_ask_with_an_unknown_kind_is_refused),
        MESSAGE_TEST(test_ask_with_a_time_outside_its_range_is_refused),
        MESSAGE_TEST(test_record_that_is_more_than_one_line_is_refused),
        MESSAGE_TEST(test_answer_that_is_unknown_is_refused),
    };

    return cmocka_run_group_tests_name("pin_protocol", tests, NULL, NULL);
}
