/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No PIN is wasted: each is tried once, none that is empty or malformed, none by itself when the
 * token says that tries are low. Over p11fault.so, which counts tries as a card does.
 */
#include <fcntl.h>
#include <string.h>

#include "token_fixture.h"

static const struct builder_key keys[] = {
    {"key", 1, BUILDER_P256, BUILDER_CERT},
    {"always", 2, BUILDER_P256, BUILDER_CERT | BUILDER_ALWAYS_AUTH},
};

static int setup(void **state)
{
    struct token_fixture *fixture = token_fixture_new(keys, sizeof(keys) / sizeof(keys[0]));
    char path[2 * BUILDER_PATH_MAX];

    if (!fixture)
        return -1;
    *state = fixture;
    (void)snprintf(path, sizeof(path), "%s/ctl", fixture->dir);
    token_fixture_set_env(fixture, "P11FAULT_CTL", path);
    (void)snprintf(path, sizeof(path), "%s/log", fixture->dir);
    token_fixture_set_env(fixture, "P11FAULT_LOG", path);
    token_fixture_set_env(fixture, "P11FAULT_MODULE", builder_module());
    token_fixture_write(fixture, "ctl", "pin-tries 3\n");
    token_fixture_start(fixture, getenv("P11FAULT_SO"), 1, VERIFY_AUTO);
    return 0;
}

static int teardown(void **state)
{
    token_fixture_free(*state);
    return 0;
}

/* How often the module was asked to log in. */
static size_t count_logins(const struct token_fixture *fixture)
{
    static char text[65536];
    char path[2 * BUILDER_PATH_MAX];
    size_t count = 0;

    (void)snprintf(path, sizeof(path), "%s/log", fixture->dir);
    _cleanup_fclose_ FILE *log = fopen(path, "re");
    assert_non_null(log);
    while (fgets(text, sizeof(text), log))
        count += strstr(text, " C_Login") != NULL;
    return count;
}

static const struct worker_reply *login(struct token_fixture *fixture, const char *pin, bool person)
{
    return worker_process_login(&fixture->worker, 0, pin, person);
}

static void assert_text(const struct worker_reply *reply, const char *text)
{
    if (!memmem(reply->text.data, reply->text.len, text, strlen(text)))
        fail_msg("\"%.*s\" does not say \"%s\"", (int)reply->text.len,
                 (const char *)reply->text.data, text);
}

static void test_login_wrong_pin_is_tried_once(void **state)
{
    struct token_fixture *fixture = *state;
    const struct worker_reply *reply = login(fixture, "111111", false);

    assert_int_equal(reply->result, WORKER_E_PIN);
    assert_int_equal(reply->ck_rv, 0xa0);
    assert_int_equal(reply->token_flags & WORKER_TOKEN_PIN_COUNT_LOW, WORKER_TOKEN_PIN_COUNT_LOW);
    assert_text(reply, "few tries are left");
    assert_int_equal(count_logins(fixture), 1);
}

static void test_login_low_tries_are_kept_for_a_person(void **state)
{
    struct token_fixture *fixture = *state;

    (void)login(fixture, "111111", false);
    const struct worker_reply *reply = login(fixture, BUILDER_PIN, false);
    assert_int_equal(reply->result, WORKER_E_REFUSED);
    assert_text(reply, "a person has to");
    assert_int_equal(count_logins(fixture), 1);
    assert_int_equal(login(fixture, BUILDER_PIN, true)->result, WORKER_OK);
    assert_int_equal(count_logins(fixture), 2);
    assert_int_equal(fixture->worker.reply.token_flags & WORKER_TOKEN_PIN_COUNT_LOW, 0);
}

static void test_login_down_to_blocked(void **state)
{
    struct token_fixture *fixture = *state;

    (void)login(fixture, "111111", true);
    const struct worker_reply *reply = login(fixture, "111111", true);
    assert_int_equal(reply->result, WORKER_E_PIN);
    assert_text(reply, "one last try is left");
    reply = login(fixture, "111111", true);
    assert_int_equal(reply->result, WORKER_E_PIN_BLOCKED);
    assert_int_equal(reply->token_flags & WORKER_TOKEN_PIN_LOCKED, WORKER_TOKEN_PIN_LOCKED);
    assert_text(reply, "blocked");
    assert_int_equal(login(fixture, BUILDER_PIN, false)->result, WORKER_E_REFUSED);
    assert_int_equal(login(fixture, BUILDER_PIN, true)->result, WORKER_E_PIN_BLOCKED);
}

/* The token will not have this PIN, and the reason is not that it is wrong. */
static void test_login_pin_must_be_set_first(void **state)
{
    static const struct {
        const char *rule;
        const char *text;
    } cases[] = {
        {"pin-tries 3\nC_Login rv 102\n", "no PIN yet; set one first"},
        {"pin-tries 3\nC_Login rv a3\n", "expired; change it first"},
    };
    struct token_fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        token_fixture_write(fixture, "ctl", cases[i].rule);
        const struct worker_reply *reply = login(fixture, BUILDER_PIN, true);
        assert_int_equal(reply->result, WORKER_E_PIN);
        assert_text(reply, cases[i].text);
    }
}

static void test_login_malformed_pin_is_not_tried(void **state)
{
    static char too_long[300];
    struct token_fixture *fixture = *state;

    memset(too_long, '1', 256);
    assert_int_equal(login(fixture, "", true)->result, WORKER_E_PIN_SOURCE);
    assert_int_equal(login(fixture, too_long, true)->result, WORKER_E_PIN_SOURCE);
    assert_int_equal(count_logins(fixture), 0);
    assert_int_equal(login(fixture, BUILDER_PIN, false)->result, WORKER_OK);
}

/* Sends LOGIN with any descriptor, or none. */
static const struct worker_reply *login_with_fd(struct token_fixture *fixture, int fd,
                                                uint32_t timeout_ms)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer;
    const struct worker_login msg = {
        .seq = ++fixture->worker.seq, .tries = WORKER_TRIES_ALL, .timeout_ms = timeout_ms};

    wire_writer_init(&writer, WIRE_FRAME_MAX);
    assert_int_equal(worker_login_encode(&writer, &msg), 0);
    worker_process_send(&fixture->worker, &writer, fd);
    return worker_process_read_reply(&fixture->worker, WORKER_LOGIN_REPLY);
}

static void test_login_silent_source_times_out(void **state)
{
    struct token_fixture *fixture = *state;
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(login_with_fd(fixture, fds[0], 50)->result, WORKER_E_PIN_SOURCE);
    assert_text(&fixture->worker.reply, "in time");
    (void)close_fd(fds[0]);
    (void)close_fd(fds[1]);
}

static void test_login_without_pipe(void **state)
{
    assert_int_equal(login_with_fd(*state, -1, 1000)->result, WORKER_E_BAD_REQUEST);
}

static void test_login_unknown_token(void **state)
{
    struct token_fixture *fixture = *state;

    assert_int_equal(worker_process_login(&fixture->worker, 5, BUILDER_PIN, true)->result,
                     WORKER_E_BAD_REQUEST);
    assert_int_equal(count_logins(fixture), 0);
}

/* A person who types slowly holds up nobody, also in a worker with one thread. */
static void test_login_waiting_does_not_block_signing(void **state)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer;
    struct token_fixture *fixture = *state;
    int fds[2];

    token_fixture_login(fixture);
    uint32_t key = token_fixture_key(fixture, "key")->key;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    const struct worker_login msg = {
        .seq = ++fixture->worker.seq, .tries = WORKER_TRIES_ALL, .timeout_ms = 20000};
    wire_writer_init(&writer, WIRE_FRAME_MAX);
    assert_int_equal(worker_login_encode(&writer, &msg), 0);
    worker_process_send(&fixture->worker, &writer, fds[0]);
    assert_int_equal(worker_process_sign(&fixture->worker, key, SCHEME_ECDSA_SHA256,
                                         digest_for(SCHEME_ECDSA_SHA256), NULL)
                         ->result,
                     WORKER_OK);
    assert_int_equal(dprintf(fds[1], "%s\n", BUILDER_PIN), sizeof(BUILDER_PIN));
    assert_int_equal(worker_process_read_reply(&fixture->worker, WORKER_LOGIN_REPLY)->seq, msg.seq);
    (void)close_fd(fds[0]);
    (void)close_fd(fds[1]);
}

static void test_context_pin_wrong_once(void **state)
{
    struct token_fixture *fixture = *state;

    token_fixture_login(fixture);
    size_t before = count_logins(fixture);
    uint32_t key = token_fixture_key(fixture, "always")->key;
    struct wire_span data = digest_for(SCHEME_ECDSA_SHA256);
    const struct worker_reply *reply =
        worker_process_sign(&fixture->worker, key, SCHEME_ECDSA_SHA256, data, "111111");
    assert_int_equal(reply->result, WORKER_E_PIN);
    assert_text(reply, "few tries are left");
    assert_int_equal(count_logins(fixture), before + 1);
}

/* The PIN of a signature comes from a source, never from a person who typed it now. */
static void test_context_low_tries_are_kept_for_a_person(void **state)
{
    struct token_fixture *fixture = *state;
    struct wire_span data = digest_for(SCHEME_ECDSA_SHA256);

    token_fixture_login(fixture);
    uint32_t key = token_fixture_key(fixture, "always")->key;
    (void)worker_process_sign(&fixture->worker, key, SCHEME_ECDSA_SHA256, data, "111111");
    size_t before = count_logins(fixture);
    const struct worker_reply *reply =
        worker_process_sign(&fixture->worker, key, SCHEME_ECDSA_SHA256, data, BUILDER_PIN);
    assert_int_equal(reply->result, WORKER_E_REFUSED);
    assert_text(reply, "few tries are left");
    assert_int_equal(count_logins(fixture), before);

    assert_int_equal(worker_process_logout(&fixture->worker, 0)->result, WORKER_OK);
    assert_int_equal(login(fixture, BUILDER_PIN, true)->result, WORKER_OK);
    assert_int_equal(
        worker_process_sign(&fixture->worker, key, SCHEME_ECDSA_SHA256, data, BUILDER_PIN)->result,
        WORKER_OK);
}

static void test_context_pin_empty_is_not_tried(void **state)
{
    struct token_fixture *fixture = *state;

    token_fixture_login(fixture);
    size_t before = count_logins(fixture);
    uint32_t key = token_fixture_key(fixture, "always")->key;
    assert_int_equal(worker_process_sign(&fixture->worker, key, SCHEME_ECDSA_SHA256,
                                         digest_for(SCHEME_ECDSA_SHA256), "")
                         ->result,
                     WORKER_E_PIN_SOURCE);
    assert_int_equal(count_logins(fixture), before);
}

int main(void)
{
#define PIN_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        PIN_TEST(test_login_wrong_pin_is_tried_once),
        PIN_TEST(test_login_low_tries_are_kept_for_a_person),
        PIN_TEST(test_login_down_to_blocked),
        PIN_TEST(test_login_pin_must_be_set_first),
        PIN_TEST(test_login_malformed_pin_is_not_tried),
        PIN_TEST(test_login_silent_source_times_out),
        PIN_TEST(test_login_without_pipe),
        PIN_TEST(test_login_unknown_token),
        PIN_TEST(test_login_waiting_does_not_block_signing),
        PIN_TEST(test_context_pin_wrong_once),
        PIN_TEST(test_context_low_tries_are_kept_for_a_person),
        PIN_TEST(test_context_pin_empty_is_not_tried),
    };

    if (!builder_module())
        return 77;
    return cmocka_run_group_tests_name("token-pin", tests, NULL, NULL);
}
