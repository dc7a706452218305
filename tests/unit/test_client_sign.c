/* SPDX-License-Identifier: Apache-2.0 */
/* One thread and one connection: signatures, deadlines, a peer that breaks the protocol, restarts.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "client_peer.h"
#include "common/clock.h"
#include "unit.h"

#define DEADLINE_TOLERANCE_MS 400u /* of a loaded machine; the kernel's own timers keep to 10 */

/* Accepts for ever; ended by peer_kill(). */
static void script_echo_all(struct peer_side *side)
{
    for (;;)
        peer_script_echo(side);
}

static void test_sign_gives_the_reply(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    char signature[64];

    peer_start(peer, peer_script_echo);
    assert_int_equal(peer_sign(agent, "one", signature, NULL), 0);
    assert_string_equal(signature, "one");
    assert_int_equal(peer_sign(agent, "two", signature, NULL), 0);
    assert_string_equal(signature, "two");
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void script_check_fields(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;
    struct protocol_sign sign;

    peer_accept(side, &conn);
    peer_expect(&conn, PROTOCOL_SIGN, &request);
    if (protocol_sign_parse((struct wire_span){request.body, request.len}, &sign) || sign.id == 0 ||
        sign.deadline_ms == 0 || sign.deadline_ms > MTLS_AGENT_DEADLINE_MS ||
        sign.scheme != SCHEME_ECDSA_SHA256 || sign.kind != SIGN_KIND_TLS13 ||
        !wire_span_is_equal(sign.key_hash, (struct wire_span){peer_hash, sizeof(peer_hash)}) ||
        !wire_span_is_equal(sign.content, WIRE_SPAN_LITERAL("abc")))
        peer_fail("fields");
    peer_reply_echo(&conn, &request);
    peer_expect_end(&conn);
}

static void test_sign_sends_every_field(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    char signature[64];

    peer_start(peer, script_check_fields);
    assert_int_equal(peer_sign(agent, "abc", signature, NULL), 0);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void script_errors(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;

    peer_accept(side, &conn);
    for (uint32_t code = PROTOCOL_E_PROTO; code <= PROTOCOL_E_INTERNAL + 1; code++) {
        peer_expect(&conn, PROTOCOL_SIGN, &request);
        peer_reply_error(&conn, request.id, code, "say \033[31m\"no\"\n");
    }
    peer_expect_end(&conn);
}

static void test_sign_maps_each_error_code(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct mtls_agent_error error = {0};
    char signature[64];

    peer_start(peer, script_errors);
    for (int code = MTLS_AGENT_E_PROTOCOL; code <= MTLS_AGENT_E_INTERNAL; code++) {
        assert_int_equal(peer_sign(agent, "x", signature, &error), code);
        assert_int_equal(error.code, code);
        assert_string_equal(error.text, "say \\x1b[31m\"no\"\\x0a");
    }
    /* a code of a later version */
    assert_int_equal(peer_sign(agent, "x", signature, &error), MTLS_AGENT_E_INTERNAL);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void script_long_signature(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;
    char signature[129];

    memset(signature, 's', sizeof(signature) - 1);
    signature[sizeof(signature) - 1] = '\0';
    peer_accept(side, &conn);
    peer_expect(&conn, PROTOCOL_SIGN, &request);
    peer_reply_signature(&conn, request.id, signature);
    peer_serve_echo(&conn);
}

static void test_sign_into_a_small_buffer_is_an_argument_error(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    char signature[64];

    peer_start(peer, script_long_signature);
    assert_int_equal(peer_sign(agent, "x", signature, NULL), MTLS_AGENT_E_ARGUMENT);
    assert_int_equal(peer_sign(agent, "same connection", signature, NULL), 0);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void script_short_replies(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;

    peer_accept(side, &conn);
    while (peer_read(&conn, &request)) {
        peer_reply_signature(&conn, request.id, "short");
        free(request.body);
    }
}

static int sign_zeros(struct mtls_agent *agent, size_t content_len)
{
    uint8_t *content = calloc(1, content_len);
    uint8_t signature[64];
    size_t len = 0;

    assert_non_null(content);
    int code = mtls_agent_sign(agent, peer_hash, SCHEME_ECDSA_SHA256, MTLS_AGENT_TLS12, content,
                               content_len, signature, sizeof(signature), &len, NULL);
    free(content);
    return code;
}

static void test_sign_takes_what_fits_a_frame_and_no_more(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    const size_t most = WIRE_FRAME_MAX - 54; /* the other fields of SIGN, docs/protocol.md */

    peer_start(peer, script_short_replies);
    assert_int_equal(sign_zeros(agent, most), 0);
    assert_int_equal(sign_zeros(agent, most + 1), MTLS_AGENT_E_ARGUMENT);
    assert_int_equal(sign_zeros(agent, 10), 0); /* the connection is still good */
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void script_late(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;

    peer_accept(side, &conn);
    peer_expect(&conn, PROTOCOL_SIGN, &request);
    peer_await(side->sync_fd);
    peer_reply_echo(&conn, &request); /* too late */
    peer_serve_echo(&conn);
}

static void test_deadline_is_kept_and_the_late_reply_dropped(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct mtls_agent_error error = {0};
    char signature[64];

    peer_start(peer, script_late);
    mtls_agent_set_deadline(agent, 1000);
    uint64_t start_ms = clock_monotonic_ms();
    assert_int_equal(peer_sign(agent, "late", signature, &error), MTLS_AGENT_E_TIMEOUT);
    assert_in_range(clock_monotonic_ms() - start_ms, 999, 1000 + DEADLINE_TOLERANCE_MS);
    assert_non_null(strstr(error.text, "within 1 s;"));

    peer_signal(peer->sync_fd);
    mtls_agent_set_deadline(agent, 10000);
    assert_int_equal(peer_sign(agent, "next", signature, &error), 0);
    assert_string_equal(signature, "next");
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void script_never_greets(struct peer_side *side)
{
    struct peer_conn conn;

    peer_accept_raw(side, &conn);
    peer_await(side->sync_fd);
}

static void test_deadline_covers_hello(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    char signature[64];

    peer_start(peer, script_never_greets);
    mtls_agent_set_deadline(agent, 100);
    uint64_t start_ms = clock_monotonic_ms();
    assert_int_equal(peer_sign(agent, "x", signature, NULL), MTLS_AGENT_E_TIMEOUT);
    assert_in_range(clock_monotonic_ms() - start_ms, 99, 100 + DEADLINE_TOLERANCE_MS);
    peer_signal(peer->sync_fd);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void test_deadline_covers_a_full_backlog(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = NULL;
    struct mtls_agent *waiting = NULL;
    char signature[64];

    (void)close_fd(peer->listen_fd);
    assert_int_equal(peer_listen(peer, 0), 0);
    agent = mtls_agent_new(peer->path);
    waiting = mtls_agent_new(peer->path);
    mtls_agent_set_deadline(agent, 100);
    mtls_agent_set_deadline(waiting, 100);
    assert_int_equal(peer_sign(agent, "takes the only place", signature, NULL),
                     MTLS_AGENT_E_TIMEOUT);
    uint64_t start_ms = clock_monotonic_ms();
    assert_int_equal(peer_sign(waiting, "x", signature, NULL), MTLS_AGENT_E_TIMEOUT);
    assert_in_range(clock_monotonic_ms() - start_ms, 99, 100 + DEADLINE_TOLERANCE_MS);
    (void)mtls_agent_free(agent);
    (void)mtls_agent_free(waiting);
}

/* Reads nothing until it is told to, so that the kernel's buffer fills up. */
static void script_reads_late(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;

    peer_accept(side, &conn);
    peer_await(side->sync_fd);
    for (;;) {
        if (!peer_read(&conn, &request))
            peer_fail("the frames do not hang together");
        if (request.len < 1000)
            break;
        free(request.body);
    }
    peer_reply_echo(&conn, &request);
    peer_expect_end(&conn);
}

static void test_deadline_covers_sending_and_the_stream_stays_whole(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct mtls_agent_error error = {0};
    static uint8_t content[200000];
    uint8_t signature[64];
    size_t len = 0;
    char text[64];
    int code = 0;

    peer_start(peer, script_reads_late);
    mtls_agent_set_deadline(agent, 100);
    for (int i = 0; i < 6; i++) {
        uint64_t start_ms = clock_monotonic_ms();
        code = mtls_agent_sign(agent, peer_hash, 0x0403, MTLS_AGENT_TLS12, content, sizeof(content),
                               signature, sizeof(signature), &len, &error);
        assert_int_equal(code, MTLS_AGENT_E_TIMEOUT);
        assert_non_null(strstr(error.text, "within 100 ms;"));
        assert_in_range(clock_monotonic_ms() - start_ms, 99, 100 + DEADLINE_TOLERANCE_MS);
    }
    peer_signal(peer->sync_fd);
    mtls_agent_set_deadline(agent, 10000);
    assert_int_equal(peer_sign(agent, "whole", text, NULL), 0);
    assert_string_equal(text, "whole");
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

/* Each entry of the table is what the agent sends in place of its reply. */
static void reply_garbage(struct peer_conn *conn, uint32_t id)
{
    (void)id;
    peer_send(conn, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
}

static void reply_huge_length(struct peer_conn *conn, uint32_t id)
{
    (void)id;
    peer_send(conn, "\xff\xff\xff\xff\x83", 5);
}

static void reply_zero_length(struct peer_conn *conn, uint32_t id)
{
    (void)id;
    peer_send(conn, "\0\0\0\0", 4);
}

static void reply_unknown_id(struct peer_conn *conn, uint32_t id)
{
    peer_reply_signature(conn, id + 1000, "not asked for");
}

static void reply_id_zero(struct peer_conn *conn, uint32_t id)
{
    (void)id;
    peer_reply_signature(conn, 0, "not asked for");
}

static void reply_wrong_type(struct peer_conn *conn, uint32_t id)
{
    struct wire_writer writer;

    wire_writer_init(&writer, WIRE_FRAME_MAX);
    if (protocol_bare_encode(&writer, PROTOCOL_LOCK_REPLY, id))
        peer_fail("encode");
    peer_send_writer(conn, &writer);
}

static void reply_empty_signature(struct peer_conn *conn, uint32_t id)
{
    peer_reply_signature(conn, id, "");
}

static void reply_trailing_byte(struct peer_conn *conn, uint32_t id)
{
    const uint8_t frame[] = {0, 0, 0,   11, PROTOCOL_SIGN_REPLY, 0, 0, 0, (uint8_t)id, 0, 0,
                             0, 1, 's', '!'};

    peer_send(conn, frame, sizeof(frame));
}

static void reply_error_code_zero(struct peer_conn *conn, uint32_t id)
{
    peer_reply_error(conn, id, 0, "no error");
}

static void reply_unknown_type(struct peer_conn *conn, uint32_t id)
{
    const uint8_t frame[] = {0, 0, 0, 5, 77, 0, 0, 0, (uint8_t)id};

    peer_send(conn, frame, sizeof(frame));
}

static void reply_short_event(struct peer_conn *conn, uint32_t id)
{
    const uint8_t frame[] = {0, 0, 0, 5, PROTOCOL_EVENT, 0, 0, 0, (uint8_t)id};

    peer_send(conn, frame, sizeof(frame));
}

static void (*const hostile_replies[])(struct peer_conn *conn, uint32_t id) = {
    reply_garbage,         reply_huge_length,  reply_zero_length,     reply_unknown_id,
    reply_id_zero,         reply_wrong_type,   reply_empty_signature, reply_trailing_byte,
    reply_error_code_zero, reply_unknown_type, reply_short_event,
};

static void script_hostile(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;

    for (size_t i = 0; i < ARRAY_SIZE(hostile_replies); i++) {
        peer_accept(side, &conn);
        peer_expect(&conn, PROTOCOL_SIGN, &request);
        hostile_replies[i](&conn, request.id);
        peer_expect_end(&conn);
    }
}

static void test_hostile_reply_is_a_protocol_error_and_closes(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    char signature[64];

    peer_start(peer, script_hostile);
    for (size_t i = 0; i < ARRAY_SIZE(hostile_replies); i++)
        assert_int_equal(peer_sign(agent, "x", signature, NULL), MTLS_AGENT_E_PROTOCOL);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void script_event_first(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;
    struct wire_writer writer;
    const struct protocol_event event = {
        .id = 1,
        .kind = EVENT_KEYS_CHANGED,
        .subject = WIRE_SPAN_LITERAL("key"),
    };

    peer_accept(side, &conn);
    peer_expect(&conn, PROTOCOL_SIGN, &request);
    wire_writer_init(&writer, WIRE_FRAME_MAX);
    if (protocol_event_encode(&writer, &event))
        peer_fail("encode");
    peer_send_writer(&conn, &writer);
    peer_reply_echo(&conn, &request);
    peer_reply_echo(&conn, &request); /* twice: the second one belongs to nobody any more */
    peer_serve_echo(&conn);
}

static void test_event_and_repeated_reply_are_ignored(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    char signature[64];

    peer_start(peer, script_event_first);
    assert_int_equal(peer_sign(agent, "one", signature, NULL), 0);
    assert_string_equal(signature, "one");
    assert_int_equal(peer_sign(agent, "two", signature, NULL), 0);
    assert_string_equal(signature, "two");
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void script_last_words(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;

    peer_accept_raw(side, &conn);
    peer_reply_error(&conn, 0, PROTOCOL_E_BUSY, "too many connections");
    peer_close(&conn); /* HELLO unread */
    peer_accept_raw(side, &conn);
    peer_expect(&conn, PROTOCOL_HELLO, &request);
    peer_reply_error(&conn, 0, PROTOCOL_E_VERSION, "versions 7 to 9");
    peer_close(&conn);
    peer_accept(side, &conn);
    peer_expect(&conn, PROTOCOL_SIGN, &request);
    peer_reply_error(&conn, 0, PROTOCOL_E_PROTO, "what was that");
    peer_close(&conn);
    peer_script_echo(side);
}

static void test_error_of_the_whole_connection_reaches_the_caller(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct mtls_agent_error error = {0};
    char signature[64];

    peer_start(peer, script_last_words);
    assert_int_equal(peer_sign(agent, "x", signature, &error), MTLS_AGENT_E_BUSY);
    assert_string_equal(error.text, "too many connections");
    assert_int_equal(peer_sign(agent, "x", signature, &error), MTLS_AGENT_E_VERSION);
    assert_string_equal(error.text, "versions 7 to 9");
    assert_int_equal(peer_sign(agent, "x", signature, &error), MTLS_AGENT_E_PROTOCOL);
    assert_string_equal(error.text, "what was that");
    assert_int_equal(peer_sign(agent, "x", signature, &error), 0);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void test_restart_between_two_signatures_is_not_noticed(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    char signature[64];

    for (int i = 0; i < 3; i++) {
        peer_start(peer, peer_script_echo);
        assert_int_equal(peer_sign(agent, "one", signature, NULL), 0);
        assert_int_equal(peer_sign(agent, "two", signature, NULL), 0);
        peer_kill(peer);
        assert_int_equal(peer_listen(peer, PEER_BACKLOG), 0);
    }
    (void)mtls_agent_free(agent);
}

/* The first connection reads the request and dies; the script fails if it comes a second time. */
static void script_dies_with_request(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;

    peer_accept(side, &conn);
    peer_expect(&conn, PROTOCOL_SIGN, &request);
    peer_close(&conn);
    peer_accept(side, &conn);
    peer_expect(&conn, PROTOCOL_STATUS, &request);
    peer_reply_error(&conn, request.id, PROTOCOL_E_BUSY, "");
    peer_expect_end(&conn);
}

static void test_signature_that_was_read_is_not_asked_for_again(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct mtls_agent_status *status = NULL;
    struct mtls_agent_error error = {0};
    char signature[64];

    peer_start(peer, script_dies_with_request);
    assert_int_equal(peer_sign(agent, "x", signature, &error), MTLS_AGENT_E_CONNECTION);
    assert_non_null(strstr(error.text, "may have been carried out"));
    assert_int_equal(mtls_agent_get_status(agent, &status, &error), MTLS_AGENT_E_BUSY);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

/* The first connection is closed with the request unread in the kernel. */
static void script_closes_unread(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;
    char byte;

    peer_accept(side, &conn);
    if (recv(conn.fd, &byte, 1, MSG_PEEK) != 1)
        peer_fail("peek");
    peer_close(&conn);
    peer_accept(side, &conn);
    peer_expect(&conn, PROTOCOL_SIGN, &request);
    peer_reply_echo(&conn, &request);
    peer_expect_end(&conn);
}

static void test_signature_that_was_not_read_is_asked_for_again(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    char signature[64];

    peer_start(peer, script_closes_unread);
    assert_int_equal(peer_sign(agent, "again", signature, NULL), 0);
    assert_string_equal(signature, "again");
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

/* An agent on its way out: the connection is never accepted, the next one is. */
static void script_closes_in_backlog(struct peer_side *side)
{
    struct peer_conn conn;

    peer_accept_raw(side, &conn);
    peer_close(&conn);
    peer_script_echo(side);
}

static void test_connection_that_dies_before_hello_is_made_again(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    char signature[64];

    peer_start(peer, script_closes_in_backlog);
    assert_int_equal(peer_sign(agent, "x", signature, NULL), 0);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void script_closes_always(struct peer_side *side)
{
    struct peer_conn conn;

    for (;;) {
        peer_accept_raw(side, &conn);
        peer_close(&conn);
    }
}

static void test_agent_that_always_closes_is_an_error_in_the_end(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct mtls_agent_error error = {0};
    char signature[64];

    peer_start(peer, script_closes_always);
    assert_int_equal(peer_sign(agent, "x", signature, &error), MTLS_AGENT_E_CONNECTION);
    assert_non_null(strstr(error.text, peer->path));
    (void)mtls_agent_free(agent);
}

static void test_no_agent_says_how_to_start_one(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent_error error = {0};
    char signature[64];
    struct mtls_agent *agent = mtls_agent_new(peer->path);

    peer->listen_fd = close_fd(peer->listen_fd); /* ECONNREFUSED */
    assert_int_equal(peer_sign(agent, "x", signature, &error), MTLS_AGENT_E_NO_AGENT);
    assert_int_equal(error.code, MTLS_AGENT_E_NO_AGENT);
    assert_non_null(strstr(error.text, peer->path));
    assert_non_null(strstr(error.text, "systemctl --user start mtls-agent.socket"));
    (void)unlink(peer->path); /* ENOENT */
    assert_int_equal(peer_sign(agent, "x", signature, &error), MTLS_AGENT_E_NO_AGENT);
    (void)mtls_agent_free(agent);
}

static void test_path_that_is_too_long_is_an_argument_error(void **state)
{
    char path[200];
    char signature[64];

    (void)state;
    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    struct mtls_agent *agent = mtls_agent_new(path);
    assert_int_equal(peer_sign(agent, "x", signature, NULL), MTLS_AGENT_E_ARGUMENT);
    (void)mtls_agent_free(agent);
}

static void test_fork_gives_the_child_a_connection_of_its_own(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    char signature[64];
    int status = 0;

    /* one connection after the other: the child's is served when it has closed the parent's */
    peer_start(peer, script_echo_all);
    assert_int_equal(peer_sign(agent, "parent", signature, NULL), 0);
    for (int i = 0; i < 3; i++) {
        size_t fd_count = peer_count_fds();
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            mtls_agent_set_client_name(agent, "child");
            size_t without = peer_count_fds();
            _exit(without == fd_count - 1 ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_int_equal(peer_sign(agent, "parent again", signature, NULL), 0);
    }
    (void)mtls_agent_free(agent);
}

/* Two connections are open at once; each answers its own requests. */
static void script_two_connections(struct peer_side *side)
{
    struct peer_conn parent;
    struct peer_conn child;
    struct peer_request request;

    peer_accept(side, &parent);
    peer_expect(&parent, PROTOCOL_SIGN, &request);
    peer_reply_echo(&parent, &request);
    peer_accept(side, &child);
    peer_expect(&child, PROTOCOL_SIGN, &request);
    peer_reply_echo(&child, &request);
    peer_expect_end(&child);
    peer_serve_echo(&parent);
}

static void test_fork_lets_parent_and_child_sign(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    char signature[64];
    int status = 0;

    peer_start(peer, script_two_connections);
    assert_int_equal(peer_sign(agent, "parent", signature, NULL), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int code = peer_sign(agent, "child", signature, NULL);
        (void)mtls_agent_free(agent);
        _exit(code == 0 && strcmp(signature, "child") == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(peer_sign(agent, "parent again", signature, NULL), 0);
    assert_string_equal(signature, "parent again");
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void script_one_reply_each(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;

    for (;;) {
        peer_accept(side, &conn);
        peer_expect(&conn, PROTOCOL_SIGN, &request);
        peer_reply_echo(&conn, &request);
        free(request.body);
        frame_buffer_deinit(&conn.in);
        peer_close(&conn);
    }
}

static void test_thousand_reconnects_leave_no_descriptor(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    char signature[64];

    peer_start(peer, script_one_reply_each);
    assert_int_equal(peer_sign(agent, "first", signature, NULL), 0);
    size_t fd_count = peer_count_fds();
    for (int i = 0; i < 1000; i++)
        assert_int_equal(peer_sign(agent, "x", signature, NULL), 0);
    assert_int_equal(peer_count_fds(), fd_count);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_count_fds(), fd_count - 1);
}

static void test_socket_is_closed_on_exec_and_no_standard_descriptor(void **state)
{
    struct peer *peer = *state;
    char signature[64];
    int status = 0;

    peer_start(peer, peer_script_echo);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct mtls_agent *agent = mtls_agent_new(peer->path);
        (void)close(STDIN_FILENO);
        (void)close(STDOUT_FILENO);
        if (peer_sign(agent, "x", signature, NULL))
            _exit(1);
        _exit(fcntl(STDIN_FILENO, F_GETFD) < 0 && fcntl(STDOUT_FILENO, F_GETFD) < 0 ? 0 : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PEER_TEST(test_sign_gives_the_reply),
        PEER_TEST(test_sign_sends_every_field),
        PEER_TEST(test_sign_maps_each_error_code),
        PEER_TEST(test_sign_into_a_small_buffer_is_an_argument_error),
        PEER_TEST(test_sign_takes_what_fits_a_frame_and_no_more),
        PEER_TEST(test_deadline_is_kept_and_the_late_reply_dropped),
        PEER_TEST(test_deadline_covers_hello),
        PEER_TEST(test_deadline_covers_a_full_backlog),
        PEER_TEST(test_deadline_covers_sending_and_the_stream_stays_whole),
        PEER_TEST(test_hostile_reply_is_a_protocol_error_and_closes),
        PEER_TEST(test_event_and_repeated_reply_are_ignored),
        PEER_TEST(test_error_of_the_whole_connection_reaches_the_caller),
        PEER_TEST(test_restart_between_two_signatures_is_not_noticed),
        PEER_TEST(test_signature_that_was_read_is_not_asked_for_again),
        PEER_TEST(test_signature_that_was_not_read_is_asked_for_again),
        PEER_TEST(test_connection_that_dies_before_hello_is_made_again),
        PEER_TEST(test_agent_that_always_closes_is_an_error_in_the_end),
        PEER_TEST(test_no_agent_says_how_to_start_one),
        cmocka_unit_test(test_path_that_is_too_long_is_an_argument_error),
        PEER_TEST(test_fork_gives_the_child_a_connection_of_its_own),
        PEER_TEST(test_fork_lets_parent_and_child_sign),
        PEER_TEST(test_thousand_reconnects_leave_no_descriptor),
        PEER_TEST(test_socket_is_closed_on_exec_and_no_standard_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
