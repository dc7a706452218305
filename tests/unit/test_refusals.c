/* SPDX-License-Identifier: Apache-2.0 */
/* The last refusals: what is one, which are kept, who sees them, and how they go over the wire. */
#include "agent/refusals.h"

#include <string.h>

#include "unit.h"

static const uint8_t first_key[PROTOCOL_KEY_HASH_LEN] = {1};
static const uint8_t second_key[PROTOCOL_KEY_HASH_LEN] = {2};

static struct refusals refusals;

static int setup_refusals(void **state)
{
    (void)state;
    refusals_init(&refusals);
    return 0;
}

static void note(uid_t uid, const char *text, uint64_t now_ms)
{
    const struct peer peer = {.uid = uid, .pid = 7, .exe = (char *)(uintptr_t) "/usr/bin/curl"};
    const struct refusal_event event = {&peer, "work", first_key, SIGN_KIND_DIGEST, text};

    refusals_note(&refusals, &event, now_ms);
}

static const struct refusal *latest(void)
{
    assert_false(list_is_empty(&refusals.latest_first));
    return list_entry(refusals.latest_first.next, struct refusal, link);
}

static size_t count_of(uid_t uid)
{
    size_t count = 0;

    list_for_each (link, &refusals.latest_first)
        count += list_entry(link, struct refusal, link)->uid == uid ? 1 : 0;
    return count;
}

static bool has_text(const char *text)
{
    list_for_each (link, &refusals.latest_first)
        if (strcmp(list_entry(link, struct refusal, link)->text, text) == 0)
            return true;
    return false;
}

static void test_note_keeps_what_happened(void **state)
{
    struct protocol_status_refusal entry;

    (void)state;
    note(1000, "because", 500);
    refusal_describe(latest(), 2000, &entry);
    assert_int_equal(entry.age_ms, 1500);
    assert_int_equal(entry.count, 1);
    assert_int_equal(entry.uid, 1000);
    assert_int_equal(entry.pid, 7);
    assert_int_equal(entry.kind, SIGN_KIND_DIGEST);
    assert_span_equal(entry.program, wire_span_from_text("/usr/bin/curl"));
    assert_span_equal(entry.key, wire_span_from_text("work"));
    assert_span_equal(entry.text, wire_span_from_text("because"));
}

static void test_note_same_again_counts_and_is_latest(void **state)
{
    (void)state;
    note(1000, "because", 1);
    note(1000, "other", 2);
    note(1000, "because", 3);
    assert_int_equal(count_of(1000), 2);
    assert_string_equal(latest()->text, "because");
    assert_int_equal(latest()->count, 2);
    assert_int_equal(latest()->when_ms, 3);
}

static void test_note_takes_the_process_of_the_last_time(void **state)
{
    struct peer peer = {.uid = 1000, .pid = 7};
    const struct refusal_event event = {&peer, "work", first_key, SIGN_KIND_TLS13, "because"};

    (void)state;
    refusals_note(&refusals, &event, 1);
    peer.pid = 8;
    refusals_note(&refusals, &event, 2);
    assert_int_equal(latest()->count, 2);
    assert_int_equal(latest()->pid, 8);
}

static void test_note_differs_by_each_part(void **state)
{
    const struct peer peers[] = {{.uid = 1, .exe = (char *)(uintptr_t) "/bin/a"},
                                 {.uid = 2, .exe = (char *)(uintptr_t) "/bin/a"},
                                 {.uid = 1, .exe = (char *)(uintptr_t) "/bin/b"},
                                 {.uid = 1}};
    const struct refusal_event events[] = {
        {&peers[0], "work", first_key, 1, "text"},  {&peers[1], "work", first_key, 1, "text"},
        {&peers[2], "work", first_key, 1, "text"},  {&peers[3], "work", first_key, 1, "text"},
        {&peers[0], "work", second_key, 1, "text"}, {&peers[0], "work", first_key, 2, "text"},
        {&peers[0], "work", first_key, 1, "other"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        refusals_note(&refusals, &events[i], i);
        assert_int_equal(latest()->count, 1);
    }
}

static void test_note_when_full_drops_the_oldest(void **state)
{
    char text[16];

    (void)state;
    for (unsigned int i = 0; i < REFUSALS_MAX + 1; i++) {
        (void)snprintf(text, sizeof(text), "text %u", i);
        note(1000, text, i);
    }
    assert_int_equal(count_of(1000), REFUSALS_MAX);
    assert_false(has_text("text 0"));
    assert_true(has_text("text 1"));
}

static void test_note_of_one_user_does_not_push_out_another(void **state)
{
    char text[16];

    (void)state;
    note(1000, "mine", 0);
    for (unsigned int i = 0; i < 10 * REFUSALS_MAX; i++) {
        (void)snprintf(text, sizeof(text), "text %u", i);
        note(1001, text, i);
    }
    assert_true(has_text("mine"));
    assert_int_equal(count_of(1001), REFUSALS_MAX - 1);
}

static void test_note_makes_text_of_a_path_that_is_none(void **state)
{
    static char path[PROTOCOL_SELECTOR_MAX + 100];
    const struct peer peers[] = {{.exe = (char *)(uintptr_t) "/bin/\xff"}, {.exe = path}};

    (void)state;
    memset(path, 'x', sizeof(path) - 1);
    for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
        const struct refusal_event event = {&peers[i], "work", first_key, 1, "text"};
        refusals_note(&refusals, &event, 1);
        assert_true(strlen(latest()->program) <= PROTOCOL_SELECTOR_MAX);
    }
    assert_non_null(
        strstr(list_entry(refusals.latest_first.previous, struct refusal, link)->program, "\\xff"));
}

static void test_is_visible_to_own_user_to_the_agent_s_and_to_root(void **state)
{
    const struct refusal refusal = {.uid = 1000};

    (void)state;
    assert_true(refusal_is_visible(&refusal, 500, 1000));
    assert_true(refusal_is_visible(&refusal, 500, 500));
    assert_true(refusal_is_visible(&refusal, 500, 0));
    assert_false(refusal_is_visible(&refusal, 500, 1001));
}

static void test_full_of_longest_texts_fits_a_frame_full_of_tokens(void **state)
{
    char text[PROTOCOL_TEXT_MAX + 1];
    char name[PROTOCOL_NAME_MAX + 1] = {0};
    char exe[PROTOCOL_SELECTOR_MAX + 1] = {0};
    struct wire_writer writer;

    (void)state;
    memset(text, 'x', sizeof(text));
    memset(name, 'x', sizeof(name) - 1);
    memset(exe, 'x', sizeof(exe) - 1);
    text[PROTOCOL_TEXT_MAX] = '\0';
    wire_writer_init(&writer, WIRE_FRAME_MAX);
    struct protocol_status_mark mark =
        protocol_status_reply_begin(&writer, &(struct protocol_status_reply){.id = 1});
    protocol_status_reply_begin_tokens(&writer, &mark);
    while (protocol_status_reply_add_token(
        &writer, &mark, &(struct protocol_status_token){.state = TOKEN_STATE_READY}))
        continue;
    protocol_status_reply_begin_refusals(&writer, &mark);
    for (unsigned int i = 0; i < REFUSALS_MAX; i++) {
        struct protocol_status_refusal entry;
        const struct peer peer = {.exe = exe};
        text[0] = (char)('a' + i);
        const struct refusal_event event = {&peer, name, first_key, 1, text};
        refusals_note(&refusals, &event, i);
        refusal_describe(latest(), i, &entry);
        assert_int_equal(entry.text.len, PROTOCOL_TEXT_MAX);
        protocol_status_reply_add_refusal(&writer, &entry);
    }
    assert_int_equal(protocol_status_reply_end(&writer, &mark), 0);
    wire_writer_deinit(&writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_note_keeps_what_happened, setup_refusals),
        cmocka_unit_test_setup(test_note_same_again_counts_and_is_latest, setup_refusals),
        cmocka_unit_test_setup(test_note_takes_the_process_of_the_last_time, setup_refusals),
        cmocka_unit_test_setup(test_note_differs_by_each_part, setup_refusals),
        cmocka_unit_test_setup(test_note_when_full_drops_the_oldest, setup_refusals),
        cmocka_unit_test_setup(test_note_of_one_user_does_not_push_out_another, setup_refusals),
        cmocka_unit_test_setup(test_note_makes_text_of_a_path_that_is_none, setup_refusals),
        cmocka_unit_test(test_is_visible_to_own_user_to_the_agent_s_and_to_root),
        cmocka_unit_test_setup(test_full_of_longest_texts_fits_a_frame_full_of_tokens,
                               setup_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
