/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of both protocols share: the claims that hold for every message, one table walk
 * each, and the fixture for tests of a single message.
 */
#ifndef MTLS_TESTS_MESSAGE_CHECKS_H
#define MTLS_TESTS_MESSAGE_CHECKS_H

#include "message_table.h"
#include "unit.h"

/* The messages of one protocol. */
struct message_set {
    const struct message_row *rows;
    const size_t *count;
};

/** MESSAGE_SET_TESTS() - the five tests of every message in a set; not const, for cmocka. */
#define MESSAGE_SET_TESTS(set)                                                              \
    cmocka_unit_test_prestate(test_messages_round_trip, set),                               \
        cmocka_unit_test_prestate(test_messages_truncated_are_refused, set),                \
        cmocka_unit_test_prestate(test_messages_with_trailing_byte_are_refused, set),       \
        cmocka_unit_test_prestate(test_messages_over_the_writers_bound_leave_nothing, set), \
        cmocka_unit_test_prestate(test_messages_have_types_of_their_own, set)

/* Every sample parses, and encodes back to the same bytes. */
void test_messages_round_trip(void **state);
/* No body that was cut anywhere parses. */
void test_messages_truncated_are_refused(void **state);
/* A body with one more byte does not parse. */
void test_messages_with_trailing_byte_are_refused(void **state);
/* A writer of any smaller bound refuses the sample and stays as it was. */
void test_messages_over_the_writers_bound_leave_nothing(void **state);
/* The sample is one frame of the row's type, and no two rows share a type. */
void test_messages_have_types_of_their_own(void **state);

/** MESSAGE_TEST() - a test whose *state is an empty struct wire_writer. */
#define MESSAGE_TEST(test) \
    cmocka_unit_test_setup_teardown(test, message_setup_writer, message_teardown_writer)

int message_setup_writer(void **state);
int message_teardown_writer(void **state);

/** message_filler() - text and bytes of a length: 'a' throughout, at most PROTOCOL_DER_MAX + 1. */
struct wire_span message_filler(size_t len);

/** message_body() - the body of the only frame in @writer. */
struct wire_span message_body(const struct wire_writer *writer);

#endif
