/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modules that fail and modules that lie, through p11fault.so: the answer that the core gets, that
 * nothing wrong gets out, and that the next request works.
 */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "token_fixture.h"

static const struct builder_key keys[] = {
    {"ec", 1, BUILDER_P256, BUILDER_CERT},
    {"rsa", 2, BUILDER_RSA2048, BUILDER_CERT},
    {"ed", 3, BUILDER_ED25519, BUILDER_CERT},
    {"ec2", 4, BUILDER_P256, BUILDER_CERT},
};

static int group_setup(void **state)
{
    struct token_fixture *fixture = token_fixture_new(keys, sizeof(keys) / sizeof(keys[0]));
    char path[2 * BUILDER_PATH_MAX];

    if (!fixture)
        return -1;
    *state = fixture;
    (void)snprintf(path, sizeof(path), "%s/ctl", fixture->dir);
    token_fixture_set_env(fixture, "P11FAULT_CTL", path);
    token_fixture_set_env(fixture, "P11FAULT_MODULE", builder_module());
    return 0;
}

/* A rule that p11fault.so did not understand would make every test pass. */
static int group_teardown(void **state)
{
    struct token_fixture *fixture = *state;
    char path[2 * BUILDER_PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/ctl.error", fixture->dir);
    bool misunderstood = access(path, F_OK) == 0;
    token_fixture_free(fixture);
    return misunderstood ? -1 : 0;
}

static void start(struct token_fixture *fixture, enum verify_mode verify, const char *rules)
{
    token_fixture_write(fixture, "ctl", rules);
    token_fixture_start(fixture, getenv("P11FAULT_SO"), 1, verify);
    token_fixture_login(fixture);
}

static int setup(void **state)
{
    start(*state, VERIFY_AUTO, "");
    return 0;
}

static uint32_t scheme_of(const char *label)
{
    if (strcmp(label, "rsa") == 0)
        return SCHEME_RSA_PSS_RSAE_SHA256;
    return strcmp(label, "ed") == 0 ? SCHEME_ED25519 : SCHEME_ECDSA_SHA256;
}

static enum worker_result sign(struct token_fixture *fixture, const char *label)
{
    struct worker_key key = *token_fixture_key(fixture, label);
    uint32_t scheme = scheme_of(label);
    struct wire_span data = digest_for(scheme);
    const struct worker_reply *reply =
        worker_process_sign(&fixture->worker, key.key, scheme, data, NULL);

    if (reply->result == WORKER_OK)
        assert_true(signature_is_valid(key.spki, scheme, data, reply->signature));
    else
        assert_int_equal(reply->signature.len, 0);
    return reply->result;
}

/* The answers of C_SignInit and C_Sign, and what the worker makes of them. */
static void test_sign_return_values(void **state)
{
    static const struct {
        const char *rule;
        enum worker_result result;
    } cases[] = {
        /* one failure, and a new session helps */
        {"C_SignInit rv b3 1", WORKER_OK},
        {"C_SignInit rv b0 1", WORKER_OK},
        {"C_SignInit rv 60 1", WORKER_OK},
        {"C_SignInit rv 82 1", WORKER_OK},
        {"C_SignInit rv 90 1", WORKER_OK},
        {"C_Sign rv b3 1", WORKER_OK},
        /* and does not help */
        {"C_SignInit rv b3", WORKER_E_STATE_LOST},
        {"C_SignInit rv 60", WORKER_E_STATE_LOST},
        {"C_SignInit rv 90", WORKER_E_MODULE},
        {"C_SignInit rv 5", WORKER_E_STATE_LOST},
        {"C_Sign rv 32", WORKER_E_STATE_LOST},
        {"C_Sign rv 30", WORKER_E_STATE_LOST},
        {"C_Sign rv 31", WORKER_E_STATE_LOST},
        {"C_Sign rv 2", WORKER_E_STATE_LOST},
        {"C_Sign rv 6", WORKER_E_STATE_LOST},
        {"C_Sign rv e0", WORKER_E_STATE_LOST},
        {"C_Sign rv e1", WORKER_E_STATE_LOST},
        {"C_Sign rv 190", WORKER_E_STATE_LOST},
        {"C_Sign rv 101", WORKER_E_STATE_LOST},
        {"C_Sign rv 21", WORKER_E_MODULE},
        {"C_Sign rv 50", WORKER_E_MODULE},
        {"C_Sign rv 80000001", WORKER_E_MODULE},
        {"C_Sign too-small", WORKER_E_MODULE},
    };
    struct token_fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        token_fixture_write(fixture, "ctl", cases[i].rule);
        enum worker_result result = sign(fixture, "ec");
        if (result != cases[i].result)
            fail_msg("%s: %d instead of %d", cases[i].rule, result, cases[i].result);
        /* The fault is over: the same worker goes on. */
        token_fixture_write(fixture, "ctl", "");
        assert_int_equal(sign(fixture, "ec"), WORKER_OK);
    }
}

/* What the module refuses is told to the core before the answer, and holds until the next login. */
static void test_sign_refused_mechanism_is_told(void **state)
{
    struct token_fixture *fixture = *state;
    size_t before = fixture->worker.key_count;

    token_fixture_write(fixture, "ctl", "C_SignInit rv 70");
    assert_int_equal(sign(fixture, "ec"), WORKER_E_UNSUPPORTED);
    token_fixture_write(fixture, "ctl", "");
    assert_int_equal(fixture->worker.key_count, before - 1);
    assert_null(worker_process_find_key(&fixture->worker, "ec"));
    assert_int_equal(sign(fixture, "rsa"), WORKER_OK);
}

static void test_sign_bad_signatures_are_withheld(void **state)
{
    static const char *const rules[] = {"garbage", "short", "long", "zero-r",
                                        "zero-s",  "len0",  "flip"};
    static const char *const labels[] = {"ec", "rsa", "ed"};
    struct token_fixture *fixture = *state;

    start(fixture, VERIFY_ALWAYS, "");
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        for (size_t k = 0; k < sizeof(labels) / sizeof(labels[0]); k++) {
            char rule[64];
            (void)snprintf(rule, sizeof(rule), "C_Sign %s\n", rules[i]);
            token_fixture_write(fixture, "ctl", rule);
            enum worker_result result = sign(fixture, labels[k]);
            if (result != WORKER_E_BAD_SIGNATURE)
                fail_msg("%s with %s: %d", rules[i], labels[k], result);
            token_fixture_write(fixture, "ctl", "");
            assert_int_equal(sign(fixture, labels[k]), WORKER_OK);
        }
}

static void test_sign_high_s_is_valid(void **state)
{
    struct token_fixture *fixture = *state;

    start(fixture, VERIFY_ALWAYS, "C_Sign high-s\n");
    assert_int_equal(sign(fixture, "ec"), WORKER_OK);
}

/* Whether the first and the second of two invalid signatures are withheld. */
static void assert_withheld(struct token_fixture *fixture, const char *label, bool first,
                            bool second)
{
    uint32_t key = token_fixture_key(fixture, label)->key;
    uint32_t scheme = scheme_of(label);
    bool expected[] = {first, second};

    for (size_t i = 0; i < 2; i++) {
        token_fixture_write(fixture, "ctl", i ? "C_Sign flip\nhardware\n" : "C_Sign flip\n");
        const struct worker_reply *reply =
            worker_process_sign(&fixture->worker, key, scheme, digest_for(scheme), NULL);
        assert_int_equal(reply->result == WORKER_E_BAD_SIGNATURE, expected[i]);
        if (i == 0) {
            token_fixture_write(fixture, "ctl", "");
            assert_int_equal(sign(fixture, label), WORKER_OK);
        }
    }
}

static void test_verify_auto_software_token(void **state)
{
    struct token_fixture *fixture = *state;

    assert_withheld(fixture, "rsa", true, true);
    assert_withheld(fixture, "ec", true, false);
    assert_withheld(fixture, "ed", true, false);
}

static void test_verify_auto_hardware_token(void **state)
{
    struct token_fixture *fixture = *state;

    start(fixture, VERIFY_AUTO, "hardware\n");
    assert_int_equal(fixture->worker.tokens[0].flags & WORKER_TOKEN_HARDWARE,
                     WORKER_TOKEN_HARDWARE);
    assert_withheld(fixture, "ec", true, true);
}

static void test_verify_never(void **state)
{
    struct token_fixture *fixture = *state;

    start(fixture, VERIFY_NEVER, "");
    assert_withheld(fixture, "rsa", false, false);
}

/* The pair of key and certificate was made by name alone: its first signature must prove it. */
static void test_verify_never_provisional(void **state)
{
    struct token_fixture *fixture = *state;

    start(fixture, VERIFY_NEVER, "no-public-keys\n");
    assert_withheld(fixture, "ec", true, false);
}

/* The search for a lost key brings another one: that one never becomes the key. */
static void test_sign_found_another_key(void **state)
{
    static const enum verify_mode modes[] = {VERIFY_AUTO, VERIFY_NEVER};
    struct token_fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        start(fixture, modes[i], "");
        assert_int_equal(sign(fixture, "ec"), WORKER_OK);
        token_fixture_write(fixture, "ctl", "C_SignInit rv 60 1\nfound-id 4\n");
        assert_int_equal(sign(fixture, "ec"), WORKER_E_STATE_LOST);
        assert_int_equal(sign(fixture, "ec"), WORKER_OK);
        assert_int_equal(sign(fixture, "ec2"), WORKER_OK);
    }
}

static void test_sign_token_removed(void **state)
{
    struct token_fixture *fixture = *state;

    assert_int_equal(sign(fixture, "ec"), WORKER_OK);
    token_fixture_write(fixture, "ctl", "removed\n");
    assert_int_equal(sign(fixture, "ec"), WORKER_E_STATE_LOST);
    token_fixture_write(fixture, "ctl", "");
    assert_int_equal(sign(fixture, "ec"), WORKER_E_STATE_LOST);
}

static void test_sign_token_forgot_login(void **state)
{
    struct token_fixture *fixture = *state;

    token_fixture_write(fixture, "ctl", "C_SignInit rv 101\n");
    assert_int_equal(sign(fixture, "ec"), WORKER_E_STATE_LOST);
}

static void test_sign_crash_leaves_ledger(void **state)
{
    struct token_fixture *fixture = *state;
    uint32_t key = token_fixture_key(fixture, "ec")->key;

    token_fixture_write(fixture, "ctl", "C_Sign crash\n");
    (void)worker_process_send_sign(&fixture->worker, 5, key, SCHEME_ECDSA_SHA256,
                                   digest_for(SCHEME_ECDSA_SHA256), NULL);
    atomic_store(&fixture->worker.ledger->slots[6], WORKER_SLOT_QUEUED);
    assert_false(worker_process_receive(&fixture->worker));
    int status = worker_process_wait(&fixture->worker);
    /* A sanitizer turns the signal into an exit. */
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
    assert_int_equal(atomic_load(&fixture->worker.ledger->slots[5]), WORKER_SLOT_SIGNING);
    assert_int_equal(atomic_load(&fixture->worker.ledger->slots[6]), WORKER_SLOT_QUEUED);
}

/* What a module does to its process stays in its process, and does not even stop it. */
static void test_sign_ill_behaviour_is_contained(void **state)
{
    static const char *const rules[] = {"closefds 1",          "chdir / 1", "sigmask 1",
                                        "setlocale C.UTF-8 1", "thread 1",  "stdout-spam 100 1",
                                        "stderr-spam 100 1"};
    struct token_fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        char rule[64];
        (void)snprintf(rule, sizeof(rule), "C_Sign %s\n", rules[i]);
        token_fixture_write(fixture, "ctl", rule);
        assert_int_equal(sign(fixture, "ec"), WORKER_OK);
        assert_int_equal(sign(fixture, "ec"), WORKER_OK);
    }
    assert_int_equal(worker_process_stop(&fixture->worker), 0);
}

static void test_sign_module_calls_exit(void **state)
{
    struct token_fixture *fixture = *state;
    uint32_t key = token_fixture_key(fixture, "ec")->key;

    token_fixture_write(fixture, "ctl", "C_Sign exit\n");
    (void)worker_process_send_sign(&fixture->worker, 0, key, SCHEME_ECDSA_SHA256,
                                   digest_for(SCHEME_ECDSA_SHA256), NULL);
    assert_false(worker_process_receive(&fixture->worker));
    assert_true(worker_process_wait(&fixture->worker) >= 0);
}

/* Attributes that lie cost the keys they describe, never the process or the other keys. */
static void test_inventory_hostile_attributes(void **state)
{
    static const char *const types[] = {"0",   "100", "102", "3",   "180", "181",
                                        "120", "122", "108", "202", "11",  "80"};
    static const char *const faults[] = {"bad-length", "unavailable", "growing"};
    struct token_fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        for (size_t k = 0; k < sizeof(faults) / sizeof(faults[0]); k++) {
            char rule[64];
            (void)snprintf(rule, sizeof(rule), "attr %s %s\n", faults[k], types[i]);
            start(fixture, VERIFY_ALWAYS, rule);
            for (size_t n = 0; n < fixture->worker.key_count; n++) {
                struct worker_key key = fixture->worker.keys[n];
                uint32_t scheme = key.type == KEY_TYPE_RSA       ? SCHEME_RSA_PSS_RSAE_SHA256
                                  : key.type == KEY_TYPE_ED25519 ? SCHEME_ED25519
                                                                 : SCHEME_ECDSA_SHA256;
                struct wire_span data = digest_for(scheme);
                const struct worker_reply *reply =
                    worker_process_sign(&fixture->worker, key.key, scheme, data, NULL);
                /* Keys may be missing or paired wrongly, but nothing wrong gets out. */
                if (reply->result == WORKER_OK)
                    assert_true(signature_is_valid(key.spki, scheme, data, reply->signature));
            }
        }
}

/* A token of hardware is asked by several threads at once; every request has one answer. */
static void test_sign_parallel(void **state)
{
    enum { WINDOW = 32, ROUNDS = 5 };
    struct token_fixture *fixture = *state;
    struct wire_span data = digest_for(SCHEME_ECDSA_SHA256);
    bool seen[WINDOW * ROUNDS] = {false};

    token_fixture_write(fixture, "ctl", "hardware\nC_Sign delay 2\n");
    token_fixture_start(fixture, getenv("P11FAULT_SO"), 4, VERIFY_AUTO);
    token_fixture_login(fixture);
    struct worker_key key = *token_fixture_key(fixture, "ec");
    uint32_t first = fixture->worker.seq + 1;
    for (size_t round = 0; round < ROUNDS; round++) {
        for (uint32_t slot = 0; slot < WINDOW; slot++)
            (void)worker_process_send_sign(&fixture->worker, slot, key.key, SCHEME_ECDSA_SHA256,
                                           data, NULL);
        for (size_t i = 0; i < WINDOW; i++) {
            const struct worker_reply *reply =
                worker_process_read_reply(&fixture->worker, WORKER_SIGN_REPLY);
            assert_int_equal(reply->result, WORKER_OK);
            assert_true(signature_is_valid(key.spki, SCHEME_ECDSA_SHA256, data, reply->signature));
            assert_in_range(reply->seq - first, 0, WINDOW * ROUNDS - 1);
            assert_false(seen[reply->seq - first]);
            seen[reply->seq - first] = true;
        }
    }
}

/* A login in the middle of the load waits for nobody for long, and harms nobody. */
static void test_sign_parallel_with_logins(void **state)
{
    enum { WINDOW = 8, ROUNDS = 10 };
    struct token_fixture *fixture = *state;
    struct wire_span data = digest_for(SCHEME_ECDSA_SHA256);

    token_fixture_write(fixture, "ctl", "hardware\n");
    token_fixture_start(fixture, getenv("P11FAULT_SO"), 4, VERIFY_AUTO);
    token_fixture_login(fixture);
    uint32_t key = token_fixture_key(fixture, "ec")->key;
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t answers = 0;
        size_t logins = 0;
        _cleanup_(cleanup_wire_writer) struct wire_writer writer;
        const struct worker_logout logout = {9000, 0};

        for (uint32_t slot = 0; slot < WINDOW; slot++)
            (void)worker_process_send_sign(&fixture->worker, slot, key, SCHEME_ECDSA_SHA256, data,
                                           NULL);
        wire_writer_init(&writer, WIRE_FRAME_MAX);
        assert_int_equal(worker_logout_encode(&writer, &logout), 0);
        worker_process_send(&fixture->worker, &writer, -1);
        while (answers < WINDOW || logins < 1) {
            assert_true(worker_process_receive(&fixture->worker));
            if (fixture->worker.frame.type == WORKER_LOGIN_REPLY)
                logins++;
            if (fixture->worker.frame.type != WORKER_SIGN_REPLY)
                continue;
            assert_int_equal(worker_reply_parse(fixture->worker.frame.body, &fixture->worker.reply),
                             0);
            assert_true(fixture->worker.reply.result == WORKER_OK ||
                        fixture->worker.reply.result == WORKER_E_LOCKED);
            answers++;
        }
        token_fixture_login(fixture);
        assert_int_equal(sign(fixture, "ec"), WORKER_OK);
    }
}

static void test_login_state_lost(void **state)
{
    struct token_fixture *fixture = *state;

    token_fixture_write(fixture, "ctl", "");
    token_fixture_start(fixture, getenv("P11FAULT_SO"), 1, VERIFY_AUTO);
    token_fixture_write(fixture, "ctl", "C_Login rv 30\n");
    assert_int_equal(worker_process_login(&fixture->worker, 0, BUILDER_PIN, false)->result,
                     WORKER_E_STATE_LOST);
    token_fixture_write(fixture, "ctl", "removed\n");
    assert_int_equal(worker_process_login(&fixture->worker, 0, BUILDER_PIN, false)->result,
                     WORKER_E_STATE_LOST);
}

/* As if it were not there: the core looks again for what it has seen before. */
static void test_inventory_unreadable_token_is_left_out(void **state)
{
    struct token_fixture *fixture = *state;

    assert_true(builder_add_token(fixture->dir, "second"));
    token_fixture_write(fixture, "ctl", "");
    token_fixture_start(fixture, getenv("P11FAULT_SO"), 1, VERIFY_AUTO);
    assert_int_equal(fixture->worker.token_count, 2);
    token_fixture_write(fixture, "ctl", "C_OpenSession rv e1 1\n");
    token_fixture_start(fixture, getenv("P11FAULT_SO"), 1, VERIFY_AUTO);
    assert_int_equal(fixture->worker.token_count, 1);
    assert_non_null(strstr(worker_process_stderr(&fixture->worker), "CKR_TOKEN_NOT_RECOGNIZED"));
    const char *label = (const char *)fixture->worker.tokens[0].label.data;
    uint32_t number = fixture->worker.tokens[0].token;
    assert_int_equal(fixture->worker.key_count, memcmp(label, "demo", 4) == 0 ? 4 : 0);
    assert_int_equal(worker_process_login(&fixture->worker, number, BUILDER_PIN, false)->result,
                     WORKER_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sign_return_values, setup),
        cmocka_unit_test_setup(test_sign_refused_mechanism_is_told, setup),
        cmocka_unit_test_setup(test_sign_bad_signatures_are_withheld, setup),
        cmocka_unit_test_setup(test_sign_high_s_is_valid, setup),
        cmocka_unit_test_setup(test_verify_auto_software_token, setup),
        cmocka_unit_test_setup(test_verify_auto_hardware_token, setup),
        cmocka_unit_test_setup(test_verify_never, setup),
        cmocka_unit_test_setup(test_verify_never_provisional, setup),
        cmocka_unit_test_setup(test_sign_found_another_key, setup),
        cmocka_unit_test_setup(test_sign_token_removed, setup),
        cmocka_unit_test_setup(test_sign_token_forgot_login, setup),
        cmocka_unit_test_setup(test_sign_crash_leaves_ledger, setup),
        cmocka_unit_test_setup(test_sign_ill_behaviour_is_contained, setup),
        cmocka_unit_test_setup(test_sign_module_calls_exit, setup),
        cmocka_unit_test_setup(test_inventory_hostile_attributes, setup),
        cmocka_unit_test_setup(test_sign_parallel, setup),
        cmocka_unit_test_setup(test_sign_parallel_with_logins, setup),
        cmocka_unit_test_setup(test_login_state_lost, setup),
        cmocka_unit_test(test_inventory_unreadable_token_is_left_out), /* adds a token for good */
    };

    if (!builder_module())
        return 77;
    return cmocka_run_group_tests_name("token-faults", tests, group_setup, group_teardown);
}
