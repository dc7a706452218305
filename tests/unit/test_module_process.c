/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built module in a program that lives: forks, threads, unloading, exits at bad moments, an
 * agent that goes and comes, twenty-four programs at once. Called with the name of a role, this
 * file is such a program itself.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "module_fixture.h"

#define THREADS_MAX 16
#define SIGNATURES_PER_THREAD 40
#define PROGRAMS 24
#define FINALIZATIONS 60
#define FORKS 12
#define PATIENCE_S 60u
#define SIGNATURES 5000u
#define LOOKS 100000u
#define LIVES 1000u
#define RESIDENT_SLACK_KIB 1024 /* the allocator's own */
#define OTHER_UID 65534u

static char *self; /* this program's file */

/* --- children --- */

/* The child's verdict is its exit status: it must not run the test's own clean-up. */
static int child_verdict(const struct fixture *fixture)
{
    CK_FUNCTION_LIST *p11 = fixture->p11;
    CK_ULONG count = 0;

    (void)alarm(PATIENCE_S);
    if (p11->C_GetSlotList(CK_TRUE, NULL, &count) != CKR_CRYPTOKI_NOT_INITIALIZED)
        return 1;
    if (p11->C_Initialize(NULL) != CKR_OK)
        return 2;
    if (fixture_sign_once(fixture) != CKR_OK || fixture_sign_once(fixture) != CKR_OK)
        return 3;
    return p11->C_Finalize(NULL) == CKR_OK ? 0 : 4;
}

static pid_t start_child(const struct fixture *fixture)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(child_verdict(fixture));
    return pid;
}

static int wait_for(pid_t pid)
{
    int status = -1;

    return waitpid(pid, &status, 0) == pid ? status : -1;
}

static pid_t start_program(const char *role)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)execl(self, self, role, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void test_fork_after_use(void **state)
{
    const struct fixture *fixture = *state;
    CK_SESSION_HANDLE session = fixture_open(fixture, 0);

    assert_int_equal(fixture_sign(fixture, session), CKR_OK);
    assert_int_equal(wait_for(start_child(fixture)), 0);
    assert_int_equal(fixture_sign(fixture, session), CKR_OK);
    /* the child had a connection of its own, the parent still has its first one */
    assert_int_equal(fixture_log_count(fixture, "hello"), 2);
}

static void test_fork_of_a_fork(void **state)
{
    const struct fixture *fixture = *state;

    assert_int_equal(fixture_sign_once(fixture), CKR_OK);
    pid_t pid = fork();
    if (pid == 0)
        _exit(child_verdict(fixture) || wait_for(start_child(fixture)));
    assert_int_equal(wait_for(pid), 0);
}

struct worker {
    const struct fixture *fixture;
    pthread_t thread;
    CK_SESSION_HANDLE session; /* CK_INVALID_HANDLE: one for each signature */
    unsigned int rounds;       /* 0: until `is_over` */
    atomic_bool *is_over;
    bool (*is_fine)(CK_RV rv);
    unsigned int count; /* of good signatures */
    CK_RV bad;          /* the first answer that was not fine */
};

static void *worker_run(void *argument)
{
    struct worker *worker = argument;

    for (unsigned int i = 0; worker->rounds ? i < worker->rounds : !*worker->is_over; i++) {
        CK_RV rv = worker->session != CK_INVALID_HANDLE
                       ? fixture_sign(worker->fixture, worker->session)
                       : fixture_sign_once(worker->fixture);
        if (rv == CKR_OK)
            worker->count++;
        else if (worker->bad == CKR_OK && !(worker->is_fine && worker->is_fine(rv)))
            worker->bad = rv;
    }
    return NULL;
}

static void start_workers(struct worker *workers, size_t count, struct worker like)
{
    for (size_t i = 0; i < count; i++) {
        workers[i] = like;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]), 0);
    }
}

static void join_workers(struct worker *workers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)pthread_join(workers[i].thread, NULL);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(workers[i].bad, CKR_OK);
}

static void test_fork_while_threads_are_in_calls(void **state)
{
    const struct fixture *fixture = *state;
    struct worker workers[4];
    atomic_bool is_over = false;

    start_workers(workers, 4, (struct worker){.fixture = fixture, .is_over = &is_over});
    int failed = 0;
    for (int i = 0; i < FORKS; i++)
        failed |= wait_for(start_child(fixture));
    is_over = true;
    join_workers(workers, 4);
    assert_int_equal(failed, 0);
    for (size_t i = 0; i < 4; i++)
        assert_true(workers[i].count > 0);
}

static void *fork_in_thread(void *argument)
{
    static int status;

    status = wait_for(start_child(argument));
    return &status;
}

static void test_fork_from_a_thread(void **state)
{
    pthread_t thread;
    void *status = NULL;

    assert_int_equal(fixture_sign_once(*state), CKR_OK);
    assert_int_equal(pthread_create(&thread, NULL, fork_in_thread, *state), 0);
    assert_int_equal(pthread_join(thread, &status), 0);
    assert_int_equal(*(int *)status, 0);
    assert_int_equal(fixture_sign_once(*state), CKR_OK);
}

static void test_exec_passes_no_descriptor_on(void **state)
{
    CK_SLOT_ID slot = 0;

    assert_int_equal(fixture_sign_once(*state), CKR_OK);
    assert_int_equal(
        ((struct fixture *)*state)->p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL),
        CKR_NO_EVENT);
    assert_int_equal(wait_for(start_program("descriptors")), 0);
}

/* --- threads --- */

static void test_threads_with_sessions_of_their_own(void **state)
{
    static const size_t counts[] = {2, THREADS_MAX};

    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        struct worker workers[THREADS_MAX];
        start_workers(workers, counts[i],
                      (struct worker){.fixture = *state, .rounds = SIGNATURES_PER_THREAD});
        join_workers(workers, counts[i]);
        for (size_t j = 0; j < counts[i]; j++)
            assert_int_equal(workers[j].count, SIGNATURES_PER_THREAD);
    }
}

/* Two threads in one session step on each other's operations: an answer, not a crash. */
static bool is_fine_in_one_session(CK_RV rv)
{
    return rv == CKR_OPERATION_ACTIVE || rv == CKR_OPERATION_NOT_INITIALIZED ||
           rv == CKR_OBJECT_HANDLE_INVALID;
}

static void test_threads_in_one_session(void **state)
{
    static const size_t counts[] = {2, THREADS_MAX};

    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        struct worker workers[THREADS_MAX];
        start_workers(workers, counts[i],
                      (struct worker){.fixture = *state,
                                      .session = fixture_open(*state, 0),
                                      .rounds = SIGNATURES_PER_THREAD,
                                      .is_fine = is_fine_in_one_session});
        join_workers(workers, counts[i]);
    }
}

static bool is_fine_while_it_ends(CK_RV rv)
{
    return rv == CKR_CRYPTOKI_NOT_INITIALIZED || rv == CKR_SESSION_HANDLE_INVALID;
}

static void test_finalize_while_threads_sign(void **state)
{
    const struct fixture *fixture = *state;
    struct worker workers[4];
    atomic_bool is_over = false;
    CK_RV rv = CKR_OK;

    start_workers(
        workers, 4,
        (struct worker){.fixture = fixture, .is_over = &is_over, .is_fine = is_fine_while_it_ends});
    for (int i = 0; i < FINALIZATIONS && rv == CKR_OK; i++) {
        rv = fixture->p11->C_Finalize(NULL);
        if (rv == CKR_OK)
            rv = fixture->p11->C_Initialize(NULL);
        for (int j = 0; j < i; j++)
            (void)sched_yield();
    }
    is_over = true;
    join_workers(workers, 4);
    assert_int_equal(rv, CKR_OK);
    assert_int_equal(fixture_sign_once(fixture), CKR_OK);
}

static void test_dlclose_while_a_thread_signs(void **state)
{
    const struct fixture *fixture = *state;
    pid_t pid = fork();

    if (pid == 0) {
        struct worker workers[2];
        atomic_bool is_over = false;
        (void)alarm(PATIENCE_S);
        if (fixture->p11->C_Initialize(NULL) != CKR_OK)
            _exit(1);
        start_workers(workers, 2, (struct worker){.fixture = fixture, .is_over = &is_over});
        for (int i = 0; i < 3; i++)
            (void)dlclose(fixture->file);
        for (int i = 0; i < 20; i++)
            if (fixture_sign_once(fixture) != CKR_OK)
                _exit(2);
        is_over = true;
        for (int i = 0; i < 2; i++)
            (void)pthread_join(workers[i].thread, NULL);
        _exit(workers[0].bad || workers[1].bad ? 3 : 0);
    }
    assert_int_equal(wait_for(pid), 0);
}

static void test_exit_at_any_moment(void **state)
{
    (void)state;
    assert_int_equal(wait_for(start_program("exit-initialized")), 0);
    assert_int_equal(wait_for(start_program("exit-with-handlers")), 0);
    assert_int_equal(wait_for(start_program("exit-with-threads")), 0);
}

/* --- the agent --- */

static void test_agent_restarts_between_two_signatures(void **state)
{
    struct fixture *fixture = *state;
    CK_SESSION_HANDLE session = fixture_open(fixture, 0);

    assert_int_equal(fixture_sign(fixture, session), CKR_OK);
    fixture_start_agent(fixture, NULL);
    assert_int_equal(fixture_sign(fixture, session), CKR_OK);
}

static void test_agent_goes_within_a_signature(void **state)
{
    struct fixture *fixture = *state;

    fixture_start_agent(fixture, (const char *const[]){"--allow-digest", "--drop-sign", NULL});
    CK_SESSION_HANDLE session = fixture_open(fixture, 0);
    assert_int_equal(fixture_sign(fixture, session), CKR_DEVICE_ERROR);
    fixture_start_agent(fixture, NULL);
    assert_int_equal(fixture_sign(fixture, session), CKR_OK);
}

static void test_agent_comes_after_the_program(void **state)
{
    struct fixture *fixture = *state;
    CK_FUNCTION_LIST *p11 = fixture->p11;
    CK_SLOT_ID slots[4];
    CK_ULONG count = ARRAY_SIZE(slots);
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    fixture_stop_agent(fixture);
    assert_int_equal(p11->C_GetSlotList(CK_FALSE, slots, &count), CKR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(p11->C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL, &session),
                     CKR_TOKEN_NOT_PRESENT);
    fixture_start_agent(fixture, NULL);
    assert_int_equal(p11->C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL, &session),
                     CKR_OK);
    assert_int_equal(fixture_sign(fixture, session), CKR_OK);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, path, strlen(path) + 1);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(path, 0777) < 0 || listen(fd, 16) < 0)
        return close_fd(fd);
    return fd;
}

/* In the child: another user listens. Its verdict: nobody sent a byte. */
static int thief_verdict(const struct fixture *fixture, int ready_fd)
{
    char byte = 0;

    (void)alarm(PATIENCE_S);
    if (setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
        return 1;
    int fd = listen_at(fixture->socket);
    if (fd < 0 || write(ready_fd, "!", 1) != 1)
        return 2;
    for (int i = 0; i < 2; i++) {
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0 || read(client, &byte, 1) > 0)
            return 3;
        (void)close(client);
    }
    return 0;
}

static void test_stolen_socket_gets_no_pin(void **state)
{
    struct fixture *fixture = *state;
    int ready[2];
    char byte = 0;

    if (geteuid() != 0)
        skip();
    fixture_start_agent(fixture, (const char *const[]){"--locked", NULL});
    CK_SESSION_HANDLE session = fixture_open(fixture, 0);
    fixture_stop_agent(fixture);
    assert_int_equal(chmod(fixture->dir, 0777), 0);
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(thief_verdict(fixture, ready[1]));
    assert_int_equal(read(ready[0], &byte, 1), 1);
    CK_RV signed_ = fixture_sign(fixture, session);
    CK_RV logged_in = fixture->p11->C_Login(session, CKU_USER, (unsigned char[]){"1234"}, 4);
    (void)close(ready[0]);
    (void)close(ready[1]);
    int status = wait_for(pid);
    (void)unlink(fixture->socket);
    assert_int_equal(chmod(fixture->dir, 0700), 0);
    assert_int_equal(signed_, CKR_DEVICE_ERROR);
    assert_int_equal(logged_in, CKR_DEVICE_ERROR);
    assert_int_equal(status, 0);
}

/* --- many, and long --- */

static void test_programs_in_parallel(void **state)
{
    pid_t pids[PROGRAMS];

    (void)state;
    for (size_t i = 0; i < PROGRAMS; i++)
        pids[i] = start_program("sign");
    int failed = 0;
    for (size_t i = 0; i < PROGRAMS; i++)
        failed += wait_for(pids[i]) != 0;
    assert_int_equal(failed, 0);
}

static long resident_kib(void)
{
    _cleanup_fclose_ FILE *file = fopen("/proc/self/statm", "re");
    long pages = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static size_t count_descriptors(bool (*is_counted)(const char *link))
{
    _cleanup_closedir_ DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry = NULL;
    size_t count = 0;

    while (dir && (entry = readdir(dir))) {
        char link[256] = "";
        if (readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1) > 0)
            count += !is_counted || is_counted(link);
    }
    return count;
}

static void live(const struct fixture *fixture, unsigned int signatures, unsigned int looks,
                 unsigned int lives)
{
    CK_SESSION_HANDLE session = fixture_open(fixture, 0);

    for (unsigned int i = 0; i < signatures; i++)
        assert_int_equal(fixture_sign(fixture, session), CKR_OK);
    for (unsigned int i = 0; i < looks; i++)
        (void)fixture_find(fixture, session, CKO_CERTIFICATE, FIXTURE_RSA);
    for (unsigned int i = 0; i < lives; i++) {
        assert_int_equal(fixture->p11->C_Finalize(NULL), CKR_OK);
        assert_int_equal(fixture->p11->C_Initialize(NULL), CKR_OK);
        session = fixture_open(fixture, 0);
        (void)fixture_find(fixture, session, CKO_CERTIFICATE, FIXTURE_RSA);
    }
}

static void test_a_long_life_leaks_nothing(void **state)
{
    live(*state, 200, 200, 20);
    long before_kib = resident_kib();
    size_t descriptors = count_descriptors(NULL);
    live(*state, SIGNATURES, LOOKS, LIVES);
    assert_int_equal(count_descriptors(NULL), descriptors);
#ifndef __SANITIZE_ADDRESS__ /* keeps freed memory on purpose */
    assert_true(resident_kib() - before_kib < RESIDENT_SLACK_KIB);
#else
    (void)before_kib;
#endif
}

/* --- roles --- */

static CK_FUNCTION_LIST *p11_of_role;

static CK_FUNCTION_LIST *load_for_role(void)
{
    CK_FUNCTION_LIST *p11 = NULL;
    void *file = dlopen(getenv("MODULE_SO"), RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = file ? (CK_C_GetFunctionList)dlsym(file, "C_GetFunctionList") : NULL;

    (void)alarm(PATIENCE_S);
    if (!get || get(&p11) != CKR_OK || p11->C_Initialize(NULL) != CKR_OK)
        _exit(10);
    return p11;
}

static CK_SESSION_HANDLE open_for_role(CK_FUNCTION_LIST *p11)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    if (p11->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session) != CKR_OK)
        _exit(11);
    return session;
}

static CK_RV sign_for_role(CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session)
{
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_KEY_TYPE type = CKK_EC;
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof(class)},
                               {CKA_KEY_TYPE, &type, sizeof(type)}};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_ULONG count = 0;
    unsigned char digest[32] = {0};
    unsigned char signature[64];
    CK_ULONG len = sizeof(signature);
    CK_RV rv = p11->C_FindObjectsInit(session, template, 2);

    if (rv == CKR_OK)
        rv = p11->C_FindObjects(session, &key, 1, &count);
    if (rv == CKR_OK)
        rv = p11->C_FindObjectsFinal(session);
    if (rv == CKR_OK)
        rv = p11->C_SignInit(session, &mechanism, key);
    return rv == CKR_OK ? p11->C_Sign(session, digest, sizeof(digest), signature, &len) : rv;
}

static int role_sign(void)
{
    CK_FUNCTION_LIST *p11 = load_for_role();
    CK_SESSION_HANDLE session = open_for_role(p11);

    for (int i = 0; i < 20; i++)
        if (sign_for_role(p11, session) != CKR_OK)
            return 1;
    return p11->C_Finalize(NULL) == CKR_OK ? 0 : 2;
}

static bool is_socket_or_event(const char *link)
{
    return strncmp(link, "socket:", 7) == 0 || strstr(link, "eventfd") != NULL;
}

static int role_descriptors(void)
{
    return count_descriptors(is_socket_or_event) == 0 ? 0 : 1;
}

static int role_exit_initialized(void)
{
    CK_FUNCTION_LIST *p11 = load_for_role();

    return sign_for_role(p11, open_for_role(p11)) == CKR_OK ? 0 : 1;
}

static void use_at_exit(void)
{
    if (!p11_of_role)
        return;
    CK_RV rv = sign_for_role(p11_of_role, open_for_role(p11_of_role));
    if (rv != CKR_OK || p11_of_role->C_Finalize(NULL) != CKR_OK ||
        p11_of_role->C_Finalize(NULL) != CKR_CRYPTOKI_NOT_INITIALIZED)
        _exit(1);
    p11_of_role = NULL;
}

/* One handler was there before the module, the other comes after it; and libcrypto is in use. */
static int role_exit_with_handlers(void)
{
    CK_MECHANISM sha256 = {CKM_SHA256, NULL, 0};

    (void)atexit(use_at_exit);
    p11_of_role = load_for_role();
    if (p11_of_role->C_DigestInit(open_for_role(p11_of_role), &sha256) != CKR_OK)
        return 2;
    return 0;
}

static void *role_wait(void *argument)
{
    CK_SLOT_ID slot = 0;

    (void)((CK_FUNCTION_LIST *)argument)->C_WaitForSlotEvent(0, &slot, NULL);
    return NULL;
}

static void *role_sign_for_ever(void *argument)
{
    CK_FUNCTION_LIST *p11 = argument;
    CK_SESSION_HANDLE session = open_for_role(p11);

    while (sign_for_role(p11, session) == CKR_OK)
        continue;
    return NULL;
}

static int role_exit_with_threads(void)
{
    CK_FUNCTION_LIST *p11 = load_for_role();
    pthread_t thread;

    if (pthread_create(&thread, NULL, role_wait, p11) ||
        pthread_create(&thread, NULL, role_sign_for_ever, p11) ||
        pthread_create(&thread, NULL, role_sign_for_ever, p11))
        return 1;
    CK_SESSION_HANDLE session = open_for_role(p11);
    for (int i = 0; i < 20; i++)
        if (sign_for_role(p11, session) != CKR_OK)
            return 2;
    return 0;
}

static const struct {
    const char *name;
    int (*run)(void);
} roles[] = {
    {"sign", role_sign},
    {"descriptors", role_descriptors},
    {"exit-initialized", role_exit_initialized},
    {"exit-with-handlers", role_exit_with_handlers},
    {"exit-with-threads", role_exit_with_threads},
};

int main(int argc, char **argv)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_begin, fixture_end)
    const struct CMUnitTest tests[] = {
        TEST(test_fork_after_use),
        TEST(test_fork_of_a_fork),
        TEST(test_fork_while_threads_are_in_calls),
        TEST(test_fork_from_a_thread),
        TEST(test_exec_passes_no_descriptor_on),
        TEST(test_threads_with_sessions_of_their_own),
        TEST(test_threads_in_one_session),
        TEST(test_finalize_while_threads_sign),
        TEST(test_dlclose_while_a_thread_signs),
        TEST(test_exit_at_any_moment),
        TEST(test_agent_restarts_between_two_signatures),
        TEST(test_agent_goes_within_a_signature),
        TEST(test_agent_comes_after_the_program),
        TEST(test_stolen_socket_gets_no_pin),
        TEST(test_programs_in_parallel),
        TEST(test_a_long_life_leaks_nothing),
    };

    for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(roles); i++)
        if (strcmp(argv[1], roles[i].name) == 0)
            exit(roles[i].run());
    self = argv[0];
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
