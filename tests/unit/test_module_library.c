/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module whole, in one process with its agent (module_seam.c): login, waiting for events, and a
 * fork at the worst moments. What happens at such a moment is made certain by stepping in between
 * the module and libc.
 */
#include "client/module/library.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "client/module/calls.h"
#include "common/clock.h"
#include "module_seam.h"
#include "unit.h"

#define PATIENCE_S 10u /* what takes longer has gone wrong */

/* Called in between; NULL: nothing. */
static void (*at_madvise)(void);
static void (*_Atomic at_poll)(void);

int __real_madvise(void *addr, size_t len, int advice);
int __wrap_madvise(void *addr, size_t len, int advice);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap___poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t size);

int __wrap_madvise(void *addr, size_t len, int advice)
{
    if (at_madvise)
        at_madvise();
    return __real_madvise(addr, len, advice);
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    void (*step)(void) = at_poll;

    if (step)
        step();
    return __real_poll(fds, count, timeout_ms);
}

/* What fortified headers make of poll() with some compilers (clang, glibc 2.41). */
int __wrap___poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t size)
{
    assert_true(count <= size / sizeof(*fds));
    return __wrap_poll(fds, count, timeout_ms);
}

static int setup(void **state)
{
    (void)state;
    (void)C_Finalize(NULL); /* what a failed test left */
    seam_reset();
    return C_Initialize(NULL) == CKR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    at_madvise = NULL;
    at_poll = NULL;
    (void)C_Finalize(NULL);
    return 0;
}

static CK_SESSION_HANDLE open_session(void)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    assert_int_equal(C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
    return session;
}

static void set_state(enum mtls_agent_key_state key_state)
{
    for (size_t i = 0; i < seam.key_count; i++)
        seam.keys[i].state = key_state;
}

/* From now on a look asks at once, and changes are heard of. */
static void subscribe(void)
{
    CK_SLOT_ID slot = 0;

    assert_int_equal(C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
    assert_int_equal(seam.subscriptions, 1);
}

static CK_RV login(CK_SESSION_HANDLE session, const char *pin)
{
    return C_Login(session, CKU_USER, (unsigned char *)(uintptr_t)pin, pin ? strlen(pin) : 0);
}

static CK_RV sign(CK_SESSION_HANDLE session)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof(class)};
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_ULONG count = 0;
    unsigned char digest[32] = {0};
    unsigned char signature[64];
    CK_ULONG len = sizeof(signature);
    CK_RV rv = C_FindObjectsInit(session, &template, 1);

    if (rv == CKR_OK)
        rv = C_FindObjects(session, &key, 1, &count);
    if (rv == CKR_OK)
        rv = C_FindObjectsFinal(session);
    if (rv == CKR_OK)
        rv = C_SignInit(session, &mechanism, key);
    if (rv == CKR_OK)
        rv = C_Sign(session, digest, sizeof(digest), signature, &len);
    return rv;
}

/* --- login --- */

static void test_login_of_a_ready_token_asks_nobody(void **state)
{
    CK_SESSION_HANDLE session = open_session();

    (void)state;
    assert_int_equal(login(session, "anything"), CKR_OK);
    assert_int_equal(login(session, "anything"), CKR_USER_ALREADY_LOGGED_IN);
    assert_int_equal(C_Logout(session), CKR_OK);
    assert_int_equal(C_Logout(session), CKR_USER_NOT_LOGGED_IN);
    assert_int_equal(login(session, NULL), CKR_OK);
    assert_int_equal(seam.unlocks, 0);
}

static void test_login_of_a_locked_token_takes_the_pin_to_the_agent(void **state)
{
    (void)state;
    set_state(MTLS_AGENT_KEY_LOCKED);
    CK_SESSION_HANDLE session = open_session();

    assert_int_equal(login(session, "1234"), CKR_OK);
    assert_int_equal(seam.unlocks, 1);
    assert_string_equal(seam.pin, "1234");
    assert_string_equal(seam.token,
                        "pkcs11:serial=%30%31%32%33;token=%63%61%72%64?module-name=%74%65%73%74");
}

static void test_login_with_pins_that_are_none(void **state)
{
    char too_long[257];

    (void)state;
    memset(too_long, '1', 256);
    too_long[256] = '\0';
    set_state(MTLS_AGENT_KEY_LOCKED);
    CK_SESSION_HANDLE session = open_session();

    assert_int_equal(login(session, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(login(session, ""), CKR_PIN_LEN_RANGE);
    assert_int_equal(login(session, too_long), CKR_PIN_LEN_RANGE);
    assert_int_equal(seam.unlocks, 0);
    assert_int_equal(login(session, too_long + 1), CKR_OK);
    assert_int_equal(strlen(seam.pin), 255);
}

static const struct {
    int code;
    CK_RV rv;
} unlock_rows[] = {
    {MTLS_AGENT_E_PIN, CKR_PIN_INCORRECT},
    {MTLS_AGENT_E_NO_KEY, CKR_DEVICE_REMOVED},
    {MTLS_AGENT_E_TOKEN_GONE, CKR_DEVICE_REMOVED},
    {MTLS_AGENT_E_NO_AGENT, CKR_DEVICE_ERROR},
    {MTLS_AGENT_E_TIMEOUT, CKR_FUNCTION_CANCELED},
    {MTLS_AGENT_E_AMBIGUOUS, CKR_FUNCTION_FAILED},
    {12345, CKR_FUNCTION_FAILED},
};

static void test_login_that_the_agent_refuses(void **state)
{
    (void)state;
    set_state(MTLS_AGENT_KEY_LOCKED);
    CK_SESSION_HANDLE session = open_session();

    for (size_t i = 0; i < ARRAY_SIZE(unlock_rows); i++) {
        CK_SESSION_INFO info;
        seam.unlock_code = unlock_rows[i].code;
        assert_int_equal(login(session, "1234"), unlock_rows[i].rv);
        assert_int_equal(C_GetSessionInfo(session, &info), CKR_OK);
        assert_int_equal(info.state, CKS_RO_PUBLIC_SESSION);
    }
}

/* The token may have been unlocked by somebody else, or by the login before. */
static void test_login_knows_that_the_token_is_not_locked_any_more(void **state)
{
    (void)state;
    set_state(MTLS_AGENT_KEY_LOCKED);
    CK_SESSION_HANDLE session = open_session();

    assert_int_equal(login(session, "1234"), CKR_OK);
    set_state(MTLS_AGENT_KEY_READY);
    seam.unlock_code = MTLS_AGENT_E_NO_KEY; /* none waits */
    assert_int_equal(C_Logout(session), CKR_OK);
    assert_int_equal(login(session, "1234"), CKR_OK);
    assert_int_equal(seam.unlocks, 1);
}

static void test_login_knows_that_the_token_was_locked_meanwhile(void **state)
{
    CK_SESSION_HANDLE session = open_session();

    (void)state;
    subscribe();
    assert_int_equal(login(session, "1234"), CKR_OK);
    set_state(MTLS_AGENT_KEY_LOCKED);
    seam_publish();
    assert_int_equal(login(session, "1234"), CKR_OK);
    assert_int_equal(seam.unlocks, 1);
}

/* Without a subscription nobody has told: the refused signature has. */
static void test_login_after_a_signature_that_wanted_it(void **state)
{
    CK_SESSION_HANDLE session = open_session();

    (void)state;
    assert_int_equal(login(session, "1234"), CKR_OK);
    set_state(MTLS_AGENT_KEY_LOCKED);
    seam.sign_code = MTLS_AGENT_E_LOCKED;
    assert_int_equal(sign(session), CKR_USER_NOT_LOGGED_IN);
    assert_int_equal(login(session, "1234"), CKR_OK);
    assert_int_equal(seam.unlocks, 1);
    seam.sign_code = 0;
    assert_int_equal(sign(session), CKR_OK);
}

static void test_login_of_others_than_the_user(void **state)
{
    CK_SESSION_HANDLE session = open_session();

    (void)state;
    assert_int_equal(C_Login(session, CKU_SO, NULL, 0), CKR_USER_TYPE_INVALID);
    assert_int_equal(C_Login(session, 77, NULL, 0), CKR_USER_TYPE_INVALID);
    assert_int_equal(C_Login(session, CKU_CONTEXT_SPECIFIC, NULL, 0),
                     CKR_OPERATION_NOT_INITIALIZED);
}

static void test_login_ends_with_the_last_session(void **state)
{
    CK_SESSION_HANDLE first = open_session();
    CK_SESSION_HANDLE second = open_session();
    CK_SESSION_INFO info;

    (void)state;
    assert_int_equal(login(first, NULL), CKR_OK);
    assert_int_equal(C_CloseSession(first), CKR_OK);
    assert_int_equal(C_GetSessionInfo(second, &info), CKR_OK);
    assert_int_equal(info.state, CKS_RO_USER_FUNCTIONS);
    assert_int_equal(C_CloseSession(second), CKR_OK);
    second = open_session();
    assert_int_equal(C_GetSessionInfo(second, &info), CKR_OK);
    assert_int_equal(info.state, CKS_RO_PUBLIC_SESSION);
}

/* --- looking --- */

static void test_looks_cost_nothing_while_nothing_changes(void **state)
{
    CK_SESSION_HANDLE session = open_session();

    (void)state;
    subscribe();
    unsigned int lists = seam.lists;
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(C_FindObjectsInit(session, NULL, 0), CKR_OK);
        assert_int_equal(C_FindObjectsFinal(session), CKR_OK);
    }
    assert_int_equal(seam.lists, lists);
    assert_int_equal(seam.subscriptions, 1);
}

static void test_token_that_goes_takes_its_sessions(void **state)
{
    CK_SESSION_HANDLE session = open_session();
    CK_SESSION_INFO info;
    CK_SLOT_ID slot = 99;

    (void)state;
    subscribe();
    set_state(MTLS_AGENT_KEY_ABSENT);
    seam_publish();
    assert_int_equal(C_GetSessionInfo(session, &info), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session),
                     CKR_TOKEN_NOT_PRESENT);
    assert_int_equal(C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_OK);
    assert_int_equal(slot, 0);
}

static void test_agent_that_ends_leaves_the_objects(void **state)
{
    CK_SESSION_HANDLE session = open_session();

    (void)state;
    subscribe();
    seam.subscribe_code = MTLS_AGENT_E_NO_AGENT;
    seam.list_code = MTLS_AGENT_E_NO_AGENT;
    seam_hang_up();
    assert_int_equal(sign(session), CKR_OK);
    seam.subscribe_code = 0;
    seam.list_code = 0;
    assert_int_equal(sign(session), CKR_OK);
    assert_int_equal(seam.subscriptions >= 3, 1);
}

/* An agent at the limit of its connections still has its list. */
static void test_list_does_not_need_the_subscription(void **state)
{
    CK_ULONG count = 0;

    (void)state;
    seam.list_code = MTLS_AGENT_E_NO_AGENT;
    assert_int_equal(C_GetSlotList(CK_TRUE, NULL, &count), CKR_OK);
    assert_int_equal(count, 0);
    seam.list_code = 0;
    seam.subscribe_code = MTLS_AGENT_E_BUSY;
    assert_int_equal(C_GetSlotList(CK_TRUE, NULL, &count), CKR_OK);
    assert_int_equal(count, 2);
    /* and it is not asked for one at each look */
    for (int i = 0; i < 100; i++)
        assert_int_equal(C_GetSlotList(CK_TRUE, NULL, &count), CKR_OK);
    assert_int_equal(seam.subscriptions, 1);
}

/* --- waiting for events --- */

struct waiter {
    pthread_t thread;
    CK_RV rv;
    CK_SLOT_ID slot;
    int done_fd;
};

static void *wait_for_event(void *argument)
{
    struct waiter *waiter = argument;

    waiter->rv = C_WaitForSlotEvent(0, &waiter->slot, NULL);
    (void)eventfd_write(waiter->done_fd, 1);
    return NULL;
}

static void waiter_start(struct waiter *waiter)
{
    *waiter = (struct waiter){.slot = 99, .done_fd = eventfd(0, EFD_CLOEXEC)};
    assert_int_equal(pthread_create(&waiter->thread, NULL, wait_for_event, waiter), 0);
}

static CK_RV waiter_end(struct waiter *waiter)
{
    struct pollfd done = {.fd = waiter->done_fd, .events = POLLIN};

    if (__real_poll(&done, 1, PATIENCE_S * 1000) != 1)
        fail_msg("the thread waits for ever");
    (void)pthread_join(waiter->thread, NULL);
    (void)close(waiter->done_fd);
    return waiter->rv;
}

static void remove_one_key(void)
{
    seam.key_count = 1;
    seam_publish();
}

static void wait_must_show_slot_0(void)
{
    static struct waiter waiter; /* outlives a test that fails */

    waiter_start(&waiter);
    assert_int_equal(waiter_end(&waiter), CKR_OK);
    assert_int_equal(waiter.slot, 0);
}

static void step_publish(void)
{
    at_poll = NULL;
    remove_one_key();
}

static void test_wait_ends_with_an_event(void **state)
{
    (void)state;
    subscribe();
    at_poll = step_publish;
    wait_must_show_slot_0();
}

/* Another thread looks in the moment before the waiting one sleeps: it reads the agent's event. */
static void step_publish_and_look(void)
{
    CK_ULONG count = 0;

    at_poll = NULL;
    remove_one_key();
    if (C_GetSlotList(CK_TRUE, NULL, &count) != CKR_OK)
        abort();
}

static void test_wait_ends_with_an_event_that_another_thread_read(void **state)
{
    (void)state;
    subscribe();
    at_poll = step_publish_and_look;
    wait_must_show_slot_0();
}

static void step_restart_and_look(void)
{
    CK_ULONG count = 0;

    at_poll = step_publish;
    seam_hang_up();
    if (C_GetSlotList(CK_TRUE, NULL, &count) != CKR_OK)
        abort();
}

static void test_wait_goes_on_with_a_subscription_of_another_thread(void **state)
{
    (void)state;
    subscribe();
    at_poll = step_restart_and_look;
    wait_must_show_slot_0();
}

static void step_list_again(void)
{
    at_poll = NULL;
    seam.list_code = 0;
}

static void test_wait_looks_again_after_a_list_that_failed(void **state)
{
    (void)state;
    seam.list_code = MTLS_AGENT_E_BUSY;
    at_poll = step_list_again;
    wait_must_show_slot_0();
}

/* With nobody to hear from, it sleeps between two looks. */
static void step_finalize_at_the_second_sleep(void)
{
    static _Thread_local unsigned int sleeps;

    if (++sleeps < 2)
        return;
    at_poll = NULL;
    if (C_Finalize(NULL) != CKR_OK)
        abort();
}

static void test_wait_without_an_agent_sleeps(void **state)
{
    static struct waiter waiter;
    uint64_t started_ms = clock_monotonic_ms();

    (void)state;
    seam.list_code = MTLS_AGENT_E_NO_AGENT;
    seam.subscribe_code = MTLS_AGENT_E_NO_AGENT;
    at_poll = step_finalize_at_the_second_sleep;
    waiter_start(&waiter);
    assert_int_equal(waiter_end(&waiter), CKR_CRYPTOKI_NOT_INITIALIZED);
    assert_true(clock_monotonic_ms() - started_ms >= 900);
    assert_int_equal(seam.subscriptions, 2);
}

static void step_finalize(void)
{
    at_poll = NULL;
    if (C_Finalize(NULL) != CKR_OK)
        abort();
}

static void test_wait_ends_with_the_library(void **state)
{
    static struct waiter waiter; /* outlives a test that fails */

    (void)state;
    at_poll = step_finalize;
    waiter_start(&waiter);
    assert_int_equal(waiter_end(&waiter), CKR_CRYPTOKI_NOT_INITIALIZED);
    assert_int_equal(waiter.slot, 99);
}

static void step_restart_library(void)
{
    at_poll = NULL;
    if (C_Finalize(NULL) != CKR_OK || C_Initialize(NULL) != CKR_OK)
        abort();
}

static void test_wait_ends_with_its_library_though_there_is_a_new_one(void **state)
{
    static struct waiter waiter; /* outlives a test that fails */

    (void)state;
    at_poll = step_restart_library;
    waiter_start(&waiter);
    assert_int_equal(waiter_end(&waiter), CKR_CRYPTOKI_NOT_INITIALIZED);
}

static size_t count_descriptors(void)
{
    _cleanup_closedir_ DIR *dir = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    return count;
}

static int sleeping_fd = -1; /* an eventfd: the waiting thread is about to sleep */

static void step_tell(void)
{
    at_poll = NULL;
    (void)eventfd_write(sleeping_fd, 1);
}

static void test_wait_can_be_cancelled(void **state)
{
    static struct waiter waiter; /* outlives a test that fails */
    eventfd_t ignored = 0;
    CK_ULONG count = 0;
    void *result = NULL;

    (void)state;
    subscribe(); /* the seam keeps the last subscription */
    assert_int_equal(C_Finalize(NULL), CKR_OK);
    size_t before = count_descriptors();
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    sleeping_fd = eventfd(0, EFD_CLOEXEC);
    at_poll = step_tell;
    waiter_start(&waiter);
    assert_int_equal(eventfd_read(sleeping_fd, &ignored), 0);
    assert_int_equal(pthread_cancel(waiter.thread), 0);
    assert_int_equal(pthread_join(waiter.thread, &result), 0);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    (void)close(waiter.done_fd);
    (void)close(sleeping_fd);
    /* Neither is the lock lost, nor does anything keep the library. */
    assert_int_equal(C_GetSlotList(CK_TRUE, NULL, &count), CKR_OK);
    assert_int_equal(C_Finalize(NULL), CKR_OK);
    assert_int_equal(count_descriptors(), before);
}

/* --- fork --- */

static int fork_failures; /* children that did not find what a child must find */

/* A child: not initialized, then everything works. */
static void fork_and_check(void)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        CK_ULONG count = 0;
        at_madvise = NULL;
        at_poll = NULL;
        seam.at_list = NULL;
        seam.at_events_free = NULL;
        (void)alarm(PATIENCE_S);
        if (C_GetSlotList(CK_TRUE, NULL, &count) != CKR_CRYPTOKI_NOT_INITIALIZED)
            _exit(1);
        if (C_Finalize(NULL) != CKR_CRYPTOKI_NOT_INITIALIZED)
            _exit(2);
        if (C_Initialize(NULL) != CKR_OK)
            _exit(3);
        if (C_GetSlotList(CK_TRUE, NULL, &count) != CKR_OK || count != 2)
            _exit(4);
        _exit(sign(open_session()) == CKR_OK ? 0 : 5);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        (void)fprintf(stderr, "the child ended with status 0x%x\n", (unsigned int)status);
        fork_failures++;
    }
}

/* Without a setup, and before any other test: the first C_Initialize of the process. */
static void test_fork_within_the_first_initialize(void **state)
{
    (void)state;
    seam_reset();
    fork_failures = 0;
    fork_and_check();
    at_madvise = fork_and_check;
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    at_madvise = NULL;
    assert_int_equal(fork_failures, 0);
    assert_int_equal(sign(open_session()), CKR_OK);
    assert_int_equal(C_Finalize(NULL), CKR_OK);
}

static void test_fork_while_nothing_goes_on(void **state)
{
    CK_SESSION_HANDLE session = open_session();

    (void)state;
    fork_failures = 0;
    fork_and_check();
    subscribe();
    fork_and_check();
    assert_int_equal(fork_failures, 0);
    assert_int_equal(sign(session), CKR_OK);
}

static void test_fork_after_finalize(void **state)
{
    (void)state;
    fork_failures = 0;
    assert_int_equal(C_Finalize(NULL), CKR_OK);
    fork_and_check();
    assert_int_equal(fork_failures, 0);
}

static void test_fork_while_the_agent_is_asked(void **state)
{
    CK_ULONG count = 0;

    (void)state;
    fork_failures = 0;
    seam.at_list = fork_and_check;
    assert_int_equal(C_GetSlotList(CK_TRUE, NULL, &count), CKR_OK);
    seam.at_list = NULL;
    assert_int_equal(fork_failures, 0);
    assert_int_equal(count, 2);
}

static void test_fork_while_a_subscription_goes(void **state)
{
    CK_ULONG count = 0;

    (void)state;
    fork_failures = 0;
    subscribe();
    seam_hang_up();
    seam.at_events_free = fork_and_check;
    assert_int_equal(C_GetSlotList(CK_TRUE, NULL, &count), CKR_OK);
    seam.at_events_free = NULL;
    assert_int_equal(fork_failures, 0);
}

static void test_fork_within_finalize(void **state)
{
    (void)state;
    fork_failures = 0;
    subscribe();
    seam.at_events_free = fork_and_check;
    assert_int_equal(C_Finalize(NULL), CKR_OK);
    seam.at_events_free = NULL;
    assert_int_equal(fork_failures, 0);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fork_within_the_first_initialize),
        TEST(test_fork_while_nothing_goes_on),
        TEST(test_fork_after_finalize),
        TEST(test_fork_while_the_agent_is_asked),
        TEST(test_fork_while_a_subscription_goes),
        TEST(test_fork_within_finalize),
        TEST(test_login_of_a_ready_token_asks_nobody),
        TEST(test_login_of_a_locked_token_takes_the_pin_to_the_agent),
        TEST(test_login_with_pins_that_are_none),
        TEST(test_login_that_the_agent_refuses),
        TEST(test_login_knows_that_the_token_is_not_locked_any_more),
        TEST(test_login_knows_that_the_token_was_locked_meanwhile),
        TEST(test_login_after_a_signature_that_wanted_it),
        TEST(test_login_of_others_than_the_user),
        TEST(test_login_ends_with_the_last_session),
        TEST(test_looks_cost_nothing_while_nothing_changes),
        TEST(test_token_that_goes_takes_its_sessions),
        TEST(test_agent_that_ends_leaves_the_objects),
        TEST(test_list_does_not_need_the_subscription),
        TEST(test_wait_ends_with_an_event),
        TEST(test_wait_ends_with_an_event_that_another_thread_read),
        TEST(test_wait_goes_on_with_a_subscription_of_another_thread),
        TEST(test_wait_looks_again_after_a_list_that_failed),
        TEST(test_wait_without_an_agent_sleeps),
        TEST(test_wait_ends_with_the_library),
        TEST(test_wait_can_be_cancelled),
        TEST(test_wait_ends_with_its_library_though_there_is_a_new_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
