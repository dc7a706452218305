/* SPDX-License-Identifier: Apache-2.0 */
/* common/ when memory runs out at every possible place: a failure that sticks, never a crash. */
#include <string.h>

#include "alloc_fail.h"
#include "common/escape.h"
#include "common/paths.h"
#include "common/secret.h"
#include "message_table.h"
#include "unit.h"

/* Encodes every sample with the n-th allocation failing, for all n that there are. */
static void fail_every_allocation(const struct message_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t nth = 1;
        for (;; nth++) {
            _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
            wire_writer_init(&writer, WIRE_HEADER_LEN + WIRE_FRAME_MAX);
            alloc_fail_at(nth);
            int r = rows[i].sample(&writer);
            if (!alloc_fail_happened())
                break;
            if (r != WIRE_E_MALFORMED || writer.len != 0)
                fail_msg("%s, allocation %zu: %d", rows[i].name, nth, r);
        }
        assert_true(nth > 1);
    }
}

static void test_encode_client_messages_without_memory_fails(void **state)
{
    (void)state;
    fail_every_allocation(client_messages, client_message_count);
}

static void test_encode_worker_messages_without_memory_fails(void **state)
{
    (void)state;
    fail_every_allocation(worker_messages, worker_message_count);
    fail_every_allocation(reader_messages, reader_message_count);
}

static void test_writer_that_failed_stays_failed_when_memory_is_back(void **state)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};

    (void)state;
    wire_writer_init(&writer, 1000);
    alloc_fail_at(1);
    wire_put_u32(&writer, 1);
    assert_true(alloc_fail_happened());
    wire_put_u32(&writer, 2);

    assert_true(writer.failed);
    assert_int_equal(writer.len, 0);
}

static void test_writer_that_cannot_grow_keeps_whole_frames(void **state)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
    static const uint8_t content[4000];

    (void)state;
    wire_writer_init(&writer, 100000);
    assert_int_equal(protocol_bare_encode(&writer, PROTOCOL_STATUS, 1), 0);
    alloc_fail_at(1);
    struct protocol_sign_reply reply = {1, {content, sizeof(content)}};
    int r = protocol_sign_reply_encode(&writer, &reply);
    assert_true(alloc_fail_happened());

    assert_int_equal(r, WIRE_E_MALFORMED);
    assert_int_equal(writer.len, 9);
}

static void test_frame_buffer_without_memory_says_so(void **state)
{
    struct frame_buffer buffer = FRAME_BUFFER_INIT;
    uint8_t *room = NULL;
    size_t len = 0;

    (void)state;
    alloc_fail_at(1);
    int r = frame_buffer_reserve(&buffer, &room, &len);
    assert_true(alloc_fail_happened());
    assert_int_equal(r, -ENOMEM);
    assert_null(room);
}

static void test_frame_buffer_that_cannot_grow_keeps_what_it_holds(void **state)
{
    static const uint8_t start[] = {0, 0, 0x40, 0, 9};
    struct frame_buffer buffer = FRAME_BUFFER_INIT;
    uint8_t *room = NULL;
    size_t len = 0;

    (void)state;
    assert_int_equal(frame_buffer_reserve(&buffer, &room, &len), 0);
    memcpy(room, start, sizeof(start));
    frame_buffer_commit(&buffer, sizeof(start));
    alloc_fail_at(1);
    int r = frame_buffer_reserve(&buffer, &room, &len);
    assert_true(alloc_fail_happened());
    bool is_kept = buffer.end - buffer.start == sizeof(start) &&
                   memcmp(buffer.data + buffer.start, start, sizeof(start)) == 0;
    frame_buffer_deinit(&buffer);

    assert_int_equal(r, -ENOMEM);
    assert_true(is_kept);
}

static void test_span_to_text_without_memory_is_null(void **state)
{
    (void)state;
    alloc_fail_at(1);
    char *text = wire_span_to_text(WIRE_SPAN_LITERAL("abc"));
    assert_true(alloc_fail_happened());
    assert_null(text);
}

static void test_escape_json_without_memory_fails_the_writer(void **state)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};

    (void)state;
    wire_writer_init(&writer, 1000);
    alloc_fail_at(1);
    escape_json(&writer, WIRE_SPAN_LITERAL("text"));
    assert_true(alloc_fail_happened());
    assert_true(writer.failed);
}

static void test_socket_path_without_memory_says_so(void **state)
{
    char *path = NULL;

    (void)state;
    (void)setenv(PATHS_SOCKET_ENV, "/agent.sock", 1);
    alloc_fail_at(1);
    int r = paths_socket(&path);
    assert_true(alloc_fail_happened());
    assert_int_equal(r, -ENOMEM);
    assert_null(path);
}

static void test_secret_without_memory_is_null(void **state)
{
    (void)state;
    alloc_fail_at(1);
    struct secret *secret = secret_new();
    assert_true(alloc_fail_happened());
    assert_null(secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode_client_messages_without_memory_fails),
        cmocka_unit_test(test_encode_worker_messages_without_memory_fails),
        cmocka_unit_test(test_writer_that_failed_stays_failed_when_memory_is_back),
        cmocka_unit_test(test_writer_that_cannot_grow_keeps_whole_frames),
        cmocka_unit_test(test_frame_buffer_without_memory_says_so),
        cmocka_unit_test(test_frame_buffer_that_cannot_grow_keeps_what_it_holds),
        cmocka_unit_test(test_span_to_text_without_memory_is_null),
        cmocka_unit_test(test_escape_json_without_memory_fails_the_writer),
        cmocka_unit_test(test_socket_path_without_memory_says_so),
        cmocka_unit_test(test_secret_without_memory_is_null),
    };

    return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
