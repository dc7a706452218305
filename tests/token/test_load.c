/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first message: files that are no modules, modules that do not start, certificates that the
 * configuration names, messages that are none, and p11-kit's list of modules.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "token_fixture.h"

static const struct builder_key keys[] = {
    {"key", 1, BUILDER_P256, BUILDER_CERT_FILE | BUILDER_NO_PUBLIC},
    {"rsa", 2, BUILDER_RSA2048, BUILDER_CERT_FILE | BUILDER_NO_PUBLIC},
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

static int group_teardown(void **state)
{
    token_fixture_free(*state);
    return 0;
}

/* Loads @path, which must fail with these words; the worker ends. */
static void assert_failure(struct token_fixture *fixture, const char *path, bool permanent,
                           const char *words)
{
    const struct worker_load load = {.path = wire_span_from_text(path), .threads = 2};
    struct worker_failure failure;

    token_fixture_load(fixture, &load);
    assert_true(worker_process_receive(&fixture->worker));
    assert_int_equal(fixture->worker.frame.type, WORKER_FAILURE);
    assert_int_equal(worker_failure_parse(fixture->worker.frame.body, &failure), 0);
    assert_int_equal(failure.permanent, permanent);
    if (!path || !memmem(failure.text.data, failure.text.len, words, strlen(words)) ||
        !memmem(failure.text.data, failure.text.len, path, strlen(path)))
        fail_msg("\"%.*s\" does not name %s and say \"%s\"", (int)failure.text.len,
                 (const char *)failure.text.data, path, words);
    assert_false(worker_process_receive(&fixture->worker));
    assert_true(WIFEXITED(worker_process_wait(&fixture->worker)));
}

static const char *file_with(struct token_fixture *fixture, const char *name, const void *data,
                             size_t len)
{
    static char path[2 * BUILDER_PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s", fixture->dir, name);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, data, len), len);
    return path;
}

static void test_load_missing_file(void **state)
{
    assert_failure(*state, "/nonexistent/module.so", true, "No such file");
}

static void test_load_directory(void **state)
{
    assert_failure(*state, "/usr", true, "not a regular file");
}

static void test_load_device(void **state)
{
    assert_failure(*state, "/dev/null", true, "not a regular file");
}

static void test_load_text_file(void **state)
{
    static const char text[2048] = "this is a text and not a shared object";

    assert_failure(*state, file_with(*state, "text.so", text, sizeof(text)), true, "ELF");
}

static void test_load_empty_file(void **state)
{
    assert_failure(*state, file_with(*state, "empty.so", "", 0), true, "too short");
}

/* The module's own file with another class and another machine in its ELF header. */
static void test_load_wrong_architecture(void **state)
{
    static uint8_t elf[1 << 20];
    _cleanup_close_ int fd = open(builder_module(), O_RDONLY | O_CLOEXEC);
    ssize_t len = read(fd, elf, sizeof(elf));

    assert_true(len > 64);
    elf[18] = 0xf3; /* EM_RISCV */
    elf[19] = 0;
    assert_failure(*state, file_with(*state, "riscv.so", elf, (size_t)len), true,
                   "cannot be loaded");
    elf[4] = 1; /* ELFCLASS32 */
    assert_failure(*state, file_with(*state, "class32.so", elf, (size_t)len), true, "ELFCLASS32");
}

static void test_load_no_function_list(void **state)
{
    assert_failure(*state, getenv("BAD_MODULE_EMPTY"), true, "C_GetFunctionList");
}

static void test_load_initialize_fails(void **state)
{
    struct token_fixture *fixture = *state;

    token_fixture_write(fixture, "ctl", "C_Initialize rv 5\n");
    assert_failure(fixture, getenv("P11FAULT_SO"), false, "CKR_GENERAL_ERROR");
}

static void test_load_slot_list_fails(void **state)
{
    struct token_fixture *fixture = *state;

    token_fixture_write(fixture, "ctl", "C_GetSlotList rv 30\n");
    assert_failure(fixture, getenv("P11FAULT_SO"), false, "CKR_DEVICE_ERROR");
}

static void test_load_no_token_can_be_read(void **state)
{
    struct token_fixture *fixture = *state;

    token_fixture_write(fixture, "ctl", "C_OpenSession rv e1\n");
    assert_failure(fixture, getenv("P11FAULT_SO"), false, "CKR_TOKEN_NOT_RECOGNIZED");
}

static void test_load_no_token(void **state)
{
    struct token_fixture *fixture = *state;

    token_fixture_write(fixture, "ctl", "removed\n");
    token_fixture_start(fixture, getenv("P11FAULT_SO"), 1, VERIFY_AUTO);
    assert_int_equal(fixture->worker.token_count, 0);
    assert_int_equal(fixture->worker.key_count, 0);
}

static void test_load_module_crashes(void **state)
{
    struct token_fixture *fixture = *state;
    const struct worker_load load = {.path = wire_span_from_text(getenv("BAD_MODULE_CRASHES")),
                                     .threads = 1};

    token_fixture_load(fixture, &load);
    assert_false(worker_process_receive(&fixture->worker));
    assert_true(worker_process_wait(&fixture->worker) != 0);
}

/* LOAD with certificates for both keys; @swapped: each for the other one. */
static void load_with_certs(struct token_fixture *fixture, const char *key_uri, const char *rsa_uri)
{
    static uint8_t key_der[4096];
    static struct worker_load load;
    struct wire_span file = token_fixture_read(fixture, "key.der");
    struct wire_span key_cert = {memcpy(key_der, file.data, file.len), file.len};
    struct wire_span rsa_cert = token_fixture_read(fixture, "rsa.der");

    load = (struct worker_load){
        .path = wire_span_from_text(builder_module()), .threads = 1, .cert_count = 2};
    load.certs[0] = (struct worker_cert){wire_span_from_text(key_uri), key_cert};
    load.certs[1] = (struct worker_cert){wire_span_from_text(rsa_uri), rsa_cert};
    token_fixture_load(fixture, &load);
    worker_process_read_inventory(&fixture->worker);
}

static void test_load_certificates_from_files(void **state)
{
    struct token_fixture *fixture = *state;

    load_with_certs(fixture, "pkcs11:token=demo;id=%01", "pkcs11:token=demo;object=rsa");
    assert_int_equal(fixture->worker.key_count, 2);
    token_fixture_login(fixture);
    assert_int_equal(fixture->worker.key_count, 2);
    assert_int_equal(token_fixture_key(fixture, "key")->cert_count, 1);
    assert_int_equal(token_fixture_key(fixture, "rsa")->cert_count, 1);
    assert_int_equal(worker_process_sign(&fixture->worker, token_fixture_key(fixture, "key")->key,
                                         SCHEME_ECDSA_SHA256, digest_for(SCHEME_ECDSA_SHA256), NULL)
                         ->result,
                     WORKER_OK);
}

static void test_load_certificates_of_other_keys(void **state)
{
    struct token_fixture *fixture = *state;

    load_with_certs(fixture, "pkcs11:token=demo;object=rsa", "pkcs11:token=demo;object=key");
    token_fixture_login(fixture);
    /* "rsa" tells its own public key; "key" does not, and an RSA certificate cannot be its. */
    assert_int_equal(fixture->worker.key_count, 1);
    assert_int_equal(token_fixture_key(fixture, "rsa")->cert_count, 0);
    assert_non_null(strstr(worker_process_stderr(&fixture->worker), "is of another key"));
}

static void test_load_certificates_of_other_token(void **state)
{
    struct token_fixture *fixture = *state;

    load_with_certs(fixture, "pkcs11:token=other;object=key", "pkcs11:token=other;object=rsa");
    assert_int_equal(fixture->worker.key_count, 0);
    token_fixture_login(fixture);
    assert_int_equal(fixture->worker.key_count, 1);
}

static void test_load_certificate_malformed(void **state)
{
    struct token_fixture *fixture = *state;
    static struct worker_load load;

    load = (struct worker_load){
        .path = wire_span_from_text(builder_module()), .threads = 1, .cert_count = 1};
    load.certs[0] = (struct worker_cert){WIRE_SPAN_LITERAL("pkcs11:object=key"),
                                         WIRE_SPAN_LITERAL("not a certificate")};
    token_fixture_load(fixture, &load);
    worker_process_read_inventory(&fixture->worker);
    assert_non_null(strstr(worker_process_stderr(&fixture->worker), "pkcs11:object=key"));
}

static void assert_ends(struct token_fixture *fixture, struct wire_span packet)
{
    const struct wire_writer writer = {.data = (uint8_t *)(uintptr_t)packet.data,
                                       .len = packet.len};

    worker_process_send(&fixture->worker, &writer, -1);
    assert_false(worker_process_receive(&fixture->worker));
    int status = worker_process_wait(&fixture->worker);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

static void test_malformed_messages_end_the_worker(void **state)
{
    static const struct wire_span packets[] = {
        WIRE_SPAN_LITERAL("x"),
        WIRE_SPAN_LITERAL("\0\0\0\1\x04"),     /* SIGN without a body */
        WIRE_SPAN_LITERAL("\0\0\0\1\x01"),     /* LOAD a second time */
        WIRE_SPAN_LITERAL("\0\0\0\1\xff"),     /* no such type */
        WIRE_SPAN_LITERAL("\0\0\0\2\x05"),     /* a wrong length */
        WIRE_SPAN_LITERAL("\0\0\0\2\x03\x00"), /* LOGOUT cut short */
    };
    struct token_fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
        token_fixture_start(fixture, builder_module(), 2, VERIFY_AUTO);
        assert_ends(fixture, packets[i]);
    }
}

/* A registry of our own: $XDG_CONFIG_HOME/pkcs11 is the user's, and replaces nothing of the system.
 */
static void test_discover_lists_modules(void **state)
{
    struct token_fixture *fixture = *state;
    _cleanup_(cleanup_wire_writer) struct wire_writer writer;
    const char *env[] = {fixture->env[0], NULL};
    struct worker_module module;
    bool found = false;

    if (fixture->worker.packet)
        (void)worker_process_stop(&fixture->worker);
    worker_process_start(&fixture->worker, env);
    wire_writer_init(&writer, WIRE_FRAME_MAX);
    assert_int_equal(worker_empty_encode(&writer, WORKER_DISCOVER), 0);
    worker_process_send(&fixture->worker, &writer, -1);
    while (worker_process_receive(&fixture->worker) &&
           fixture->worker.frame.type == WORKER_MODULE) {
        assert_int_equal(worker_module_parse(fixture->worker.frame.body, &module), 0);
        assert_int_equal(module.path.data[0], '/');
        assert_null(memmem(module.path.data, module.path.len, "p11-kit", 7));
        found = found || memmem(module.path.data, module.path.len, "softhsm", 7);
    }
    assert_int_equal(fixture->worker.frame.type, WORKER_DISCOVER_END);
    assert_int_equal(worker_process_wait(&fixture->worker), 0);
    if (access("/usr/share/p11-kit/modules/softhsm2.module", R_OK) == 0)
        assert_true(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load_missing_file),
        cmocka_unit_test(test_load_directory),
        cmocka_unit_test(test_load_device),
        cmocka_unit_test(test_load_text_file),
        cmocka_unit_test(test_load_empty_file),
        cmocka_unit_test(test_load_wrong_architecture),
        cmocka_unit_test(test_load_no_function_list),
        cmocka_unit_test(test_load_initialize_fails),
        cmocka_unit_test(test_load_slot_list_fails),
        cmocka_unit_test(test_load_no_token_can_be_read),
        cmocka_unit_test(test_load_no_token),
        cmocka_unit_test(test_load_module_crashes),
        cmocka_unit_test(test_load_certificates_from_files),
        cmocka_unit_test(test_load_certificates_of_other_keys),
        cmocka_unit_test(test_load_certificates_of_other_token),
        cmocka_unit_test(test_load_certificate_malformed),
        cmocka_unit_test(test_malformed_messages_end_the_worker),
        cmocka_unit_test(test_discover_lists_modules),
    };

    if (!builder_module())
        return 77;
    return cmocka_run_group_tests_name("token-load", tests, group_setup, group_teardown);
}
