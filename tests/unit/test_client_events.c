/* SPDX-License-Identifier: Apache-2.0 */
/* A subscription against a scripted agent: events, errors, garbage, the end, time, no memory. */
#include <string.h>

#include "alloc_fail.h"
#include "client_peer.h"
#include "common/clock.h"
#include "unit.h"

#define ALLOCATIONS_MAX 100
#define PATIENCE_MS 10000u

/* --- scripts --- */

static void accept_subscription(struct peer_side *side, struct peer_conn *conn, uint32_t *ret_id)
{
    struct peer_request request;
    struct protocol_subscribe subscribe;

    peer_accept(side, conn);
    peer_expect(conn, PROTOCOL_SUBSCRIBE, &request);
    if (protocol_subscribe_parse((struct wire_span){request.body, request.len}, &subscribe))
        peer_fail("subscribe");
    if (subscribe.mask != (MTLS_AGENT_EVENT_KEYS | MTLS_AGENT_EVENT_TOKEN))
        peer_fail("mask");
    *ret_id = subscribe.id;
    free(request.body);
}

static void reply_subscribed(struct peer_conn *conn, uint32_t id)
{
    struct wire_writer writer;

    wire_writer_init(&writer, WIRE_FRAME_MAX);
    if (protocol_bare_encode(&writer, PROTOCOL_SUBSCRIBE_REPLY, id))
        peer_fail("encode");
    peer_send_writer(conn, &writer);
}

static void send_event(struct peer_conn *conn, uint32_t id, const char *subject, const char *text)
{
    struct wire_writer writer;
    const struct protocol_event event = {
        .id = id,
        .kind = EVENT_TOKEN_CHANGED,
        .subject = wire_span_from_text(subject),
        .text = wire_span_from_text(text),
    };

    wire_writer_init(&writer, WIRE_FRAME_MAX);
    if (protocol_event_encode(&writer, &event))
        peer_fail("encode");
    peer_send_writer(conn, &writer);
}

static void begin_subscription(struct peer_side *side, struct peer_conn *conn, uint32_t *ret_id)
{
    accept_subscription(side, conn, ret_id);
    reply_subscribed(conn, *ret_id);
}

/* An event now, and one when the test says so. */
static void script_events(struct peer_side *side)
{
    struct peer_conn conn;
    char subject[PROTOCOL_NAME_MAX + 1];
    uint32_t id = 0;

    memset(subject, 'n', PROTOCOL_NAME_MAX);
    subject[PROTOCOL_NAME_MAX] = '\0';
    begin_subscription(side, &conn, &id);
    send_event(&conn, id, "card", "unlocked");
    send_event(&conn, id, subject, "");
    peer_await(side->sync_fd);
    send_event(&conn, id, "", "third");
    peer_expect_end(&conn);
}

static void script_two_events_and_the_end(struct peer_side *side)
{
    struct peer_conn conn;
    uint32_t id = 0;

    begin_subscription(side, &conn, &id);
    send_event(&conn, id, "card", "gone");
    peer_close(&conn);
}

static void script_refuses(struct peer_side *side)
{
    struct peer_conn conn;
    uint32_t id = 0;

    accept_subscription(side, &conn, &id);
    peer_reply_error(&conn, id, PROTOCOL_E_BUSY, "No room for one more.");
    peer_expect_end(&conn);
}

static void script_error_between_events(struct peer_side *side)
{
    struct peer_conn conn;
    uint32_t id = 0;

    begin_subscription(side, &conn, &id);
    peer_reply_error(&conn, 0, PROTOCOL_E_BUSY, "You read too slowly.");
    peer_expect_end(&conn);
}

static void script_hangs(struct peer_side *side)
{
    struct peer_conn conn;
    uint32_t id = 0;

    accept_subscription(side, &conn, &id);
    peer_expect_end(&conn);
}

static void script_half_an_event(struct peer_side *side)
{
    struct peer_conn conn;
    uint32_t id = 0;

    begin_subscription(side, &conn, &id);
    peer_send(&conn, "\0\0\0\x20\x99\0\0", 7);
    peer_expect_end(&conn);
}

/* What no agent says in answer to SUBSCRIBE. */
static const struct garbage_row {
    uint8_t type;
    uint32_t id_change;
    const char *tail;
    size_t tail_len;
} reply_garbage[] = {
    {PROTOCOL_SUBSCRIBE_REPLY, 1, "", 0},
    {PROTOCOL_SUBSCRIBE_REPLY, 0, "x", 1},
    {PROTOCOL_EVENT, 0, "", 0},
    {PROTOCOL_LIST_REPLY, 0, "", 0},
    {0xee, 0, "", 0},
    {PROTOCOL_ERROR, 0, "\0\0\0\0\0\0\0\0", 8},
    {PROTOCOL_ERROR, 0, "\xff\xff", 2},
};

/* What is no event of this subscription. */
static const struct garbage_row event_garbage[] = {
    {PROTOCOL_EVENT, 1, "\0\0\0\x02\0\0\0\0\0\0\0\0", 12},     /* of another one */
    {PROTOCOL_EVENT, 0, "\0\0\0\x03\0\0\0\0\0\0\0\0", 12},     /* two kinds */
    {PROTOCOL_EVENT, 0, "\0\0\0\0\0\0\0\0\0\0\0\0", 12},       /* none */
    {PROTOCOL_EVENT, 0, "\0\0\0\x80\0\0\0\0\0\0\0\0", 12},     /* an unknown one */
    {PROTOCOL_EVENT, 0, "\0\0\0\x02\0\0\0\1\xff\0\0\0\0", 13}, /* no UTF-8 */
    {PROTOCOL_EVENT, 0, "\0\0\0\x02\0\0\0\1\0\0\0\0\0", 13},   /* NUL */
    {PROTOCOL_EVENT, 0, "\0\0\0\x02\0\0\0\0\0\0\0\0x", 13},    /* more behind it */
    {PROTOCOL_EVENT, 0, "\0\0\0\x02\0\0\xff\xff", 8},
    {PROTOCOL_SUBSCRIBE_REPLY, 0, "", 0},
    {PROTOCOL_SIGN_REPLY, 0, "", 0},
};

static void send_garbage(struct peer_conn *conn, uint32_t id, const struct garbage_row *row)
{
    struct wire_writer writer;

    wire_writer_init(&writer, WIRE_FRAME_MAX);
    size_t mark = wire_begin_frame(&writer, row->type);
    wire_put_u32(&writer, id + row->id_change);
    wire_put_raw(&writer, row->tail, row->tail_len);
    if (wire_end_frame(&writer, mark))
        peer_fail("encode");
    peer_send_writer(conn, &writer);
}

static void script_reply_garbage(struct peer_side *side)
{
    for (size_t i = 0; i < ARRAY_SIZE(reply_garbage); i++) {
        struct peer_conn conn;
        uint32_t id = 0;
        accept_subscription(side, &conn, &id);
        send_garbage(&conn, id, &reply_garbage[i]);
        peer_expect_end(&conn);
    }
}

static void script_event_garbage(struct peer_side *side)
{
    for (size_t i = 0; i < ARRAY_SIZE(event_garbage); i++) {
        struct peer_conn conn;
        uint32_t id = 0;
        begin_subscription(side, &conn, &id);
        send_garbage(&conn, id, &event_garbage[i]);
        peer_expect_end(&conn);
    }
}

static void script_frame_too_long(struct peer_side *side)
{
    struct peer_conn conn;
    uint32_t id = 0;

    begin_subscription(side, &conn, &id);
    peer_send(&conn, "\xff\xff\xff\xff\x99", 5);
    peer_expect_end(&conn);
}

/* --- tests --- */

static struct mtls_agent *agent_of(const struct peer *peer)
{
    struct mtls_agent *agent = mtls_agent_new(peer->path);

    assert_non_null(agent);
    return agent;
}

static int subscribe(struct mtls_agent *agent, struct mtls_agent_events **ret_events,
                     struct mtls_agent_error *error)
{
    return mtls_agent_events_new(agent, MTLS_AGENT_EVENT_KEYS | MTLS_AGENT_EVENT_TOKEN, ret_events,
                                 error);
}

static struct mtls_agent_events *must_subscribe(struct mtls_agent *agent)
{
    struct mtls_agent_events *events = NULL;

    assert_int_equal(subscribe(agent, &events, NULL), 0);
    return events;
}

static void test_events_come_in_order(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent_event event;

    peer_start(peer, script_events);
    struct mtls_agent *agent = agent_of(peer);
    struct mtls_agent_events *events = must_subscribe(agent);
    /* the subscription does not need its handle any more */
    assert_null(mtls_agent_free(agent));
    assert_true(mtls_agent_events_get_fd(events) > 2);

    assert_int_equal(mtls_agent_events_next(events, PATIENCE_MS, &event, NULL), 0);
    assert_int_equal(event.kind, MTLS_AGENT_EVENT_TOKEN);
    assert_string_equal(event.subject, "card");
    assert_string_equal(event.text, "unlocked");
    assert_int_equal(mtls_agent_events_next(events, PATIENCE_MS, &event, NULL), 0);
    assert_int_equal(strlen(event.subject), PROTOCOL_NAME_MAX);
    assert_string_equal(event.text, "");
    assert_int_equal(mtls_agent_events_next(events, 0, &event, NULL), MTLS_AGENT_E_TIMEOUT);
    assert_int_equal(mtls_agent_events_next(events, 20, &event, NULL), MTLS_AGENT_E_TIMEOUT);
    peer_signal(peer->sync_fd);
    assert_int_equal(mtls_agent_events_next(events, PATIENCE_MS, &event, NULL), 0);
    assert_string_equal(event.text, "third");
    assert_null(mtls_agent_events_free(events));
    assert_int_equal(peer_end(peer), 0);
}

static void test_end_comes_after_the_last_event(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent_event event;
    struct mtls_agent_error error;

    peer_start(peer, script_two_events_and_the_end);
    struct mtls_agent *agent = agent_of(peer);
    struct mtls_agent_events *events = must_subscribe(agent);
    assert_int_equal(peer_end(peer), 0);
    assert_int_equal(mtls_agent_events_next(events, 0, &event, NULL), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(mtls_agent_events_next(events, 0, &event, &error),
                         MTLS_AGENT_E_CONNECTION);
        assert_int_equal(error.code, MTLS_AGENT_E_CONNECTION);
        assert_true(strlen(error.text) > 0);
    }
    assert_null(mtls_agent_events_free(events));
    assert_null(mtls_agent_free(agent));
}

static void test_masks_that_are_none(void **state)
{
    static const unsigned int masks[] = {0, 16, 0x80000000u, ~0u};
    struct mtls_agent *agent = agent_of(*state);
    struct mtls_agent_events *events = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(masks); i++)
        assert_int_equal(mtls_agent_events_new(agent, masks[i], &events, NULL),
                         MTLS_AGENT_E_ARGUMENT);
    assert_null(events);
    assert_null(mtls_agent_events_free(NULL));
    assert_null(mtls_agent_free(agent));
}

static void test_refusal_has_the_agents_words(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent_events *events = NULL;
    struct mtls_agent_error error;
    size_t descriptors = peer_count_fds();

    peer_start(peer, script_refuses);
    struct mtls_agent *agent = agent_of(peer);
    assert_int_equal(subscribe(agent, &events, &error), MTLS_AGENT_E_BUSY);
    assert_non_null(strstr(error.text, "No room for one more."));
    assert_null(events);
    assert_null(mtls_agent_free(agent));
    assert_int_equal(peer_end(peer), 0);
    assert_int_equal(peer_count_fds(), descriptors - 1); /* the listening one, given to the peer */
}

static void test_error_between_events(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent_event event;
    struct mtls_agent_error error;

    peer_start(peer, script_error_between_events);
    struct mtls_agent *agent = agent_of(peer);
    struct mtls_agent_events *events = must_subscribe(agent);
    assert_int_equal(mtls_agent_events_next(events, PATIENCE_MS, &event, &error),
                     MTLS_AGENT_E_BUSY);
    assert_non_null(strstr(error.text, "You read too slowly."));
    assert_null(mtls_agent_events_free(events));
    assert_null(mtls_agent_free(agent));
    assert_int_equal(peer_end(peer), 0);
}

static void test_agent_that_does_not_answer(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent_events *events = NULL;
    uint64_t started_ms = clock_monotonic_ms();

    peer_start(peer, script_hangs);
    struct mtls_agent *agent = agent_of(peer);
    mtls_agent_set_deadline(agent, 100);
    assert_int_equal(subscribe(agent, &events, NULL), MTLS_AGENT_E_TIMEOUT);
    assert_in_range(clock_monotonic_ms() - started_ms, 100, PATIENCE_MS);
    assert_null(mtls_agent_free(agent));
    assert_int_equal(peer_end(peer), 0);
}

static void test_half_an_event_is_none(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent_event event;

    peer_start(peer, script_half_an_event);
    struct mtls_agent *agent = agent_of(peer);
    struct mtls_agent_events *events = must_subscribe(agent);
    assert_int_equal(mtls_agent_events_next(events, 50, &event, NULL), MTLS_AGENT_E_TIMEOUT);
    assert_null(mtls_agent_events_free(events));
    assert_null(mtls_agent_free(agent));
    assert_int_equal(peer_end(peer), 0);
}

static void test_garbage_for_a_reply(void **state)
{
    struct peer *peer = *state;

    peer_start(peer, script_reply_garbage);
    struct mtls_agent *agent = agent_of(peer);
    for (size_t i = 0; i < ARRAY_SIZE(reply_garbage); i++) {
        struct mtls_agent_events *events = NULL;
        assert_int_equal(subscribe(agent, &events, NULL), MTLS_AGENT_E_PROTOCOL);
        assert_null(events);
    }
    assert_null(mtls_agent_free(agent));
    assert_int_equal(peer_end(peer), 0);
}

static void test_garbage_for_an_event(void **state)
{
    struct peer *peer = *state;

    peer_start(peer, script_event_garbage);
    struct mtls_agent *agent = agent_of(peer);
    for (size_t i = 0; i < ARRAY_SIZE(event_garbage); i++) {
        struct mtls_agent_event event = {.subject = "untouched"};
        struct mtls_agent_events *events = must_subscribe(agent);
        assert_int_equal(mtls_agent_events_next(events, PATIENCE_MS, &event, NULL),
                         MTLS_AGENT_E_PROTOCOL);
        assert_string_equal(event.subject, "untouched");
        assert_null(mtls_agent_events_free(events));
    }
    assert_null(mtls_agent_free(agent));
    assert_int_equal(peer_end(peer), 0);
}

static void test_frame_too_long(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent_event event;

    peer_start(peer, script_frame_too_long);
    struct mtls_agent *agent = agent_of(peer);
    struct mtls_agent_events *events = must_subscribe(agent);
    assert_int_equal(mtls_agent_events_next(events, PATIENCE_MS, &event, NULL),
                     MTLS_AGENT_E_PROTOCOL);
    assert_null(mtls_agent_events_free(events));
    assert_null(mtls_agent_free(agent));
    assert_int_equal(peer_end(peer), 0);
}

static void test_no_agent(void **state)
{
    struct mtls_agent *agent = mtls_agent_new("/nonexistent/agent.sock");
    struct mtls_agent_events *events = NULL;

    (void)state;
    assert_int_equal(subscribe(agent, &events, NULL), MTLS_AGENT_E_NO_AGENT);
    assert_null(mtls_agent_free(agent));
}

/* --- without memory --- */

/* One event for every subscription, also for those that fail on the way. */
static void script_serve(struct peer_side *side)
{
    for (;;) {
        struct peer_conn conn;
        struct peer_request request;
        const struct protocol_hello_reply hello = {.version = PROTOCOL_VERSION};
        peer_accept_raw(side, &conn);
        conn.client_may_leave = true;
        while (peer_read(&conn, &request)) {
            struct wire_writer writer;
            wire_writer_init(&writer, WIRE_FRAME_MAX);
            if (request.type == PROTOCOL_HELLO) {
                if (protocol_hello_reply_encode(&writer, &hello))
                    peer_fail("encode");
                peer_send_writer(&conn, &writer);
            } else {
                reply_subscribed(&conn, request.id);
                send_event(&conn, request.id, "card", "gone");
            }
            free(request.body);
        }
        frame_buffer_deinit(&conn.in);
        peer_close(&conn);
    }
}

static int use_events(struct mtls_agent *agent)
{
    struct mtls_agent_events *events = NULL;
    struct mtls_agent_event event;
    int code = subscribe(agent, &events, NULL);

    if (code == 0)
        code = mtls_agent_events_next(events, PATIENCE_MS, &event, NULL);
    (void)mtls_agent_events_free(events);
    return code;
}

static void test_every_failed_allocation(void **state)
{
    struct peer *peer = *state;

    peer_start(peer, script_serve);
    struct mtls_agent *agent = agent_of(peer);
    size_t descriptors = peer_count_fds();
    for (size_t nth = 1; nth < ALLOCATIONS_MAX; nth++) {
        alloc_fail_at(nth);
        int code = use_events(agent);
        bool has_happened = alloc_fail_happened();
        assert_int_equal(code, has_happened ? MTLS_AGENT_E_MEMORY : 0);
        assert_int_equal(peer_count_fds(), descriptors);
        if (!has_happened) {
            assert_null(mtls_agent_free(agent));
            return;
        }
    }
    fail_msg("more allocations than expected");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PEER_TEST(test_events_come_in_order),
        PEER_TEST(test_end_comes_after_the_last_event),
        PEER_TEST(test_masks_that_are_none),
        PEER_TEST(test_refusal_has_the_agents_words),
        PEER_TEST(test_error_between_events),
        PEER_TEST(test_agent_that_does_not_answer),
        PEER_TEST(test_half_an_event_is_none),
        PEER_TEST(test_garbage_for_a_reply),
        PEER_TEST(test_garbage_for_an_event),
        PEER_TEST(test_frame_too_long),
        PEER_TEST(test_no_agent),
        PEER_TEST(test_every_failed_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
