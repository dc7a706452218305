/* SPDX-License-Identifier: Apache-2.0 */
/* The provider in a program that lives: forks, threads, an agent that goes and comes, unloading,
 * and ten thousand signatures. */
#include <dirent.h>
#include <openssl/err.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>

#include "client/lib/mtls-agent.h"
#include "tests/unit/provider_fixture.h"

#define THREADS 4
#define SIGNATURES_PER_THREAD 50
#define SIGNATURES 10000
#define RESIDENT_SLACK_KIB 512 /* the allocator's own */

static bool sign_once(const struct fixture *fixture, int key, EVP_PKEY *pkey)
{
    struct wire_span content = fixture_certificate_verify(130);
    EVP_MD_CTX *ctx = fixture_sign_init(fixture, key, pkey);
    unsigned char signature[512];
    size_t len = sizeof(signature);
    bool is_valid = ctx && EVP_DigestSign(ctx, signature, &len, content.data, content.len) == 1 &&
                    fixture_is_signature(fixture, key, content, signature, len);

    EVP_MD_CTX_free(ctx);
    return is_valid;
}

static void assert_sign_fails(const struct fixture *fixture, EVP_PKEY *pkey, int reason)
{
    struct wire_span content = fixture_certificate_verify(130);
    EVP_MD_CTX *ctx = fixture_sign_init(fixture, FIXTURE_P256, pkey);
    unsigned char signature[512];
    size_t len = sizeof(signature);

    assert_true(EVP_DigestSign(ctx, signature, &len, content.data, content.len) <= 0);
    fixture_assert_error(reason);
    EVP_MD_CTX_free(ctx);
}

/* The child's verdict is its exit status: it must not run the test's own clean-up. */
static int sign_in_child(const struct fixture *fixture, EVP_PKEY *pkey)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0)
        _exit(sign_once(fixture, FIXTURE_P256, pkey) && sign_once(fixture, FIXTURE_P256, pkey) ? 0
                                                                                               : 1);
    (void)waitpid(pid, &status, 0);
    return status;
}

static void test_fork_after_use_child_and_parent_sign(void **state)
{
    struct fixture *fixture = *state;
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_P256);

    assert_true(sign_once(fixture, FIXTURE_P256, pkey));
    assert_int_equal(sign_in_child(fixture, pkey), 0);
    assert_true(sign_once(fixture, FIXTURE_P256, pkey));
    EVP_PKEY_free(pkey);
}

static void test_fork_between_init_and_sign(void **state)
{
    struct fixture *fixture = *state;
    struct wire_span content = fixture_certificate_verify(130);
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_P256);
    EVP_MD_CTX *ctx = fixture_sign_init(fixture, FIXTURE_P256, pkey);
    unsigned char signature[512];
    size_t len = sizeof(signature);
    int status = -1;

    pid_t pid = fork();
    int signed_here = EVP_DigestSign(ctx, signature, &len, content.data, content.len);
    bool is_valid =
        signed_here == 1 && fixture_is_signature(fixture, FIXTURE_P256, content, signature, len);
    if (pid == 0)
        _exit(is_valid ? 0 : 1);
    (void)waitpid(pid, &status, 0);
    assert_true(is_valid);
    assert_int_equal(status, 0);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
}

struct thread_work {
    const struct fixture *fixture;
    EVP_PKEY *pkey;
    int key;
    size_t valid;
};

static void *sign_in_thread(void *arg)
{
    struct thread_work *work = arg;

    for (size_t i = 0; i < SIGNATURES_PER_THREAD; i++)
        work->valid += sign_once(work->fixture, work->key, work->pkey);
    return NULL;
}

static void *fork_in_thread(void *arg)
{
    struct thread_work *work = arg;

    work->valid = sign_in_child(work->fixture, work->pkey) == 0;
    return NULL;
}

static void test_threads_sign_with_one_key(void **state)
{
    struct fixture *fixture = *state;
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_P256);
    struct thread_work work[THREADS];
    pthread_t threads[THREADS];

    for (size_t i = 0; i < THREADS; i++) {
        work[i] = (struct thread_work){fixture, pkey, FIXTURE_P256, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, sign_in_thread, &work[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
        assert_int_equal(work[i].valid, SIGNATURES_PER_THREAD);
    }
    EVP_PKEY_free(pkey);
}

static void test_fork_in_a_thread(void **state)
{
    struct fixture *fixture = *state;
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_P256);
    struct thread_work work = {fixture, pkey, FIXTURE_P256, 0};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, fork_in_thread, &work), 0);
    (void)pthread_join(thread, NULL);
    assert_int_equal(work.valid, 1);
    EVP_PKEY_free(pkey);
}

static void test_agent_restarts_between_init_and_sign(void **state)
{
    struct fixture *fixture = *state;
    struct wire_span content = fixture_certificate_verify(130);
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_P256);
    unsigned char signature[512];
    size_t len = sizeof(signature);

    assert_true(sign_once(fixture, FIXTURE_P256, pkey));
    EVP_MD_CTX *ctx = fixture_sign_init(fixture, FIXTURE_P256, pkey);
    fixture_start_agent(fixture, NULL);
    assert_int_equal(EVP_DigestSign(ctx, signature, &len, content.data, content.len), 1);
    assert_true(fixture_is_signature(fixture, FIXTURE_P256, content, signature, len));
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
}

static void test_agent_absent_is_an_error_and_its_return_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_P256);

    fixture_stop_agent(fixture);
    assert_sign_fails(fixture, pkey, MTLS_AGENT_E_NO_AGENT);
    fixture_start_agent(fixture, NULL);
    assert_true(sign_once(fixture, FIXTURE_P256, pkey));
    EVP_PKEY_free(pkey);
}

static void test_misbehaving_agent_is_an_error(void **state)
{
    static const struct {
        const char *options[3];
        int reason;
    } rows[] = {
        {{"--drop-sign", NULL}, MTLS_AGENT_E_CONNECTION},
        {{"--garbage", NULL}, MTLS_AGENT_E_PROTOCOL},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        fixture_start_agent(fixture, rows[i].options);
        EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_P256);
        assert_sign_fails(fixture, pkey, rows[i].reason);
        EVP_PKEY_free(pkey);
    }
    fixture_start_agent(fixture, NULL);
}

static void test_key_outlives_unloading_of_the_provider(void **state)
{
    struct fixture *fixture = *state;
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_P256);

    assert_int_equal(OSSL_PROVIDER_unload(fixture->provider), 1);
    fixture->provider = NULL;
    (void)sign_once(fixture, FIXTURE_P256, pkey); /* either answer, but no crash */
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    fixture->provider = OSSL_PROVIDER_load(fixture->libctx, "mtls-agent");
    assert_non_null(fixture->provider);
    pkey = fixture_load(fixture, FIXTURE_P256);
    assert_true(sign_once(fixture, FIXTURE_P256, pkey));
    EVP_PKEY_free(pkey);
}

static void test_module_is_loaded_and_unloaded_many_times(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < 20; i++) {
        OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
        struct fixture other = *fixture;
        assert_true(OSSL_PROVIDER_set_default_search_path(libctx, getenv("PROVIDER_DIR")));
        OSSL_PROVIDER *default_provider = OSSL_PROVIDER_load(libctx, "default");
        OSSL_PROVIDER *provider = OSSL_PROVIDER_load(libctx, "mtls-agent");
        assert_non_null(provider);
        other.libctx = libctx;
        EVP_PKEY *pkey = fixture_load(&other, FIXTURE_P256);
        assert_true(sign_once(&other, FIXTURE_P256, pkey));
        EVP_PKEY_free(pkey);
        assert_int_equal(OSSL_PROVIDER_unload(provider), 1);
        assert_int_equal(OSSL_PROVIDER_unload(default_provider), 1);
        OSSL_LIB_CTX_free(libctx);
    }
}

static size_t open_descriptors(void)
{
    _cleanup_closedir_ DIR *dir = opendir("/proc/self/fd");
    size_t count = 0;

    while (dir && readdir(dir))
        count++;
    return count;
}

static long resident_kib(void)
{
    _cleanup_fclose_ FILE *file = fopen("/proc/self/statm", "re");
    long pages = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void sign_many(const struct fixture *fixture, EVP_PKEY *pkey, int count)
{
    struct wire_span content = fixture_certificate_verify(130);
    unsigned char signature[512];

    for (int i = 0; i < count; i++) {
        EVP_MD_CTX *ctx = fixture_sign_init(fixture, FIXTURE_P256, pkey);
        size_t len = sizeof(signature);
        assert_int_equal(EVP_DigestSign(ctx, signature, &len, content.data, content.len), 1);
        EVP_MD_CTX_free(ctx);
    }
}

static void test_ten_thousand_signatures_keep_memory_and_descriptors_flat(void **state)
{
    struct fixture *fixture = *state;
    EVP_PKEY *pkey = fixture_load(fixture, FIXTURE_P256);

    sign_many(fixture, pkey, SIGNATURES / 10);
    size_t descriptors = open_descriptors();
    long resident = resident_kib();
    sign_many(fixture, pkey, SIGNATURES);
    assert_int_equal(open_descriptors(), descriptors);
#ifndef __SANITIZE_ADDRESS__ /* keeps freed memory on purpose */
    assert_true(resident_kib() - resident < RESIDENT_SLACK_KIB);
#else
    (void)resident;
#endif
    EVP_PKEY_free(pkey);
}

static void test_a_thousand_loads_keep_memory_and_descriptors_flat(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < 100; i++)
        EVP_PKEY_free(fixture_load(fixture, i % FIXTURE_KEY_COUNT));
    size_t descriptors = open_descriptors();
    long resident = resident_kib();
    for (int i = 0; i < 1000; i++)
        EVP_PKEY_free(fixture_load(fixture, i % FIXTURE_KEY_COUNT));
    assert_int_equal(open_descriptors(), descriptors);
#ifndef __SANITIZE_ADDRESS__
    assert_true(resident_kib() - resident < RESIDENT_SLACK_KIB);
#else
    (void)resident;
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fork_after_use_child_and_parent_sign),
        cmocka_unit_test(test_fork_between_init_and_sign),
        cmocka_unit_test(test_threads_sign_with_one_key),
        cmocka_unit_test(test_fork_in_a_thread),
        cmocka_unit_test(test_agent_restarts_between_init_and_sign),
        cmocka_unit_test(test_agent_absent_is_an_error_and_its_return_is_noticed),
        cmocka_unit_test(test_misbehaving_agent_is_an_error),
        cmocka_unit_test(test_key_outlives_unloading_of_the_provider),
        cmocka_unit_test(test_module_is_loaded_and_unloaded_many_times),
        cmocka_unit_test(test_ten_thousand_signatures_keep_memory_and_descriptors_flat),
        cmocka_unit_test(test_a_thousand_loads_keep_memory_and_descriptors_flat),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
