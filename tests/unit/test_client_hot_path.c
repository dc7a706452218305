/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a signature costs on an open connection: three system calls and no allocation. The system
 * calls are counted by the kernel, through ptrace; the allocations by the linker's --wrap.
 */
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "client_peer.h"
#include "unit.h"

#define SIGNATURES 20

static atomic_uint allocations;

/* The names are the linker's: --wrap=SYMBOL. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *ptr, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *ptr, size_t size);

void *__wrap_malloc(size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *ptr, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_realloc(ptr, size);
}

static void test_signature_allocates_nothing(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    char signature[64];

    peer_start(peer, peer_script_echo);
    assert_int_equal(peer_sign(agent, "first", signature, NULL), 0);
    unsigned int before = atomic_load(&allocations);
    for (int i = 0; i < SIGNATURES; i++)
        assert_int_equal(peer_sign(agent, "x", signature, NULL), 0);
    assert_int_equal(atomic_load(&allocations), before);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

/* The signatures stand between two calls of getppid(2), which nothing else uses. */
static void run_traced(const char *path)
{
    struct mtls_agent *agent = mtls_agent_new(path);
    char signature[64];

    if (!agent || peer_sign(agent, "first", signature, NULL) || ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
        _exit(77);
    (void)raise(SIGSTOP);
    (void)syscall(SYS_getppid);
    for (int i = 0; i < SIGNATURES; i++)
        if (peer_sign(agent, "x", signature, NULL))
            _exit(1);
    (void)syscall(SYS_getppid);
    _exit(0);
}

/* Runs to the next stop at the entry or the exit of a system call; false when the child ended. */
static bool trace_step(pid_t child, int *status)
{
    return ptrace(PTRACE_SYSCALL, child, 0, 0) == 0 && waitpid(child, status, 0) == child &&
           WIFSTOPPED(*status);
}

static unsigned int count_system_calls(pid_t child, int *status)
{
    unsigned int count = 0;
    bool is_counting = false;
    struct __ptrace_syscall_info info;

    while (trace_step(child, status)) {
        if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info) < 0 ||
            info.op != PTRACE_SYSCALL_INFO_ENTRY)
            continue;
        if (info.entry.nr == SYS_getppid)
            is_counting = !is_counting;
        else if (is_counting)
            count++;
    }
    return count;
}

static void test_signature_is_three_system_calls(void **state)
{
    struct peer *peer = *state;
    int status = 0;

    peer_start(peer, peer_script_echo);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        run_traced(peer->path);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSTOPPED(status)) /* no ptrace here */
        skip();
    (void)ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    unsigned int count = count_system_calls(child, &status);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(count, 3 * SIGNATURES); /* send, poll, recv */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PEER_TEST(test_signature_allocates_nothing),
        PEER_TEST(test_signature_is_three_system_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
