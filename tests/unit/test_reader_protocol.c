/* SPDX-License-Identifier: Apache-2.0 */
/* Core-helper messages about readers: what holds for all of them, then the values that are refused.
 */
#include "common/reader_protocol.h"

#include <string.h>

#include "message_checks.h"

static struct message_set messages = {reader_messages, &reader_message_count};

static int parse_report(struct wire_writer *writer, const struct reader_report *report)
{
    struct reader_report msg;

    wire_writer_reset(writer);
    assert_int_equal(reader_report_encode(writer, report), 0);
    return reader_report_parse(message_body(writer), &msg);
}

static int parse_reader(struct wire_writer *writer, struct reader_entry entry)
{
    struct reader_report report = {
        .service = READER_SERVICE_THERE, .reader_count = 1, .readers = {entry}};

    return parse_report(writer, &report);
}

static void test_report_with_service_outside_the_enum_is_refused(void **state)
{
    static const unsigned int services[] = {0, READER_SERVICE_FAILED + 1, UINT32_MAX};

    assert_int_equal(
        parse_report(*state, &(struct reader_report){.service = READER_SERVICE_FAILED}), 0);
    for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
        struct reader_report report = {.service = (enum reader_service)services[i]};
        assert_int_equal(parse_report(*state, &report), WIRE_E_MALFORMED);
    }
}

static void test_report_with_reader_state_outside_the_enum_is_refused(void **state)
{
    static const unsigned int states[] = {0, READER_STATE_UNAVAILABLE + 1, UINT32_MAX};
    struct reader_entry entry = {.name = WIRE_SPAN_LITERAL("R"), .state = READER_STATE_UNAVAILABLE};

    assert_int_equal(parse_reader(*state, entry), 0);
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        entry.state = (enum reader_state)states[i];
        assert_int_equal(parse_reader(*state, entry), WIRE_E_MALFORMED);
    }
}

static void test_report_with_texts_over_their_caps_is_refused(void **state)
{
    struct reader_entry entry = {.name = message_filler(PROTOCOL_NAME_MAX),
                                 .state = READER_STATE_EMPTY,
                                 .users = message_filler(PROTOCOL_TEXT_MAX / 2)};

    assert_int_equal(parse_reader(*state, entry), 0);
    entry.name = message_filler(PROTOCOL_NAME_MAX + 1);
    assert_int_equal(parse_reader(*state, entry), WIRE_E_MALFORMED);
    entry.name = message_filler(1);
    entry.users = message_filler(PROTOCOL_TEXT_MAX / 2 + 1);
    assert_int_equal(parse_reader(*state, entry), WIRE_E_MALFORMED);
}

static void test_report_with_a_reader_without_name_is_refused(void **state)
{
    assert_int_equal(parse_reader(*state, (struct reader_entry){.state = READER_STATE_EMPTY}),
                     WIRE_E_MALFORMED);
}

static void test_report_with_more_readers_than_fit_is_refused(void **state)
{
    struct wire_writer *writer = *state;
    struct reader_report msg;

    assert_int_equal(parse_report(writer, &(struct reader_report){.service = READER_SERVICE_THERE}),
                     0);
    writer->data[writer->len - 1] = READERS_MAX + 1;
    assert_int_equal(reader_report_parse(message_body(writer), &msg), WIRE_E_MALFORMED);
}

static void test_report_with_most_readers_and_longest_texts_is_accepted(void **state)
{
    struct reader_report report = {.service = READER_SERVICE_THERE,
                                   .text = message_filler(PROTOCOL_TEXT_MAX),
                                   .reader_count = READERS_MAX};

    for (size_t i = 0; i < READERS_MAX; i++)
        report.readers[i] =
            (struct reader_entry){message_filler(PROTOCOL_NAME_MAX), READER_STATE_MUTE, UINT32_MAX,
                                  message_filler(PROTOCOL_TEXT_MAX / 2)};
    assert_int_equal(parse_report(*state, &report), 0);
}

static void test_report_refused_leaves_the_result_alone(void **state)
{
    struct wire_writer *writer = *state;
    struct reader_report msg = {.reader_count = 7};

    assert_int_equal(reader_report_encode(writer, &(struct reader_report){0}), 0);
    assert_int_equal(reader_report_parse(message_body(writer), &msg), WIRE_E_MALFORMED);
    assert_int_equal(msg.reader_count, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MESSAGE_SET_TESTS(&messages),
        MESSAGE_TEST(test_report_with_service_outside_the_enum_is_refused),
        MESSAGE_TEST(test_report_with_reader_state_outside_the_enum_is_refused),
        MESSAGE_TEST(test_report_with_texts_over_their_caps_is_refused),
        MESSAGE_TEST(test_report_with_a_reader_without_name_is_refused),
        MESSAGE_TEST(test_report_with_more_readers_than_fit_is_refused),
        MESSAGE_TEST(test_report_with_most_readers_and_longest_texts_is_accepted),
        MESSAGE_TEST(test_report_refused_leaves_the_result_alone),
    };

    return cmocka_run_group_tests_name("reader_protocol", tests, NULL, NULL);
}
