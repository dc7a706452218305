/* SPDX-License-Identifier: Apache-2.0 */
/* The library when memory runs out at any one of its allocations: an error, no leak, no crash. */
#include <string.h>

#include "alloc_fail.h"
#include "client_peer.h"
#include "unit.h"

#define ALLOCATIONS_MAX 100

static void reply_list(struct peer_conn *conn, uint32_t id)
{
    struct wire_writer writer;
    uint8_t hash[PROTOCOL_KEY_HASH_LEN] = {0};
    const struct protocol_key key = {
        .name = WIRE_SPAN_LITERAL("key"),
        .key_hash = {hash, sizeof(hash)},
        .type = KEY_TYPE_EC,
        .state = KEY_STATE_READY,
        .policy = KEY_POLICY_TLS,
    };

    wire_writer_init(&writer, WIRE_FRAME_MAX);
    struct protocol_list_reply_mark mark = protocol_list_reply_begin(&writer, id, 1);
    if (!protocol_list_reply_add(&writer, &mark, &key) ||
        protocol_list_reply_end(&writer, &mark, 1, 0))
        peer_fail("encode");
    peer_send_writer(conn, &writer);
}

static void reply_status(struct peer_conn *conn, uint32_t id)
{
    struct wire_writer writer;
    const struct protocol_status_reply fixed = {.id = id};

    wire_writer_init(&writer, WIRE_FRAME_MAX);
    struct protocol_status_mark mark = protocol_status_reply_begin(&writer, &fixed);
    protocol_status_reply_begin_tokens(&writer, &mark);
    protocol_status_reply_begin_refusals(&writer, &mark);
    protocol_status_reply_begin_readers(&writer, &mark, (struct wire_span){0});
    if (protocol_status_reply_end(&writer, &mark))
        peer_fail("encode");
    peer_send_writer(conn, &writer);
}

static void script_serve(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;

    for (;;) {
        peer_accept_raw(side, &conn);
        conn.client_may_leave = true;
        while (peer_read(&conn, &request)) {
            struct wire_writer writer;
            const struct protocol_hello_reply hello = {.version = PROTOCOL_VERSION};
            if (request.type == PROTOCOL_HELLO) {
                wire_writer_init(&writer, WIRE_FRAME_MAX);
                if (protocol_hello_reply_encode(&writer, &hello))
                    peer_fail("encode");
                peer_send_writer(&conn, &writer);
            } else if (request.type == PROTOCOL_LIST) {
                reply_list(&conn, request.id);
            } else if (request.type == PROTOCOL_STATUS) {
                reply_status(&conn, request.id);
            } else {
                peer_reply_echo(&conn, &request);
            }
            free(request.body);
        }
        frame_buffer_deinit(&conn.in);
        peer_close(&conn);
    }
}

/* Each returns the code of the call that failed, or 0. */
static int use_sign(struct mtls_agent *agent)
{
    char signature[64];

    return peer_sign(agent, "x", signature, NULL);
}

static int use_list(struct mtls_agent *agent)
{
    struct mtls_agent_keys *keys = NULL;
    int code = mtls_agent_list(agent, NULL, &keys, NULL);

    (void)mtls_agent_keys_free(keys);
    return code;
}

static int use_status(struct mtls_agent *agent)
{
    struct mtls_agent_status *status = NULL;
    int code = mtls_agent_get_status(agent, &status, NULL);

    (void)mtls_agent_status_free(status);
    return code;
}

static void check_all_failures(struct peer *peer, int (*use)(struct mtls_agent *agent))
{
    for (size_t nth = 1; nth < ALLOCATIONS_MAX; nth++) {
        alloc_fail_at(nth);
        struct mtls_agent *agent = mtls_agent_new(peer->path);
        int code = agent ? use(agent) : MTLS_AGENT_E_MEMORY;
        bool has_happened = alloc_fail_happened();
        if (agent) /* the handle is still good */
            assert_int_equal(use(agent), 0);
        (void)mtls_agent_free(agent);
        if (!has_happened) {
            assert_int_equal(code, 0);
            return;
        }
        assert_int_equal(code, MTLS_AGENT_E_MEMORY);
    }
    fail_msg("more allocations than expected");
}

static void test_sign_survives_every_failed_allocation(void **state)
{
    struct peer *peer = *state;

    peer_start(peer, script_serve);
    check_all_failures(peer, use_sign);
}

static void test_list_survives_every_failed_allocation(void **state)
{
    struct peer *peer = *state;

    peer_start(peer, script_serve);
    check_all_failures(peer, use_list);
}

static void test_status_survives_every_failed_allocation(void **state)
{
    struct peer *peer = *state;

    peer_start(peer, script_serve);
    check_all_failures(peer, use_status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PEER_TEST(test_sign_survives_every_failed_allocation),
        PEER_TEST(test_list_survives_every_failed_allocation),
        PEER_TEST(test_status_survives_every_failed_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
