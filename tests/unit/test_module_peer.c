/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module and what is no agent, or one of another version: silent, garbled, gone in the middle.
 * Every call ends, within the deadline, which is short here.
 */
#include <string.h>

#include "client/module/calls.h"
#include "client_peer.h"
#include "common/clock.h"
#include "module_keys.h"
#include "unit.h"

#define DEADLINE_MS 300u
#define PATIENCE_MS 5000u

struct mtls_agent *__real_mtls_agent_new(const char *socket_path);
struct mtls_agent *__wrap_mtls_agent_new(const char *socket_path);

struct mtls_agent *__wrap_mtls_agent_new(const char *socket_path)
{
    struct mtls_agent *agent = __real_mtls_agent_new(socket_path);

    if (agent)
        mtls_agent_set_deadline(agent, DEADLINE_MS);
    return agent;
}

static int setup(void **state)
{
    if (peer_setup(state))
        return -1;
    (void)C_Finalize(NULL);
    (void)setenv("MTLS_AGENT_SOCK", ((struct peer *)*state)->path, 1);
    return C_Initialize(NULL) == CKR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)C_Finalize(NULL);
    return peer_teardown(state);
}

/* --- scripts --- */

static void script_silent(struct peer_side *side)
{
    struct peer_conn conn;

    peer_accept_raw(side, &conn);
    peer_await(side->sync_fd);
}

static void script_says_hello_alone(struct peer_side *side)
{
    struct peer_conn conn;

    peer_accept(side, &conn);
    peer_await(side->sync_fd);
}

static void script_garbage(struct peer_side *side)
{
    for (;;) {
        struct peer_conn conn;
        peer_accept_raw(side, &conn);
        conn.client_may_leave = true;
        peer_send(&conn, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
        peer_close(&conn);
    }
}

/* Drips one byte of an endless frame at a time. */
static void script_slow_garbage(struct peer_side *side)
{
    struct peer_conn conn;

    peer_accept_raw(side, &conn);
    conn.client_may_leave = true;
    for (size_t i = 0; i < 4; i++)
        peer_send(&conn, "\0\0\xff\xff", i);
    peer_await(side->sync_fd);
}

static void script_older(struct peer_side *side)
{
    for (;;) {
        struct peer_conn conn;
        struct peer_request request;
        peer_accept_raw(side, &conn);
        conn.client_may_leave = true;
        peer_expect(&conn, PROTOCOL_HELLO, &request);
        peer_reply_error(&conn, 0, PROTOCOL_E_VERSION, "This agent speaks version 0 alone.");
        peer_close(&conn);
        free(request.body);
    }
}

static void script_newer(struct peer_side *side)
{
    for (;;) {
        struct peer_conn conn;
        struct peer_request request;
        struct wire_writer writer;
        const struct protocol_hello_reply reply = {.version = PROTOCOL_VERSION + 1};
        peer_accept_raw(side, &conn);
        conn.client_may_leave = true;
        peer_expect(&conn, PROTOCOL_HELLO, &request);
        wire_writer_init(&writer, WIRE_FRAME_MAX);
        if (protocol_hello_reply_encode(&writer, &reply))
            peer_fail("encode");
        peer_send_writer(&conn, &writer);
        peer_close(&conn);
        free(request.body);
    }
}

static void reply_list(struct peer_conn *conn, uint32_t id)
{
    const struct mtls_agent_key *ec = &module_keys[KEYS_P256];
    struct wire_writer writer;
    struct protocol_key key = {
        .name = WIRE_SPAN_LITERAL("key"),
        .key_hash = {ec->hash, sizeof(ec->hash)},
        .type = KEY_TYPE_EC,
        .bits = 256,
        .state = KEY_STATE_READY,
        .policy = KEY_POLICY_DIGEST,
        .token_label = WIRE_SPAN_LITERAL("card"),
        .module = WIRE_SPAN_LITERAL("test"),
        .spki = {ec->spki.data, ec->spki.len},
    };

    wire_writer_init(&writer, WIRE_FRAME_MAX);
    struct protocol_list_reply_mark mark = protocol_list_reply_begin(&writer, id, 1);
    if (!protocol_list_reply_add(&writer, &mark, &key) ||
        protocol_list_reply_end(&writer, &mark, 1, 0))
        peer_fail("encode");
    peer_send_writer(conn, &writer);
}

/* Lists its key, then has for the signature what the test is about. */
static void serve_until_sign(struct peer_side *side, struct peer_conn *conn,
                             struct peer_request *request)
{
    peer_accept(side, conn);
    peer_expect(conn, PROTOCOL_LIST, request);
    reply_list(conn, request->id);
    free(request->body);
    peer_expect(conn, PROTOCOL_SIGN, request);
}

static void script_hangs_at_sign(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;

    serve_until_sign(side, &conn, &request);
    peer_await(side->sync_fd);
}

static const struct wire_span bad_signatures[] = {
    {(const uint8_t *)"", 0},
    {(const uint8_t *)"\x30", 1},
    {(const uint8_t *)"\x30\x06\x02\x01\x00\x02\x01\x01", 8},     /* r = 0 */
    {(const uint8_t *)"\x30\x06\x02\x01\x01\x02\x01\x01\x00", 9}, /* one byte more */
    {module_keys[KEYS_RSA].hash, MTLS_AGENT_KEY_HASH_LEN},
};

static void script_bad_signatures(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;

    serve_until_sign(side, &conn, &request);
    for (size_t i = 0;; i++) {
        struct wire_writer writer;
        const struct protocol_sign_reply reply = {.id = request.id, .signature = bad_signatures[i]};
        wire_writer_init(&writer, WIRE_FRAME_MAX);
        if (protocol_sign_reply_encode(&writer, &reply))
            peer_fail("encode");
        peer_send_writer(&conn, &writer);
        free(request.body);
        if (i + 1 == ARRAY_SIZE(bad_signatures))
            break;
        peer_expect(&conn, PROTOCOL_SIGN, &request);
    }
    peer_await(side->sync_fd);
}

/* --- tests --- */

static CK_ULONG count_tokens(void)
{
    CK_ULONG count = 99;

    assert_int_equal(C_GetSlotList(CK_TRUE, NULL, &count), CKR_OK);
    return count;
}

/* Nothing is found, in this time at most; and a second look does not wait again. */
static void check_finds_nothing(struct peer *peer, peer_script_fn script, uint64_t least_ms)
{
    uint64_t started_ms = clock_monotonic_ms();

    peer_start(peer, script);
    assert_int_equal(count_tokens(), 0);
    assert_in_range(clock_monotonic_ms() - started_ms, least_ms, PATIENCE_MS);
    started_ms = clock_monotonic_ms();
    for (int i = 0; i < 100; i++)
        assert_int_equal(count_tokens(), 0);
    assert_true(clock_monotonic_ms() - started_ms < DEADLINE_MS);
}

static void test_silent_listener(void **state)
{
    check_finds_nothing(*state, script_silent, DEADLINE_MS);
}

static void test_listener_that_says_hello_alone(void **state)
{
    check_finds_nothing(*state, script_says_hello_alone, DEADLINE_MS);
}

static void test_garbage_speaker(void **state)
{
    check_finds_nothing(*state, script_garbage, 0);
}

static void test_slow_garbage_speaker(void **state)
{
    check_finds_nothing(*state, script_slow_garbage, 0);
}

static void test_older_agent(void **state)
{
    check_finds_nothing(*state, script_older, 0);
}

static void test_newer_agent(void **state)
{
    check_finds_nothing(*state, script_newer, 0);
}

static void test_wait_for_event_of_no_agent_does_not_block(void **state)
{
    CK_SLOT_ID slot = 0;

    peer_start(*state, script_newer);
    assert_int_equal(C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
}

static CK_RV sign(void)
{
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof(class)};
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_ULONG count = 0;
    unsigned char digest[32] = {0};
    unsigned char signature[64];
    CK_ULONG len = sizeof(signature);

    assert_int_equal(C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
    assert_int_equal(C_FindObjectsInit(session, &template, 1), CKR_OK);
    assert_int_equal(C_FindObjects(session, &key, 1, &count), CKR_OK);
    assert_int_equal(C_SignInit(session, &mechanism, key), CKR_OK);
    CK_RV rv = C_Sign(session, digest, sizeof(digest), signature, &len);
    assert_int_equal(C_CloseSession(session), CKR_OK);
    return rv;
}

static void test_agent_that_hangs_at_a_signature(void **state)
{
    uint64_t started_ms = clock_monotonic_ms();

    peer_start(*state, script_hangs_at_sign);
    assert_int_equal(sign(), CKR_FUNCTION_CANCELED);
    assert_in_range(clock_monotonic_ms() - started_ms, DEADLINE_MS, PATIENCE_MS);
}

static void test_what_is_no_signature(void **state)
{
    peer_start(*state, script_bad_signatures);
    for (size_t i = 0; i < ARRAY_SIZE(bad_signatures); i++)
        assert_int_equal(sign(), CKR_DEVICE_ERROR);
}

static void test_agent_killed_within_a_signature(void **state)
{
    peer_start(*state, script_hangs_at_sign);
    assert_int_equal(count_tokens(), 1);
    peer_kill(*state);
    assert_int_equal(sign(), CKR_DEVICE_ERROR);
}

static void test_socket_path_that_is_none(void **state)
{
    static const char *const paths[] = {"/", "/dev/null", "relative/agent.sock"};
    char too_long[300];

    (void)state;
    memset(too_long, 'x', sizeof(too_long) - 1);
    too_long[0] = '/';
    too_long[sizeof(too_long) - 1] = '\0';
    for (size_t i = 0; i <= ARRAY_SIZE(paths); i++) {
        assert_int_equal(C_Finalize(NULL), CKR_OK);
        assert_int_equal(setenv("MTLS_AGENT_SOCK", i < ARRAY_SIZE(paths) ? paths[i] : too_long, 1),
                         0);
        assert_int_equal(C_Initialize(NULL), CKR_OK);
        assert_int_equal(count_tokens(), 0);
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_silent_listener),
        TEST(test_listener_that_says_hello_alone),
        TEST(test_garbage_speaker),
        TEST(test_slow_garbage_speaker),
        TEST(test_older_agent),
        TEST(test_newer_agent),
        TEST(test_wait_for_event_of_no_agent_does_not_block),
        TEST(test_agent_that_hangs_at_a_signature),
        TEST(test_what_is_no_signature),
        TEST(test_agent_killed_within_a_signature),
        TEST(test_socket_path_that_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
