/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the filters refuse and what they leave, asked in children. The calls get arguments that do
 * nothing, should one of them get through.
 */
#include "sandbox/sandbox.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "build-config.h"
#include "common/harden.h"
#include "unit.h"

struct refused {
    const char *name;
    long number;
    long first; /* argument */
    long second;
    int error;
};

static const struct refused core_refuses[] = {
    {"ptrace", SYS_ptrace, -1, -1, EPERM},
    {"process_vm_readv", SYS_process_vm_readv, -1, 0, EPERM},
    {"process_vm_writev", SYS_process_vm_writev, -1, 0, EPERM},
    {"perf_event_open", SYS_perf_event_open, 0, -1, EPERM},
    {"finit_module", SYS_finit_module, -1, 0, EPERM},
    {"delete_module", SYS_delete_module, 0, 0, EPERM},
    {"kexec_load", SYS_kexec_load, 0, -1, EPERM},
    {"bpf", SYS_bpf, -1, 0, EPERM},
    {"mount", SYS_mount, 0, 0, EPERM},
    {"umount2", SYS_umount2, 0, -1, EPERM},
    {"pivot_root", SYS_pivot_root, 0, 0, EPERM},
    {"chroot", SYS_chroot, 0, 0, EPERM},
    {"open_by_handle_at", SYS_open_by_handle_at, -1, 0, EPERM},
    {"unshare", SYS_unshare, 0x7fffffff, 0, EPERM},
    {"setns", SYS_setns, -1, 0, EPERM},
    {"clone into a user namespace", SYS_clone, CLONE_NEWUSER | CLONE_SIGHAND, 0, EPERM},
    {"clone into a network namespace", SYS_clone, CLONE_NEWNET | CLONE_SIGHAND, 0, EPERM},
    {"clone3", SYS_clone3, 0, 0, ENOSYS},
    {"userfaultfd", SYS_userfaultfd, -1, 0, EPERM},
    {"io_uring_setup", SYS_io_uring_setup, 0, 0, EPERM},
    {"io_uring_enter", SYS_io_uring_enter, -1, 0, EPERM},
    {"syslog", SYS_syslog, -1, 0, EPERM},
    {"reboot", SYS_reboot, 0, 0, EPERM},
    {"settimeofday", SYS_settimeofday, -1, -1, EPERM},
    {"ioctl TIOCSTI", SYS_ioctl, -1, TIOCSTI, EPERM},
    {"ioctl TIOCSTI with bits above", SYS_ioctl, -1, (long)(1ull << 32 | TIOCSTI), EPERM},
    {"socket AF_PACKET", SYS_socket, AF_PACKET, SOCK_RAW, EAFNOSUPPORT},
    {"socket AF_ALG", SYS_socket, AF_ALG, SOCK_SEQPACKET, EAFNOSUPPORT},
    {"socket AF_VSOCK", SYS_socket, AF_VSOCK, SOCK_STREAM, EAFNOSUPPORT},
    {"socket AF_X25", SYS_socket, AF_X25, SOCK_SEQPACKET, EAFNOSUPPORT},
    {"socket AF_X25 with bits above", SYS_socket, (long)(1ull << 32 | AF_X25), SOCK_SEQPACKET,
     EAFNOSUPPORT},
};

static const struct refused worker_refuses[] = {
    {"execve", SYS_execve, 0, 0, EPERM},
    {"execveat", SYS_execveat, -1, 0, EPERM},
    {"keyctl", SYS_keyctl, -1, 0, EPERM},
    {"add_key", SYS_add_key, 0, 0, EPERM},
    {"request_key", SYS_request_key, 0, 0, EPERM},
    {"kill all", SYS_kill, -1, SIGCONT, EPERM},
    {"kill the group", SYS_kill, 0, SIGCONT, EPERM},
    {"tkill", SYS_tkill, -1, 0, EPERM},
    {"tgkill", SYS_tgkill, -1, -1, EPERM},
    {"rt_sigqueueinfo", SYS_rt_sigqueueinfo, -1, 0, EPERM},
    {"pidfd_send_signal", SYS_pidfd_send_signal, -1, 0, EPERM},
    {"prlimit64", SYS_prlimit64, 1, -1, EPERM},
    {"fcntl F_SETOWN", SYS_fcntl, -1, F_SETOWN, EPERM},
    {"fcntl F_SETOWN_EX", SYS_fcntl, -1, F_SETOWN_EX, EPERM},
    {"ioctl FIOSETOWN", SYS_ioctl, -1, FIOSETOWN, EPERM},
    {"ioctl SIOCSPGRP", SYS_ioctl, -1, SIOCSPGRP, EPERM},
};

/* The first that is not refused as it should be, in a child's exit code; 0: none. */
static int count_wrong(const struct refused *calls, size_t count)
{
    int wrong = 0;

    for (size_t i = 0; i < count; i++) {
        errno = 0;
        long answer = syscall(calls[i].number, calls[i].first, calls[i].second, 0, 0, 0, 0);
        if (answer == -1 && errno == calls[i].error)
            continue;
        (void)fprintf(stderr, "%s: %ld, %s\n", calls[i].name, answer, strerror(errno));
        wrong++;
    }
    return wrong;
}

/* Runs @check in a child of its own; its answer is the child's exit code. */
static int in_child(int (*check)(void))
{
    int status = 0;
    pid_t child = fork();

    if (child == 0)
        _exit(check());
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int enter_core(void)
{
    return harden_process() || sandbox_enter_core();
}

/* As it is for a worker: the core's filter came with the start. */
static int enter_worker(void)
{
    return enter_core() || sandbox_enter_worker();
}

static int check_core_refuses(void)
{
    return enter_core() ? 99 : count_wrong(core_refuses, ARRAY_SIZE(core_refuses));
}

static void test_core_refuses(void **state)
{
    (void)state;
    assert_int_equal(in_child(check_core_refuses), 0);
}

static int check_worker_refuses(void)
{
    return enter_worker() ? 99
                          : count_wrong(worker_refuses, ARRAY_SIZE(worker_refuses)) +
                                count_wrong(core_refuses, ARRAY_SIZE(core_refuses));
}

static void test_worker_refuses_that_too(void **state)
{
    (void)state;
    assert_int_equal(in_child(check_worker_refuses), 0);
}

static int check_worker_dumpable(void)
{
    if (enter_worker())
        return 99;
    bool is_refused = prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 && errno == EPERM;
    return is_refused == MTLS_DUMPABLE || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0;
}

static void test_worker_cannot_become_dumpable(void **state)
{
    (void)state;
    assert_int_equal(in_child(check_worker_dumpable), 0);
}

/* No other filter may allow again what one has refused. */
static int check_child_refuses(void)
{
    if (enter_worker())
        return 99;
    return in_child(check_worker_refuses) == 0 ? 0 : 1;
}

static void test_children_have_it_too(void **state)
{
    (void)state;
    assert_int_equal(in_child(check_child_refuses), 0);
}

static void *run_nothing(void *argument)
{
    return argument;
}

static bool thread_runs(void)
{
    pthread_t thread;

    return pthread_create(&thread, NULL, run_nothing, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

static bool child_runs(void)
{
    int status = 1;
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static bool sockets_open(void)
{
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        _cleanup_close_ int fd = socket(families[i], SOCK_DGRAM | SOCK_CLOEXEC, 0);
        /* a machine may be without IPv6 */
        if (fd < 0 && !(families[i] == AF_INET6 && errno == EAFNOSUPPORT))
            return false;
    }
    return true;
}

static bool own_limits_change(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static volatile sig_atomic_t was_signalled;

static void on_signal(int number)
{
    (void)number;
    was_signalled++;
}

static bool own_signals_arrive(void)
{
    (void)signal(SIGUSR1, on_signal);
    return raise(SIGUSR1) == 0 && kill(getpid(), SIGUSR1) == 0 &&
           pthread_kill(pthread_self(), SIGUSR1) == 0 && was_signalled == 3;
}

static bool code_can_be_mapped(void)
{
    void *map = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return map != MAP_FAILED && munmap(map, 4096) == 0;
}

static int check_worker_leaves(void)
{
    if (enter_worker())
        return 99;
    if (!thread_runs() || !child_runs())
        return 1;
    if (!sockets_open())
        return 2;
    if (!own_limits_change())
        return 3;
    if (!own_signals_arrive())
        return 4;
    if (!code_can_be_mapped())
        return 5;
    return kill(getppid(), 0) ? 6 : 0;
}

static void test_worker_leaves_what_modules_do(void **state)
{
    (void)state;
    assert_int_equal(in_child(check_worker_leaves), 0);
}

static int check_core_leaves(void)
{
    char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"kill -CONT $PPID && exec true"},
                    NULL};
    int status = 1;
    pid_t child = 0;

    if (enter_core() || posix_spawn(&child, "/bin/sh", NULL, NULL, argv, environ))
        return 99;
    return waitpid(child, &status, 0) != child || status != 0;
}

static void test_core_leaves_starting_and_ending_programs(void **state)
{
    (void)state;
    assert_int_equal(in_child(check_core_leaves), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_refuses),
        cmocka_unit_test(test_worker_refuses_that_too),
        cmocka_unit_test(test_worker_cannot_become_dumpable),
        cmocka_unit_test(test_children_have_it_too),
        cmocka_unit_test(test_worker_leaves_what_modules_do),
        cmocka_unit_test(test_core_leaves_starting_and_ending_programs),
    };

    if (!MTLS_SANDBOX)
        return 77; /* meson: skipped */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
