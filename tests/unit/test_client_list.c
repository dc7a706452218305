/* SPDX-License-Identifier: Apache-2.0 */
/* What is not a signature: keys page by page, status, unlock and lock, settings, names of codes. */
#include <fcntl.h>
#include <string.h>

#include "client_peer.h"
#include "unit.h"

#define KEYS 250u
#define KEYS_PER_PAGE 100u

static void put_key(struct wire_writer *writer, const struct protocol_list_reply_mark *mark,
                    unsigned int number)
{
    char name[32];
    uint8_t hash[PROTOCOL_KEY_HASH_LEN] = {(uint8_t)(number >> 8), (uint8_t)number};
    struct protocol_key key = {
        .key_hash = {hash, sizeof(hash)},
        .type = KEY_TYPE_EC,
        .bits = 256,
        .state = number % 2 ? KEY_STATE_LOCKED : KEY_STATE_READY,
        .policy = KEY_POLICY_DIGEST,
        .always_authenticate = true,
        .label = WIRE_SPAN_LITERAL("label"),
        .ck_id = WIRE_SPAN_LITERAL("\0\1\2"),
        .token_label = WIRE_SPAN_LITERAL("token"),
        .token_serial = WIRE_SPAN_LITERAL("serial"),
        .module = WIRE_SPAN_LITERAL("module"),
        .spki = WIRE_SPAN_LITERAL("spki"),
        .scheme_count = 2,
        .schemes = {SCHEME_ECDSA_SHA256, 0x10403},
        .cert_count = 2,
        .certs = {WIRE_SPAN_LITERAL("leaf"), WIRE_SPAN_LITERAL("issuer")},
    };

    (void)snprintf(name, sizeof(name), "key-%u", number);
    key.name = wire_span_from_text(name);
    if (!protocol_list_reply_add(writer, mark, &key))
        peer_fail("page is full");
}

static void reply_page(struct peer_conn *conn, uint32_t id, uint32_t start, uint32_t end,
                       uint32_t total, uint32_t next)
{
    struct wire_writer writer;

    wire_writer_init(&writer, WIRE_FRAME_MAX + WIRE_HEADER_LEN);
    struct protocol_list_reply_mark mark = protocol_list_reply_begin(&writer, id, total);
    for (uint32_t i = start; i < end; i++)
        put_key(&writer, &mark, i);
    if (protocol_list_reply_end(&writer, &mark, end - start, next))
        peer_fail("encode");
    peer_send_writer(conn, &writer);
}

static uint32_t expect_list(struct peer_conn *conn, const char *selector, uint32_t *ret_start)
{
    struct peer_request request;
    struct protocol_list list;

    peer_expect(conn, PROTOCOL_LIST, &request);
    if (protocol_list_parse((struct wire_span){request.body, request.len}, &list) ||
        !wire_span_is_equal(list.selector, wire_span_from_text(selector)))
        peer_fail("list request");
    *ret_start = list.start;
    return list.id;
}

static void script_pages(struct peer_side *side)
{
    struct peer_conn conn;
    uint32_t start = 0;

    peer_accept(side, &conn);
    do {
        uint32_t id = expect_list(&conn, "", &start);
        uint32_t end = start + KEYS_PER_PAGE < KEYS ? start + KEYS_PER_PAGE : KEYS;
        reply_page(&conn, id, start, end, KEYS, end < KEYS ? end : 0);
        start = end;
    } while (start < KEYS);
    peer_expect_end(&conn);
}

static void test_list_gathers_all_pages(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct mtls_agent_keys *keys = NULL;

    peer_start(peer, script_pages);
    assert_int_equal(mtls_agent_list(agent, NULL, &keys, NULL), 0);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);

    assert_int_equal(mtls_agent_keys_count(keys), KEYS);
    assert_null(mtls_agent_keys_get(keys, KEYS));
    const struct mtls_agent_key *key = mtls_agent_keys_get(keys, 201);
    assert_string_equal(key->name, "key-201");
    assert_int_equal(key->hash[1], 201);
    assert_int_equal(key->type, MTLS_AGENT_KEY_EC);
    assert_int_equal(key->bits, 256);
    assert_int_equal(key->state, MTLS_AGENT_KEY_LOCKED);
    assert_true(key->signs_digests && key->always_authenticate);
    assert_string_equal(key->label, "label");
    assert_int_equal(key->id.len, 3);
    assert_memory_equal(key->id.data, "\0\1\2", 3);
    assert_string_equal(key->token_label, "token");
    assert_string_equal(key->token_serial, "serial");
    assert_string_equal(key->module, "module");
    assert_memory_equal(key->spki.data, "spki", 4);
    assert_int_equal(key->scheme_count, 1); /* the other is no TLS code point */
    assert_int_equal(key->schemes[0], SCHEME_ECDSA_SHA256);
    assert_int_equal(key->cert_count, 2);
    assert_memory_equal(key->certs[1].data, "issuer", 6);
    (void)mtls_agent_keys_free(keys);
}

/* The list shrinks between the first and the second page. */
static void script_changing_list(struct peer_side *side)
{
    struct peer_conn conn;
    uint32_t start = 0;

    peer_accept(side, &conn);
    reply_page(&conn, expect_list(&conn, "", &start), 0, 2, 4, 2);
    reply_page(&conn, expect_list(&conn, "", &start), 2, 3, 3, 0);
    uint32_t id = expect_list(&conn, "", &start);
    if (start != 0)
        peer_fail("the list was not asked for from its start");
    reply_page(&conn, id, 10, 13, 3, 0);
    peer_expect_end(&conn);
}

static void test_list_that_changes_meanwhile_is_asked_for_again(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct mtls_agent_keys *keys = NULL;

    peer_start(peer, script_changing_list);
    assert_int_equal(mtls_agent_list(agent, "", &keys, NULL), 0);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
    assert_int_equal(mtls_agent_keys_count(keys), 3);
    assert_string_equal(mtls_agent_keys_get(keys, 0)->name, "key-10");
    (void)mtls_agent_keys_free(keys);
}

static void script_pages_that_go_back(struct peer_side *side)
{
    struct peer_conn conn;
    uint32_t start = 0;

    peer_accept(side, &conn);
    reply_page(&conn, expect_list(&conn, "", &start), 0, 2, 4, 2);
    reply_page(&conn, expect_list(&conn, "", &start), 2, 3, 4, 1);
    peer_expect_end(&conn);
}

static void test_list_that_never_ends_is_a_protocol_error(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct mtls_agent_keys *keys = NULL;

    peer_start(peer, script_pages_that_go_back);
    assert_int_equal(mtls_agent_list(agent, NULL, &keys, NULL), MTLS_AGENT_E_PROTOCOL);
    assert_null(keys);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void script_three_lists(struct peer_side *side)
{
    struct peer_conn conn;
    uint32_t start = 0;

    peer_accept(side, &conn);
    reply_page(&conn, expect_list(&conn, "key", &start), 0, 3, 3, 0);
    reply_page(&conn, expect_list(&conn, "", &start), 0, 0, 0, 0);
    reply_page(&conn, expect_list(&conn, "key-7", &start), 7, 8, 1, 0);
    reply_page(&conn, expect_list(&conn, "", &start), 0, 200, 200, 0);
    peer_expect_end(&conn);
}

static void test_find_wants_exactly_one_key(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct mtls_agent_keys *keys = NULL;
    struct mtls_agent_error error = {0};

    peer_start(peer, script_three_lists);
    assert_int_equal(mtls_agent_find(agent, "key", &keys, &error), MTLS_AGENT_E_AMBIGUOUS);
    assert_string_equal(error.text,
                        "\"key\" fits several keys, name one of them: key-0 (sha256:00000000, on "
                        "token), key-1 (sha256:00010000, on token), key-2 (sha256:00020000, on "
                        "token)");
    assert_int_equal(mtls_agent_find(agent, NULL, &keys, &error), MTLS_AGENT_E_NO_KEY);
    assert_int_equal(mtls_agent_find(agent, "key-7", &keys, &error), 0);
    assert_int_equal(mtls_agent_keys_count(keys), 1);
    (void)mtls_agent_keys_free(keys);
    assert_int_equal(mtls_agent_find(agent, NULL, &keys, &error), MTLS_AGENT_E_AMBIGUOUS);
    assert_string_equal(error.text + strlen(error.text) - 5, ", ...");
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void test_selector_is_checked_before_anything_is_sent(void **state)
{
    struct mtls_agent *agent = mtls_agent_new("/nonexistent/agent.sock");
    struct mtls_agent_keys *keys = NULL;
    char selector[PROTOCOL_SELECTOR_MAX + 2];

    (void)state;
    memset(selector, 'a', sizeof(selector) - 1);
    selector[sizeof(selector) - 1] = '\0';
    assert_int_equal(mtls_agent_list(agent, selector, &keys, NULL), MTLS_AGENT_E_ARGUMENT);
    assert_int_equal(mtls_agent_list(agent, "\xff", &keys, NULL), MTLS_AGENT_E_ARGUMENT);
    assert_int_equal(mtls_agent_lock(agent, "\xff", NULL), MTLS_AGENT_E_ARGUMENT);
    assert_int_equal(mtls_agent_unlock(agent, NULL, -1, NULL), MTLS_AGENT_E_ARGUMENT);
    assert_int_equal(mtls_agent_list(agent, NULL, &keys, NULL), MTLS_AGENT_E_NO_AGENT);
    (void)mtls_agent_free(agent);
}

static void script_status(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;
    struct wire_writer writer;

    peer_accept(side, &conn);
    peer_expect(&conn, PROTOCOL_STATUS, &request);
    const struct protocol_status_reply fixed = {
        .id = request.id,
        .agent_version = WIRE_SPAN_LITERAL("1.2.3"),
        .pid = 4711,
        .uptime_ms = 1234567890123u,
        .signatures = 5,
        .refusals = 6,
        .failures = 7,
        .connections = 8,
        .queued = 9,
        .config_text = WIRE_SPAN_LITERAL("agent.conf:3: unknown key"),
    };
    const struct protocol_status_module module = {
        .name = WIRE_SPAN_LITERAL("softhsm"),
        .path = WIRE_SPAN_LITERAL("/lib/softhsm.so"),
        .state = MODULE_STATE_BACKOFF,
        .workers = 2,
        .restarts = 3,
        .text = WIRE_SPAN_LITERAL("crashed"),
    };
    const struct protocol_status_token token = {
        .label = WIRE_SPAN_LITERAL("demo"),
        .serial = WIRE_SPAN_LITERAL("0123"),
        .module = WIRE_SPAN_LITERAL("softhsm"),
        .state = TOKEN_STATE_PIN_BAD,
        .keys = 4,
        .text = WIRE_SPAN_LITERAL("run mtls unlock"),
    };
    const struct protocol_status_refusal refusal = {
        .age_ms = 9876543210u,
        .count = 10,
        .uid = 1000,
        .pid = 4712,
        .program = WIRE_SPAN_LITERAL("/usr/bin/browser"),
        .key = WIRE_SPAN_LITERAL("work"),
        .kind = SIGN_KIND_DIGEST,
        .text = WIRE_SPAN_LITERAL("write sign = digest"),
    };
    const struct protocol_status_reader reader = {
        .name = WIRE_SPAN_LITERAL("Reader 00 00"),
        .state = READER_STATE_EXCLUSIVE,
        .text = WIRE_SPAN_LITERAL("scdaemon (pid 815)"),
    };
    wire_writer_init(&writer, WIRE_FRAME_MAX);
    struct protocol_status_mark mark = protocol_status_reply_begin(&writer, &fixed);
    protocol_status_reply_add_module(&writer, &module);
    protocol_status_reply_add_module(&writer, &module);
    protocol_status_reply_begin_tokens(&writer, &mark);
    if (!protocol_status_reply_add_token(&writer, &mark, &token))
        peer_fail("encode");
    protocol_status_reply_begin_refusals(&writer, &mark);
    protocol_status_reply_add_refusal(&writer, &refusal);
    protocol_status_reply_add_refusal(&writer, &refusal);
    protocol_status_reply_begin_readers(&writer, &mark, WIRE_SPAN_LITERAL("pcscd is gone"));
    protocol_status_reply_add_reader(&writer, &reader);
    protocol_status_reply_add_reader(&writer, &reader);
    if (protocol_status_reply_end(&writer, &mark))
        peer_fail("encode");
    peer_send_writer(&conn, &writer);
    peer_expect_end(&conn);
}

static void test_status_copies_every_field(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct mtls_agent_status *status = NULL;

    peer_start(peer, script_status);
    assert_int_equal(mtls_agent_get_status(agent, &status, NULL), 0);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);

    assert_string_equal(status->version, "1.2.3");
    assert_int_equal(status->pid, 4711);
    assert_int_equal(status->uptime_ms, 1234567890123u);
    assert_int_equal(status->signatures, 5);
    assert_int_equal(status->refusals, 6);
    assert_int_equal(status->failures, 7);
    assert_int_equal(status->connections, 8);
    assert_int_equal(status->queued, 9);
    assert_string_equal(status->config_text, "agent.conf:3: unknown key");
    assert_int_equal(status->module_count, 2);
    const struct mtls_agent_module_status *module = &status->modules[1];
    assert_string_equal(module->name, "softhsm");
    assert_string_equal(module->path, "/lib/softhsm.so");
    assert_int_equal(module->state, MTLS_AGENT_MODULE_BACKOFF);
    assert_int_equal(module->workers, 2);
    assert_int_equal(module->restarts, 3);
    assert_string_equal(module->text, "crashed");
    assert_int_equal(status->token_count, 1);
    const struct mtls_agent_token_status *token = &status->tokens[0];
    assert_string_equal(token->label, "demo");
    assert_string_equal(token->serial, "0123");
    assert_string_equal(token->module, "softhsm");
    assert_int_equal(token->state, MTLS_AGENT_TOKEN_PIN_BAD);
    assert_int_equal(token->keys, 4);
    assert_string_equal(token->text, "run mtls unlock");
    assert_int_equal(status->recent_refusal_count, 2);
    const struct mtls_agent_refusal *refusal = &status->recent_refusals[1];
    assert_int_equal(refusal->age_ms, 9876543210u);
    assert_int_equal(refusal->count, 10);
    assert_int_equal(refusal->uid, 1000);
    assert_int_equal(refusal->pid, 4712);
    assert_string_equal(refusal->program, "/usr/bin/browser");
    assert_string_equal(refusal->key, "work");
    assert_int_equal(refusal->kind, MTLS_AGENT_DIGEST);
    assert_string_equal(refusal->text, "write sign = digest");
    assert_string_equal(status->readers_text, "pcscd is gone");
    assert_int_equal(status->reader_count, 2);
    const struct mtls_agent_reader_status *reader = &status->readers[1];
    assert_string_equal(reader->name, "Reader 00 00");
    assert_int_equal(reader->state, MTLS_AGENT_READER_EXCLUSIVE);
    assert_string_equal(reader->text, "scdaemon (pid 815)");
    (void)mtls_agent_status_free(status);
}

static void script_unlock(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;
    struct protocol_token_request unlock;
    char pin[8] = "";

    peer_accept(side, &conn);
    peer_expect(&conn, PROTOCOL_UNLOCK, &request);
    if (protocol_token_request_parse((struct wire_span){request.body, request.len}, &unlock) ||
        !wire_span_is_equal(unlock.selector, WIRE_SPAN_LITERAL("demo")))
        peer_fail("unlock request");
    if (conn.passed_fd < 0 || read(conn.passed_fd, pin, sizeof(pin)) != 4 ||
        memcmp(pin, "1234", 4) != 0)
        peer_fail("the PIN is not in the pipe");
    peer_reply_error(&conn, request.id, PROTOCOL_E_PIN, "2 tries left");

    peer_expect(&conn, PROTOCOL_LOCK, &request);
    if (protocol_token_request_parse((struct wire_span){request.body, request.len}, &unlock) ||
        unlock.selector.len != 0)
        peer_fail("lock request");
    struct wire_writer writer;
    wire_writer_init(&writer, WIRE_FRAME_MAX);
    if (protocol_bare_encode(&writer, PROTOCOL_LOCK_REPLY, request.id))
        peer_fail("encode");
    peer_send_writer(&conn, &writer);
    peer_expect_end(&conn);
}

static void test_unlock_passes_the_pipe_and_lock_names_no_token(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct mtls_agent_error error = {0};
    int pipe_fds[2];

    peer_start(peer, script_unlock);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    assert_int_equal(write(pipe_fds[1], "1234", 4), 4);
    (void)close(pipe_fds[1]);
    assert_int_equal(mtls_agent_unlock(agent, "demo", pipe_fds[0], &error), MTLS_AGENT_E_PIN);
    assert_string_equal(error.text, "2 tries left");
    assert_int_equal(fcntl(pipe_fds[0], F_GETFD), FD_CLOEXEC); /* borrowed: still ours */
    (void)close(pipe_fds[0]);
    assert_int_equal(mtls_agent_lock(agent, NULL, NULL), 0);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void script_name(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;
    struct protocol_hello hello;

    peer_accept_raw(side, &conn);
    peer_expect(&conn, PROTOCOL_HELLO, &request);
    if (protocol_hello_parse((struct wire_span){request.body, request.len}, &hello))
        peer_fail("hello");
    /* 255 bytes and a character of two that does not fit whole */
    if (hello.client_name.len != 255 || hello.client_name.data[254] != 'n')
        peer_fail("the name was not cut at a character");
    peer_reply_error(&conn, 0, PROTOCOL_E_BUSY, "");
}

static void test_client_name_is_cut_between_characters(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    char name[300];
    char signature[64];

    memset(name, 'n', sizeof(name));
    memcpy(name + 255, "\xc3\xa4", 3);
    mtls_agent_set_client_name(agent, name);
    peer_start(peer, script_name);
    assert_int_equal(peer_sign(agent, "x", signature, NULL), MTLS_AGENT_E_BUSY);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void test_code_names_are_stable(void **state)
{
    (void)state;
    assert_string_equal(mtls_agent_code_name(MTLS_AGENT_OK), "ok");
    assert_string_equal(mtls_agent_code_name(MTLS_AGENT_E_POLICY), "policy");
    assert_string_equal(mtls_agent_code_name(MTLS_AGENT_E_TOKEN_GONE), "token-gone");
    assert_string_equal(mtls_agent_code_name(MTLS_AGENT_E_NO_AGENT), "no-agent");
    assert_string_equal(mtls_agent_code_name(MTLS_AGENT_E_TLS), "tls");
    assert_string_equal(mtls_agent_code_name((enum mtls_agent_code)999), "unknown");
    assert_string_equal(mtls_agent_code_name((enum mtls_agent_code) - 1), "unknown");
}

static void test_default_socket_comes_from_the_environment(void **state)
{
    struct mtls_agent_error error = {0};
    struct mtls_agent_keys *keys = NULL;

    (void)state;
    assert_int_equal(setenv("MTLS_AGENT_SOCK", "/nonexistent/of-the-environment", 1), 0);
    struct mtls_agent *agent = mtls_agent_new(NULL);
    assert_int_equal(unsetenv("MTLS_AGENT_SOCK"), 0);
    assert_int_equal(mtls_agent_list(agent, NULL, &keys, &error), MTLS_AGENT_E_NO_AGENT);
    assert_non_null(strstr(error.text, "/nonexistent/of-the-environment"));
    (void)mtls_agent_free(agent);
    assert_null(mtls_agent_free(NULL));
    assert_null(mtls_agent_keys_free(NULL));
    assert_null(mtls_agent_status_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PEER_TEST(test_list_gathers_all_pages),
        PEER_TEST(test_list_that_changes_meanwhile_is_asked_for_again),
        PEER_TEST(test_list_that_never_ends_is_a_protocol_error),
        PEER_TEST(test_find_wants_exactly_one_key),
        cmocka_unit_test(test_selector_is_checked_before_anything_is_sent),
        PEER_TEST(test_status_copies_every_field),
        PEER_TEST(test_unlock_passes_the_pipe_and_lock_names_no_token),
        PEER_TEST(test_client_name_is_cut_between_characters),
        cmocka_unit_test(test_code_names_are_stable),
        cmocka_unit_test(test_default_socket_comes_from_the_environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
