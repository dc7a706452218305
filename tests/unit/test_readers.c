/* SPDX-License-Identifier: Apache-2.0 */
/* The core's picture of the readers, from the reports of a helper that the test plays. */
#include "agent/readers.h"

#include <string.h>
#include <sys/socket.h>

#include "common/frame.h"
#include "unit.h"

struct fixture {
    sd_event *event;
    struct readers *readers;
    int helper;
    unsigned int changes; /* calls of the callback */
};

static void on_change(void *userdata)
{
    struct fixture *fixture = userdata;

    fixture->changes++;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    int fds[2];

    if (!fixture || sd_event_new(&fixture->event) < 0 ||
        readers_new(fixture->event, on_change, fixture, &fixture->readers) ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0 ||
        readers_adopt(fixture->readers, fds[0]))
        return -1;
    fixture->helper = fds[1];
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    fixture->readers = readers_free(fixture->readers);
    (void)sd_event_unref(fixture->event);
    (void)close_fd(fixture->helper);
    free(fixture);
    return 0;
}

static void turn(struct fixture *fixture)
{
    while (sd_event_run(fixture->event, 0) > 0)
        continue;
}

static void report(struct fixture *fixture, const struct reader_report *msg)
{
    struct wire_writer writer;

    wire_writer_init(&writer, WIRE_FRAME_MAX);
    assert_int_equal(reader_report_encode(&writer, msg), 0);
    assert_int_equal(send(fixture->helper, writer.data, writer.len, 0), (ssize_t)writer.len);
    wire_writer_deinit(&writer);
    turn(fixture);
}

/* A report of one reader. */
static void report_one(struct fixture *fixture, const char *name, enum reader_state reader_state,
                       uint32_t counter)
{
    report(fixture, &(struct reader_report){.service = READER_SERVICE_THERE,
                                            .reader_count = 1,
                                            .readers = {{wire_span_from_text(name), reader_state,
                                                         counter, WIRE_SPAN_LITERAL("")}}});
}

static const struct reader *find(const struct fixture *fixture, const char *name)
{
    const struct reader *reader = readers_find(fixture->readers, wire_span_from_text(name));

    assert_non_null(reader);
    return reader;
}

static void test_first_report_is_what_came(void **state)
{
    struct fixture *fixture = *state;

    assert_false(readers_are_followed(fixture->readers));
    report_one(fixture, "R", READER_STATE_PRESENT, 1);
    assert_true(readers_are_followed(fixture->readers));
    assert_int_equal(fixture->changes, 1);
    assert_int_equal(find(fixture, "R")->came, readers_generation(fixture->readers));
    assert_int_equal(find(fixture, "R")->went, 0);
}

static void test_same_report_again_changes_nothing(void **state)
{
    struct fixture *fixture = *state;

    report_one(fixture, "R", READER_STATE_PRESENT, 1);
    report_one(fixture, "R", READER_STATE_PRESENT, 1);
    assert_int_equal(fixture->changes, 1);
    assert_int_equal(readers_generation(fixture->readers), 1);
}

/* What becomes of a card when one report follows another: generations 1 and 2. */
static const struct {
    const char *name;
    enum reader_state before;
    uint32_t counter_before;
    enum reader_state after;
    uint32_t counter_after;
    uint64_t came;
    uint64_t went;
} card_rows[] = {
    {"inserted", READER_STATE_EMPTY, 2, READER_STATE_PRESENT, 3, 2, 0},
    {"removed", READER_STATE_PRESENT, 1, READER_STATE_EMPTY, 2, 1, 2},
    {"removed while in use", READER_STATE_IN_USE, 1, READER_STATE_EMPTY, 2, 1, 2},
    {"swapped between two reports", READER_STATE_IN_USE, 1, READER_STATE_PRESENT, 3, 2, 2},
    {"inserted and removed between two reports", READER_STATE_EMPTY, 2, READER_STATE_EMPTY, 4, 0,
     0},
    {"taken into use", READER_STATE_PRESENT, 1, READER_STATE_IN_USE, 1, 1, 0},
    {"held by one program", READER_STATE_PRESENT, 1, READER_STATE_EXCLUSIVE, 1, 1, 0},
    {"let go by it", READER_STATE_EXCLUSIVE, 1, READER_STATE_PRESENT, 1, 2, 0},
    {"let go for programs that share it", READER_STATE_EXCLUSIVE, 1, READER_STATE_IN_USE, 1, 2, 0},
    {"answering at last", READER_STATE_MUTE, 1, READER_STATE_PRESENT, 1, 2, 0},
    {"in a reader that does not answer", READER_STATE_PRESENT, 1, READER_STATE_UNAVAILABLE, 1, 1,
     2},
};

static void test_cards_come_and_go(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(card_rows); i++) {
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
        struct fixture *fixture = *state;
        report_one(fixture, "R", card_rows[i].before, card_rows[i].counter_before);
        report_one(fixture, "R", card_rows[i].after, card_rows[i].counter_after);
        const struct reader *reader = find(fixture, "R");
        if (reader->came != card_rows[i].came || reader->went != card_rows[i].went)
            fail_msg("%s: came %lu, went %lu", card_rows[i].name, (unsigned long)reader->came,
                     (unsigned long)reader->went);
    }
}

static void test_reader_unplugged_takes_its_card_along(void **state)
{
    struct fixture *fixture = *state;

    report_one(fixture, "R", READER_STATE_IN_USE, 1);
    report(fixture, &(struct reader_report){.service = READER_SERVICE_THERE});
    const struct reader *reader = find(fixture, "R");
    assert_false(reader->is_there);
    assert_false(reader_has_card(reader));
    assert_int_equal(reader->went, 2);
    report_one(fixture, "R", READER_STATE_IN_USE, 1);
    assert_int_equal(find(fixture, "R")->came, 3);
}

static void test_pcscd_gone_is_told_and_takes_all_along(void **state)
{
    struct fixture *fixture = *state;

    report_one(fixture, "R", READER_STATE_IN_USE, 1);
    report(fixture, &(struct reader_report){.service = READER_SERVICE_ABSENT,
                                            .text = WIRE_SPAN_LITERAL("start pcscd")});
    assert_false(readers_are_followed(fixture->readers));
    assert_string_equal(readers_text(fixture->readers), "start pcscd");
    assert_int_equal(find(fixture, "R")->went, 2);
    /* The same counter as before: it is another pcscd. */
    report_one(fixture, "R", READER_STATE_IN_USE, 1);
    assert_string_equal(readers_text(fixture->readers), "");
    assert_int_equal(find(fixture, "R")->came, 3);
}

static void test_helper_that_ends_leaves_the_picture(void **state)
{
    struct fixture *fixture = *state;
    int fds[2];

    report_one(fixture, "R", READER_STATE_IN_USE, 1);
    fixture->helper = close_fd(fixture->helper);
    turn(fixture);
    assert_true(reader_has_card(find(fixture, "R")));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(readers_adopt(fixture->readers, fds[0]), 0);
    fixture->helper = fds[1];
    /* What a new one finds is compared with it: here somebody swapped the card meanwhile. */
    report_one(fixture, "R", READER_STATE_IN_USE, 3);
    assert_int_equal(find(fixture, "R")->went, 2);
    assert_int_equal(find(fixture, "R")->came, 2);
}

static const char *const malformed[] = {"", "x", "\0\0\0\1\x81", "\0\0\0\1\x01", "\0\0\0\2\x81\0"};

static void test_helper_that_sends_garbage_is_ended(void **state)
{
    static const size_t lens[] = {1, 1, 5, 5, 6};

    for (size_t i = 0; i < ARRAY_SIZE(malformed); i++) {
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
        struct fixture *fixture = *state;
        char byte = 0;
        assert_int_equal(send(fixture->helper, malformed[i], lens[i], 0), (ssize_t)lens[i]);
        /* the start of the next one fails in this test, and may take its time */
        (void)sd_event_run(fixture->event, 0);
        assert_int_equal(recv(fixture->helper, &byte, 1, MSG_DONTWAIT), 0);
        assert_int_equal(fixture->changes, 0);
    }
}

static void test_readers_that_come_and_go_for_ever_are_bounded(void **state)
{
    struct fixture *fixture = *state;
    char name[32];
    size_t known = 0;

    for (unsigned int i = 0; i < 3 * READERS_KNOWN_MAX; i++) {
        (void)snprintf(name, sizeof(name), "Reader %u", i);
        report_one(fixture, name, READER_STATE_PRESENT, 1);
        assert_true(find(fixture, name)->is_there);
    }
    while (readers_get(fixture->readers, known))
        known++;
    assert_int_equal(known, READERS_KNOWN_MAX);
}

#define LONG_NAME "A reader whose name is longer than the sixty-four bytes of a slot (serial 1) 00"

static const struct {
    const char *reader;
    const char *slot;
    bool is_it;
} slot_rows[] = {
    {"Reader 00 00", "Reader 00 00", true},
    {"Reader 00 00", "Reader 00", false},
    {"Reader 00 00", "Reader 00 00 00", false},
    {"Reader 00 00", "", false},
    {LONG_NAME, LONG_NAME, true},
    {LONG_NAME, "A reader whose name is longer than the sixty-four bytes of a slo", true},
    {LONG_NAME, "A reader whose name is longer than the sixty-four bytes of a sl", false},
    {LONG_NAME, "A reader", false},
    {"A reader whose name has a blank as the last byte of those sixty- four",
     "A reader whose name has a blank as the last byte of those sixty-", true},
};

static void test_slot_is_matched_to_its_reader(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(slot_rows); i++) {
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
        struct fixture *fixture = *state;
        report_one(fixture, slot_rows[i].reader, READER_STATE_EMPTY, 0);
        if ((readers_find(fixture->readers, wire_span_from_text(slot_rows[i].slot)) != NULL) !=
            slot_rows[i].is_it)
            fail_msg("\"%s\" and \"%s\"", slot_rows[i].reader, slot_rows[i].slot);
    }
}

#define READERS_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        READERS_TEST(test_first_report_is_what_came),
        READERS_TEST(test_same_report_again_changes_nothing),
        READERS_TEST(test_cards_come_and_go),
        READERS_TEST(test_reader_unplugged_takes_its_card_along),
        READERS_TEST(test_pcscd_gone_is_told_and_takes_all_along),
        READERS_TEST(test_helper_that_ends_leaves_the_picture),
        READERS_TEST(test_helper_that_sends_garbage_is_ended),
        READERS_TEST(test_readers_that_come_and_go_for_ever_are_bounded),
        READERS_TEST(test_slot_is_matched_to_its_reader),
    };

    return cmocka_run_group_tests_name("readers", tests, NULL, NULL);
}
