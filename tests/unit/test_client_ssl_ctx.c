/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mtls_agent_use_ssl_ctx() through the shared library: handshakes in memory between a client whose
 * keys are in the fake agent ($FAKE_AGENT) and a server that wants a certificate.
 */
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "client/lib/mtls-agent.h"
#include "client_pki.h"
#include "unit.h"

/* Made once for all tests: two CAs, one with an intermediate below it, a server and its clients. */
static struct {
    char dir[48];
    char socket[64];
    struct pki_identity ca;
    struct pki_identity other_ca;
    struct pki_identity intermediate;
    struct pki_identity server;
    struct pki_identity ec;      /* by ca */
    struct pki_identity rsa;     /* by intermediate */
    struct pki_identity ed25519; /* by other_ca */
    struct pki_identity bare;    /* its certificate is not given to the agent */
    pid_t agent_pid;
} world;

/* What the server saw. */
struct outcome {
    bool is_done;
    char subject[64]; /* of the client's certificate; "": none came */
    int chain_count;  /* certificates that the client sent */
};

static void write_identity(const char *name, const struct pki_identity *identity,
                           const struct pki_identity *issuer)
{
    char path[96];
    X509 *certs[] = {identity->cert, issuer ? issuer->cert : NULL, NULL};

    (void)snprintf(path, sizeof(path), "%s/%s.key", world.dir, name);
    pki_write_key(path, identity->key);
    (void)snprintf(path, sizeof(path), "%s/%s.crt", world.dir, name);
    pki_write_certs(path, certs);
}

static int start_agent(char *const arguments[])
{
    posix_spawn_file_actions_t actions;
    int out[2];
    char ready[6] = "";

    if (pipe(out) < 0 || posix_spawn_file_actions_init(&actions) ||
        posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO) ||
        posix_spawn_file_actions_addclose(&actions, out[0]) ||
        posix_spawn(&world.agent_pid, arguments[0], &actions, NULL, arguments, environ))
        return -1;
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(out[1]);
    ssize_t len = read(out[0], ready, sizeof(ready));
    (void)close(out[0]);
    return len == sizeof(ready) ? 0 : -1;
}

static int start_agent_in_world(bool is_locked)
{
    char keys[4][160];
    const char *dir = world.dir;
    char *program = getenv("FAKE_AGENT");
    char locked[] = "--locked";

    (void)snprintf(keys[0], sizeof(keys[0]), "%s/ec.key:%s/ec.crt", dir, dir);
    (void)snprintf(keys[1], sizeof(keys[1]), "%s/rsa.key:%s/rsa.crt", dir, dir);
    (void)snprintf(keys[2], sizeof(keys[2]), "%s/ed25519.key:%s/ed25519.crt", dir, dir);
    (void)snprintf(keys[3], sizeof(keys[3]), "%s/bare.key", dir);
    char *arguments[] = {program, world.socket, keys[0], keys[1], keys[2], keys[3], NULL, NULL};
    if (is_locked) {
        memmove(arguments + 2, arguments + 1, 5 * sizeof(arguments[0]));
        arguments[1] = locked;
    }
    return program ? start_agent(arguments) : -1;
}

static void stop_agent(void)
{
    if (world.agent_pid > 0) {
        (void)kill(world.agent_pid, SIGTERM);
        (void)waitpid(world.agent_pid, NULL, 0);
    }
    world.agent_pid = 0;
}

static int setup_world(void **state)
{
    (void)state;
    (void)snprintf(world.dir, sizeof(world.dir), "/tmp/mtls-ssl-test-XXXXXX");
    if (!mkdtemp(world.dir))
        return -1;
    (void)snprintf(world.socket, sizeof(world.socket), "%s/agent.sock", world.dir);
    world.ca = pki_new("EC", "ca", NULL, "CA:TRUE");
    world.other_ca = pki_new("EC", "other-ca", NULL, "CA:TRUE");
    world.intermediate = pki_new("EC", "intermediate", &world.ca, "CA:TRUE");
    world.server = pki_new("EC", "server", &world.ca, "serverAuth");
    world.ec = pki_new("EC", "ec", &world.ca, "clientAuth");
    world.rsa = pki_new("RSA", "rsa", &world.intermediate, "clientAuth");
    world.ed25519 = pki_new("ED25519", "ed25519", &world.other_ca, "clientAuth");
    world.bare = pki_new("EC", "bare", &world.ca, NULL);
    write_identity("ec", &world.ec, NULL);
    write_identity("rsa", &world.rsa, &world.intermediate);
    write_identity("ed25519", &world.ed25519, NULL);
    write_identity("bare", &world.bare, NULL);
    (void)setenv("MTLS_AGENT_SOCK", world.socket, 1);
    return start_agent_in_world(false);
}

static int teardown_world(void **state)
{
    static const char *const files[] = {"ec", "rsa", "ed25519", "bare"};
    static struct pki_identity *const identities[] = {
        &world.ca, &world.other_ca, &world.intermediate, &world.server,
        &world.ec, &world.rsa,      &world.ed25519,      &world.bare,
    };
    char path[96];

    (void)state;
    stop_agent();
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s.key", world.dir, files[i]);
        (void)unlink(path);
        (void)snprintf(path, sizeof(path), "%s/%s.crt", world.dir, files[i]);
        (void)unlink(path);
    }
    (void)unlink(world.socket);
    (void)rmdir(world.dir);
    for (size_t i = 0; i < ARRAY_SIZE(identities); i++)
        pki_free(identities[i]);
    return 0;
}

/* Ends a test that left the agent stopped. */
static int restart_agent(void **state)
{
    (void)state;
    stop_agent();
    return start_agent_in_world(false);
}

static int take_any(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

static SSL_CTX *server_new(int version, const struct pki_identity *accepted)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    assert_non_null(ctx);
    assert_int_equal(SSL_CTX_set_min_proto_version(ctx, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version), 1);
    assert_int_equal(SSL_CTX_use_certificate(ctx, world.server.cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, world.server.key), 1);
    if (accepted) {
        assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), accepted->cert), 1);
        assert_int_equal(SSL_CTX_add_client_CA(ctx, accepted->cert), 1);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    } else {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, take_any);
    }
    return ctx;
}

static SSL_CTX *client_new(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    assert_non_null(ctx);
    return ctx;
}

static void note_client(SSL *server, struct outcome *outcome)
{
    X509 *cert = SSL_get0_peer_certificate(server);
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(server); /* on a server without the leaf */

    if (!cert)
        return;
    outcome->chain_count = 1 + (chain ? sk_X509_num(chain) : 0);
    (void)X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, outcome->subject,
                                    sizeof(outcome->subject));
}

static struct outcome shake_hands(SSL_CTX *client_ctx, SSL_CTX *server_ctx)
{
    struct outcome outcome = {0};
    SSL *client = SSL_new(client_ctx);
    SSL *server = SSL_new(server_ctx);
    BIO *client_bio = NULL;
    BIO *server_bio = NULL;
    bool client_done = false;
    bool server_done = false;

    if (!client || !server || !BIO_new_bio_pair(&client_bio, 65536, &server_bio, 65536))
        abort();
    SSL_set_bio(client, client_bio, client_bio);
    SSL_set_bio(server, server_bio, server_bio);
    /* a client that failed is left at that: its next call would clear OpenSSL's error queue */
    for (int i = 0; i < 20 && !(client_done && server_done); i++) {
        int result = client_done ? 1 : SSL_connect(client);
        client_done = result == 1;
        if (!client_done && SSL_get_error(client, result) == SSL_ERROR_SSL)
            break;
        server_done = server_done || SSL_accept(server) == 1;
    }
    outcome.is_done = client_done && server_done;
    note_client(server, &outcome);
    SSL_free(client);
    SSL_free(server);
    return outcome;
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static void check_named_key(const char *name, const struct pki_identity *ca, int chain_count)
{
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        SSL_CTX *client = client_new();
        SSL_CTX *server = server_new(versions[i], ca);
        struct mtls_agent_error error = {0};
        int code = mtls_agent_use_ssl_ctx(client, name, NULL, &error);
        struct outcome outcome = {0};
        if (code == 0)
            outcome = shake_hands(client, server);
        SSL_CTX_free(client);
        SSL_CTX_free(server);
        assert_string_equal(error.text, "");
        assert_int_equal(code, 0);
        assert_true(outcome.is_done);
        assert_string_equal(outcome.subject, name);
        assert_int_equal(outcome.chain_count, chain_count);
    }
}

static void test_ec_key_by_name(void **state)
{
    (void)state;
    check_named_key("ec", &world.ca, 1);
}

static void test_rsa_key_by_name_with_its_chain(void **state)
{
    (void)state;
    check_named_key("rsa", &world.ca, 2);
}

static void test_ed25519_key_by_name(void **state)
{
    (void)state;
    check_named_key("ed25519", &world.other_ca, 1);
}

static void test_handle_of_the_caller_is_used(void **state)
{
    struct mtls_agent *agent = mtls_agent_new("/nonexistent/agent.sock");
    SSL_CTX *client = client_new();
    struct mtls_agent_error error = {0};

    (void)state;
    int code = mtls_agent_use_ssl_ctx(client, "ec", agent, &error);
    SSL_CTX_free(client);
    (void)mtls_agent_free(agent);
    assert_int_equal(code, MTLS_AGENT_E_NO_AGENT);
    assert_non_null(strstr(error.text, "/nonexistent/agent.sock"));
}

static void test_unknown_key_and_key_without_certificate(void **state)
{
    SSL_CTX *client = client_new();
    struct mtls_agent_error error = {0};

    (void)state;
    int unknown = mtls_agent_use_ssl_ctx(client, "nobody", NULL, &error);
    int bare = mtls_agent_use_ssl_ctx(client, "bare", NULL, &error);
    SSL_CTX_free(client);
    assert_int_equal(unknown, MTLS_AGENT_E_NO_KEY);
    assert_int_equal(bare, MTLS_AGENT_E_NO_KEY);
    assert_non_null(strstr(error.text, "has no certificate"));
}

/* The server accepts one CA, or any; the key that its request leads to. */
static void test_key_is_chosen_by_the_servers_request(void **state)
{
    char rsa_alone[] = "RSA-PSS+SHA256"; /* OpenSSL's macro casts const away */

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        SSL_CTX *client = client_new();
        SSL_CTX *server = server_new(versions[i], &world.other_ca);
        SSL_CTX *rsa_server = server_new(versions[i], &world.ca);
        int code = mtls_agent_use_ssl_ctx(client, NULL, NULL, NULL);
        struct outcome by_ca = shake_hands(client, server);
        bool is_set = SSL_CTX_set1_client_sigalgs_list(rsa_server, rsa_alone) == 1;
        struct outcome by_scheme = shake_hands(client, rsa_server);
        SSL_CTX_free(client);
        SSL_CTX_free(server);
        SSL_CTX_free(rsa_server);
        assert_int_equal(code, 0);
        assert_true(by_ca.is_done);
        assert_string_equal(by_ca.subject, "ed25519");
        assert_true(is_set);
        assert_true(by_scheme.is_done);
        assert_string_equal(by_scheme.subject, "rsa");
        assert_int_equal(by_scheme.chain_count, 2);
    }
}

static void test_server_whose_request_no_key_fits_gets_none(void **state)
{
    struct pki_identity stranger = pki_new("EC", "stranger", NULL, "CA:TRUE");

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        SSL_CTX *client = client_new();
        SSL_CTX *server = server_new(versions[i], &stranger);
        int code = mtls_agent_use_ssl_ctx(client, NULL, NULL, NULL);
        struct outcome outcome = shake_hands(client, server);
        SSL_CTX_free(client);
        SSL_CTX_free(server);
        assert_int_equal(code, 0);
        assert_true(outcome.is_done);
        assert_string_equal(outcome.subject, "");
    }
    assert_int_equal(ERR_peek_error(), 0);
    pki_free(&stranger);
}

static bool queue_has(const char *text)
{
    const char *data = NULL;
    int flags = 0;

    while (ERR_get_error_all(NULL, NULL, NULL, &data, &flags))
        if ((flags & ERR_TXT_STRING) && strstr(data, text)) {
            ERR_clear_error();
            return true;
        }
    return false;
}

static void test_agent_that_is_gone_ends_the_handshake_with_a_sentence(void **state)
{
    struct mtls_agent *agent = mtls_agent_new("/nonexistent/agent.sock");
    SSL_CTX *client = client_new();
    SSL_CTX *server = server_new(TLS1_3_VERSION, NULL);

    (void)state;
    int code = mtls_agent_use_ssl_ctx(client, NULL, agent, NULL);
    struct outcome outcome = shake_hands(client, server);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
    (void)mtls_agent_free(agent);
    assert_int_equal(code, 0);
    assert_false(outcome.is_done);
    assert_true(queue_has("systemctl --user start mtls-agent.socket"));
}

static void test_refused_signature_ends_the_handshake_with_the_agents_sentence(void **state)
{
    SSL_CTX *client = client_new();
    SSL_CTX *server = server_new(TLS1_3_VERSION, NULL);
    int code = mtls_agent_use_ssl_ctx(client, "ec", NULL, NULL);

    (void)state;
    stop_agent();
    assert_int_equal(start_agent_in_world(true), 0);
    struct outcome outcome = shake_hands(client, server);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
    assert_int_equal(code, 0);
    assert_false(outcome.is_done);
    assert_true(queue_has("mtls unlock"));
}

static void *run_handshakes(void *argument)
{
    SSL_CTX **pair = argument;
    uintptr_t bad = 0;

    for (int i = 0; i < 20; i++) {
        struct outcome outcome = shake_hands(pair[0], pair[1]);
        bad += !outcome.is_done || strcmp(outcome.subject, "ed25519") != 0;
    }
    return (void *)bad;
}

static void test_threads_share_a_context(void **state)
{
    SSL_CTX *pair[] = {client_new(), server_new(TLS1_3_VERSION, &world.other_ca)};
    pthread_t threads[4];
    uintptr_t bad = 0;
    int code = mtls_agent_use_ssl_ctx(pair[0], NULL, NULL, NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_handshakes, pair), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        bad += (uintptr_t)result;
    }
    SSL_CTX_free(pair[0]);
    SSL_CTX_free(pair[1]);
    assert_int_equal(code, 0);
    assert_int_equal(bad, 0);
}

static void test_program_keeps_its_own_providers(void **state)
{
    (void)state;
    assert_int_equal(OSSL_PROVIDER_available(NULL, "default"), 1);
    assert_int_equal(OSSL_PROVIDER_available(NULL, "mtls-agent"), 0);
    assert_int_equal(OSSL_PROVIDER_available(NULL, "mtls-agent-library"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ec_key_by_name),
        cmocka_unit_test(test_rsa_key_by_name_with_its_chain),
        cmocka_unit_test(test_ed25519_key_by_name),
        cmocka_unit_test(test_handle_of_the_caller_is_used),
        cmocka_unit_test(test_unknown_key_and_key_without_certificate),
        cmocka_unit_test(test_key_is_chosen_by_the_servers_request),
        cmocka_unit_test(test_server_whose_request_no_key_fits_gets_none),
        cmocka_unit_test(test_agent_that_is_gone_ends_the_handshake_with_a_sentence),
        cmocka_unit_test_teardown(
            test_refused_signature_ends_the_handshake_with_the_agents_sentence, restart_agent),
        cmocka_unit_test(test_threads_share_a_context),
        cmocka_unit_test(test_program_keeps_its_own_providers),
    };

    return cmocka_run_group_tests(tests, setup_world, teardown_world);
}
