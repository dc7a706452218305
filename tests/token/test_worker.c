/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real token-worker over a real SoftHSM token: what it lists before and after a login, and that
 * every kind of key makes valid signatures.
 */
#include <openssl/evp.h>
#include <string.h>
#include <sys/wait.h>

#include "token_fixture.h"

static const struct builder_key demo_keys[] = {
    {"p256", 1, BUILDER_P256, BUILDER_CERT | BUILDER_INTERMEDIATE | BUILDER_ODD_CERTS},
    {"p384", 2, BUILDER_P384, BUILDER_CERT},
    {"p521", 3, BUILDER_P521, BUILDER_CERT},
    {"rsa", 4, BUILDER_RSA2048, BUILDER_CERT},
    {"pss", 5, BUILDER_RSA2048, BUILDER_CERT | BUILDER_PSS_CERT},
    {"ed", 6, BUILDER_ED25519, BUILDER_CERT},
    {"always", 7, BUILDER_P256, BUILDER_CERT | BUILDER_ALWAYS_AUTH},
    {"nopub", 8, BUILDER_P256, BUILDER_CERT | BUILDER_OLD_CERT | BUILDER_NO_PUBLIC},
    {"nopubrsa", 9, BUILDER_RSA2048, BUILDER_OTHER_ID | BUILDER_NO_PUBLIC},
    {"nopubed", 10, BUILDER_ED25519, BUILDER_CERT | BUILDER_OLD_CERT | BUILDER_NO_PUBLIC},
    {"file", 11, BUILDER_P256, BUILDER_CERT_FILE | BUILDER_NO_PUBLIC},
    {"nocert", 12, BUILDER_P256, 0},
    {"otherid", 13, BUILDER_P384, BUILDER_OTHER_ID},
    {"nosign", 14, BUILDER_P256, BUILDER_CERT | BUILDER_NO_SIGN},
    {"ca", 15, BUILDER_P256, BUILDER_CERT | BUILDER_CA_CERT},
};

static int group_setup(void **state)
{
    *state = token_fixture_new(demo_keys, sizeof(demo_keys) / sizeof(demo_keys[0]));
    return *state ? 0 : -1;
}

static int group_teardown(void **state)
{
    token_fixture_free(*state);
    return 0;
}

/* Four threads, the certificate of "file" from its file. */
static void start_demo(struct token_fixture *fixture)
{
    static uint8_t der[4096];
    struct wire_span file = token_fixture_read(fixture, "file.der");
    static struct worker_load load;

    memcpy(der, file.data, file.len);
    load = (struct worker_load){.path = wire_span_from_text(builder_module()),
                                .threads = 4,
                                .verify = VERIFY_ALWAYS,
                                .cert_count = 1};
    load.certs[0] = (struct worker_cert){
        WIRE_SPAN_LITERAL("pkcs11:token=demo;object=file;type=private"), {der, file.len}};
    token_fixture_load(fixture, &load);
    worker_process_read_inventory(&fixture->worker);
}

static int setup_locked(void **state)
{
    start_demo(*state);
    return 0;
}

static int setup_logged_in(void **state)
{
    start_demo(*state);
    token_fixture_login(*state);
    return 0;
}

static void assert_spki_of(const struct token_fixture *fixture, const char *label)
{
    char name[64];
    const struct worker_key *key = token_fixture_key(fixture, label);

    (void)snprintf(name, sizeof(name), "%s.spki", label);
    struct wire_span spki = token_fixture_read(fixture, name);
    assert_int_equal(key->spki.len, spki.len);
    assert_memory_equal(key->spki.data, spki.data, spki.len);
}

static void assert_cert_of(const struct token_fixture *fixture, const char *label)
{
    char name[64];
    const struct worker_key *key = token_fixture_key(fixture, label);

    (void)snprintf(name, sizeof(name), "%s.der", label);
    struct wire_span der = token_fixture_read(fixture, name);
    assert_true(key->cert_count >= 1);
    assert_int_equal(key->certs[0].len, der.len);
    assert_memory_equal(key->certs[0].data, der.data, der.len);
}

/* Signs under every scheme of the key, several times, and verifies. */
static void assert_signs(struct token_fixture *fixture, const char *label, const char *pin)
{
    struct worker_key key = *token_fixture_key(fixture, label);
    uint32_t schemes[SCHEMES_MAX];
    size_t count = scheme_list_for_key(key.type, key.bits, schemes);

    assert_true(count > 0);
    for (size_t i = 0; i < 3 * count; i++) {
        uint32_t scheme = schemes[i % count];
        struct wire_span data = digest_for(scheme);
        const struct worker_reply *reply =
            worker_process_sign(&fixture->worker, key.key, scheme, data, pin);
        if (reply->result != WORKER_OK)
            fail_msg("%s, scheme 0x%04x: %.*s", label, scheme, (int)reply->text.len,
                     (const char *)reply->text.data);
        assert_true(signature_is_valid(key.spki, scheme, data, reply->signature));
    }
}

static void test_inventory_locked_shows_token(void **state)
{
    struct token_fixture *fixture = *state;
    const struct worker_token *token = &fixture->worker.tokens[0];

    assert_int_equal(fixture->worker.token_count, 1);
    assert_true(wire_span_is_equal(token->label, wire_span_from_text("demo")));
    assert_true(token->serial.len > 0);
    assert_int_equal(token->flags & WORKER_TOKEN_LOGIN_REQUIRED, WORKER_TOKEN_LOGIN_REQUIRED);
    assert_int_equal(token->flags & WORKER_TOKEN_LOGGED_IN, 0);
    assert_int_equal(token->flags & WORKER_TOKEN_HARDWARE, 0);
}

static void test_inventory_locked_shows_public_sides(void **state)
{
    static const char *const expected[] = {"p256",  "p384",    "p521", "rsa",    "pss",   "ed",
                                           "nopub", "nopubed", "file", "nocert", "always"};
    struct token_fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_false(token_fixture_key(fixture, expected[i])->usable);
    for (size_t i = 0; i < fixture->worker.key_count; i++)
        assert_false(fixture->worker.keys[i].usable);
    assert_cert_of(fixture, "file");
}

static void test_inventory_locked_leaves_out_ca(void **state)
{
    struct token_fixture *fixture = *state;

    assert_null(worker_process_find_key(&fixture->worker, "ca"));
    assert_null(worker_process_find_key(&fixture->worker, "intermediate"));
}

static void test_sign_locked_is_locked(void **state)
{
    struct token_fixture *fixture = *state;
    uint32_t key = token_fixture_key(fixture, "p256")->key;
    const struct worker_reply *reply = worker_process_sign(
        &fixture->worker, key, SCHEME_ECDSA_SHA256, digest_for(SCHEME_ECDSA_SHA256), NULL);

    assert_int_equal(reply->result, WORKER_E_LOCKED);
    assert_int_equal(atomic_load(&fixture->worker.ledger->slots[0]), WORKER_SLOT_QUEUED);
}

static void test_login_keeps_numbers(void **state)
{
    struct token_fixture *fixture = *state;
    struct {
        uint32_t number;
        uint8_t spki[600];
        size_t spki_len;
    } before[WORKER_PROCESS_KEYS_MAX];
    size_t count = fixture->worker.key_count;

    for (size_t i = 0; i < count; i++) {
        before[i].number = fixture->worker.keys[i].key;
        before[i].spki_len = fixture->worker.keys[i].spki.len;
        memcpy(before[i].spki, fixture->worker.keys[i].spki.data, before[i].spki_len);
    }
    token_fixture_login(fixture);
    size_t same = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < fixture->worker.key_count; j++) {
            const struct worker_key *key = &fixture->worker.keys[j];
            if (key->spki.len != before[i].spki_len ||
                memcmp(key->spki.data, before[i].spki, before[i].spki_len) != 0)
                continue;
            assert_int_equal(key->key, before[i].number);
            same++;
        }
    /* All but "nosign", which showed its certificate before, and two keys of old certificates. */
    assert_int_equal(same, count - 3);
}

static void test_inventory_shows_keys(void **state)
{
    struct token_fixture *fixture = *state;

    assert_int_equal(fixture->worker.tokens[0].flags & WORKER_TOKEN_LOGGED_IN,
                     WORKER_TOKEN_LOGGED_IN);
    for (size_t i = 0; i < sizeof(demo_keys) / sizeof(demo_keys[0]); i++) {
        const struct builder_key *made = &demo_keys[i];
        if (made->flags & BUILDER_NO_SIGN)
            continue;
        const struct worker_key *key = token_fixture_key(fixture, made->label);
        assert_true(key->usable);
        assert_int_equal(key->ck_id.len, 1);
        assert_int_equal(key->ck_id.data[0], made->id);
        assert_int_equal(key->always_authenticate, (made->flags & BUILDER_ALWAYS_AUTH) != 0);
        if (!(made->flags & BUILDER_PSS_CERT))
            assert_spki_of(fixture, made->label);
        if (made->flags & (BUILDER_CERT | BUILDER_OTHER_ID | BUILDER_CERT_FILE))
            assert_cert_of(fixture, made->label);
        else
            assert_int_equal(key->cert_count, 0);
    }
    assert_int_equal(fixture->worker.key_count, sizeof(demo_keys) / sizeof(demo_keys[0]) - 1);
}

static void test_inventory_types(void **state)
{
    struct token_fixture *fixture = *state;

    assert_int_equal(token_fixture_key(fixture, "p521")->type, KEY_TYPE_EC);
    assert_int_equal(token_fixture_key(fixture, "p521")->bits, 521);
    assert_int_equal(token_fixture_key(fixture, "rsa")->type, KEY_TYPE_RSA);
    assert_int_equal(token_fixture_key(fixture, "rsa")->bits, 2048);
    assert_int_equal(token_fixture_key(fixture, "pss")->type, KEY_TYPE_RSA_PSS);
    assert_int_equal(token_fixture_key(fixture, "ed")->type, KEY_TYPE_ED25519);
    assert_int_equal(token_fixture_key(fixture, "ed")->bits, 255);
}

static void test_inventory_chain(void **state)
{
    struct token_fixture *fixture = *state;

    assert_int_equal(token_fixture_key(fixture, "p256")->cert_count, 2);
    assert_int_equal(token_fixture_key(fixture, "p384")->cert_count, 1);
}

static void test_inventory_leaves_out_nosign(void **state)
{
    struct token_fixture *fixture = *state;

    assert_null(worker_process_find_key(&fixture->worker, "nosign"));
}

static void test_sign_every_key(void **state)
{
    struct token_fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(demo_keys) / sizeof(demo_keys[0]); i++)
        if (!(demo_keys[i].flags & (BUILDER_NO_SIGN | BUILDER_ALWAYS_AUTH)))
            assert_signs(fixture, demo_keys[i].label, NULL);
}

static void test_sign_marks_ledger(void **state)
{
    struct token_fixture *fixture = *state;
    uint32_t key = token_fixture_key(fixture, "p256")->key;

    (void)worker_process_send_sign(&fixture->worker, 63, key, SCHEME_ECDSA_SHA256,
                                   digest_for(SCHEME_ECDSA_SHA256), NULL);
    assert_int_equal(worker_process_read_reply(&fixture->worker, WORKER_SIGN_REPLY)->result,
                     WORKER_OK);
    assert_int_equal(atomic_load(&fixture->worker.ledger->slots[63]), WORKER_SLOT_SIGNING);
}

static void test_sign_bad_requests(void **state)
{
    struct token_fixture *fixture = *state;
    uint32_t key = token_fixture_key(fixture, "p256")->key;
    struct wire_span data = digest_for(SCHEME_ECDSA_SHA256);
    const struct {
        uint32_t key;
        uint32_t scheme;
        size_t len;
    } cases[] = {
        {99, SCHEME_ECDSA_SHA256, 32},         /* no such key */
        {key, 0x0403 + 0x1000, 32},            /* no such scheme */
        {key, SCHEME_RSA_PSS_RSAE_SHA256, 32}, /* of another kind of key */
        {key, SCHEME_ECDSA_SHA256, 31},        /* not a digest */
        {key, SCHEME_ECDSA_SHA256, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct worker_reply *reply =
            worker_process_sign(&fixture->worker, cases[i].key, cases[i].scheme,
                                (struct wire_span){data.data, cases[i].len}, NULL);
        assert_int_equal(reply->result, WORKER_E_BAD_REQUEST);
    }
}

static void test_sign_ed25519_large_message(void **state)
{
    struct token_fixture *fixture = *state;
    struct worker_key key = *token_fixture_key(fixture, "ed");
    size_t len = WIRE_FRAME_MAX - 64;
    uint8_t *message = calloc(1, len);
    struct wire_span data = {message, len};
    const struct worker_reply *reply =
        worker_process_sign(&fixture->worker, key.key, SCHEME_ED25519, data, NULL);

    assert_int_equal(reply->result, WORKER_OK);
    assert_true(signature_is_valid(key.spki, SCHEME_ED25519, data, reply->signature));
    free(message);
}

static void test_sign_parallel(void **state)
{
    enum { WINDOW = 32, ROUNDS = 20 };
    struct token_fixture *fixture = *state;
    struct worker_key key = *token_fixture_key(fixture, "p256");
    struct wire_span data = digest_for(SCHEME_ECDSA_SHA256);
    bool seen[WINDOW * ROUNDS + 1] = {false};
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

static void test_always_authenticate_with_pin(void **state)
{
    assert_signs(*state, "always", BUILDER_PIN);
}

static void test_always_authenticate_without_pin(void **state)
{
    struct token_fixture *fixture = *state;
    uint32_t key = token_fixture_key(fixture, "always")->key;
    const struct worker_reply *reply = worker_process_sign(
        &fixture->worker, key, SCHEME_ECDSA_SHA256, digest_for(SCHEME_ECDSA_SHA256), NULL);

    assert_int_equal(reply->result, WORKER_E_LOCKED);
}

static void test_always_authenticate_wrong_pin(void **state)
{
    struct token_fixture *fixture = *state;
    uint32_t key = token_fixture_key(fixture, "always")->key;
    struct wire_span data = digest_for(SCHEME_ECDSA_SHA256);

    assert_int_equal(
        worker_process_sign(&fixture->worker, key, SCHEME_ECDSA_SHA256, data, "000000")->result,
        WORKER_E_PIN);
    /* Nothing is left behind that would disturb the next ones. */
    assert_signs(fixture, "p256", NULL);
    assert_int_equal(worker_process_logout(&fixture->worker, 0)->result, WORKER_OK);
    assert_int_equal(worker_process_login(&fixture->worker, 0, BUILDER_PIN, true)->result,
                     WORKER_OK);
    assert_signs(fixture, "always", BUILDER_PIN);
}

static void test_logout_hides_keys(void **state)
{
    struct token_fixture *fixture = *state;
    uint32_t number = token_fixture_key(fixture, "p256")->key;

    assert_signs(fixture, "p256", NULL);
    assert_int_equal(worker_process_logout(&fixture->worker, 0)->result, WORKER_OK);
    assert_int_equal(fixture->worker.reply.token_flags & WORKER_TOKEN_LOGGED_IN, 0);
    const struct worker_key *key = token_fixture_key(fixture, "p256");
    assert_false(key->usable);
    assert_int_equal(key->key, number);
    assert_int_equal(worker_process_sign(&fixture->worker, number, SCHEME_ECDSA_SHA256,
                                         digest_for(SCHEME_ECDSA_SHA256), NULL)
                         ->result,
                     WORKER_E_LOCKED);
    token_fixture_login(fixture);
    assert_signs(fixture, "p256", NULL);
}

static void test_logout_unknown_token(void **state)
{
    struct token_fixture *fixture = *state;

    assert_int_equal(worker_process_logout(&fixture->worker, 7)->result, WORKER_E_BAD_REQUEST);
}

static void test_login_twice_is_fine(void **state)
{
    struct token_fixture *fixture = *state;

    token_fixture_login(fixture);
    assert_signs(fixture, "p256", NULL);
}

/* A process that ever had a second thread pays for its locks for good. */
static void test_software_worker_has_one_thread(void **state)
{
    struct token_fixture *fixture = *state;
    char path[64];
    size_t count = 0;

    assert_signs(fixture, "always", BUILDER_PIN);
    (void)snprintf(path, sizeof(path), "/proc/%d/task", (int)fixture->worker.pid);
    _cleanup_closedir_ DIR *tasks = opendir(path);
    assert_non_null(tasks);
    for (const struct dirent *entry; (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    assert_int_equal(count, 1);
}

static void test_end_of_socket_ends_worker(void **state)
{
    struct token_fixture *fixture = *state;
    int status = worker_process_stop(&fixture->worker);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_inventory_locked_shows_token, setup_locked),
        cmocka_unit_test_setup(test_inventory_locked_shows_public_sides, setup_locked),
        cmocka_unit_test_setup(test_inventory_locked_leaves_out_ca, setup_locked),
        cmocka_unit_test_setup(test_sign_locked_is_locked, setup_locked),
        cmocka_unit_test_setup(test_login_keeps_numbers, setup_locked),
        cmocka_unit_test_setup(test_inventory_shows_keys, setup_logged_in),
        cmocka_unit_test_setup(test_inventory_types, setup_logged_in),
        cmocka_unit_test_setup(test_inventory_chain, setup_logged_in),
        cmocka_unit_test_setup(test_inventory_leaves_out_nosign, setup_logged_in),
        cmocka_unit_test_setup(test_sign_every_key, setup_logged_in),
        cmocka_unit_test_setup(test_sign_marks_ledger, setup_logged_in),
        cmocka_unit_test_setup(test_sign_bad_requests, setup_logged_in),
        cmocka_unit_test_setup(test_sign_ed25519_large_message, setup_logged_in),
        cmocka_unit_test_setup(test_sign_parallel, setup_logged_in),
        cmocka_unit_test_setup(test_always_authenticate_with_pin, setup_logged_in),
        cmocka_unit_test_setup(test_always_authenticate_without_pin, setup_logged_in),
        cmocka_unit_test_setup(test_always_authenticate_wrong_pin, setup_logged_in),
        cmocka_unit_test_setup(test_logout_hides_keys, setup_logged_in),
        cmocka_unit_test_setup(test_logout_unknown_token, setup_logged_in),
        cmocka_unit_test_setup(test_login_twice_is_fine, setup_logged_in),
        cmocka_unit_test_setup(test_software_worker_has_one_thread, setup_logged_in),
        cmocka_unit_test_setup(test_end_of_socket_ends_worker, setup_logged_in),
    };

    if (!builder_module()) {
        (void)fprintf(stderr, "SoftHSM is not installed\n");
        return 77;
    }
    return cmocka_run_group_tests_name("token-worker", tests, group_setup, group_teardown);
}
