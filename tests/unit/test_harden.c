/* SPDX-License-Identifier: Apache-2.0 */
/* What a hardened process looks like to the kernel; each claim is checked in a child. */
#include "common/harden.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "build-config.h"
#include "unit.h"

/* Runs @check in a child of its own; its answer is the child's exit code. */
static int in_child(int (*check)(unsigned int), unsigned int arg)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0)
        _exit(check(arg));
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int check_no_new_privs(unsigned int arg)
{
    (void)arg;
    return harden_process() ? 2 : prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1;
}

static int check_dumpable(unsigned int arg)
{
    (void)arg;
    return harden_process() ? 2 : prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != MTLS_DUMPABLE;
}

static int check_core_limit(unsigned int arg)
{
    struct rlimit limit = {1, 1};

    (void)arg;
    if (harden_process() || getrlimit(RLIMIT_CORE, &limit))
        return 2;
    return limit.rlim_cur != 0 || limit.rlim_max != 0;
}

static int check_twice(unsigned int arg)
{
    (void)arg;
    return harden_process() || harden_process();
}

static bool is_dev_null(int fd)
{
    struct stat stat;

    return fstat(fd, &stat) == 0 && S_ISCHR(stat.st_mode) && stat.st_rdev == makedev(1, 3);
}

/* Closes the standard descriptors that are set in @closed; all are open afterwards. */
static int check_standard_fds(unsigned int closed)
{
    int pipe_fds[2];

    if (pipe(pipe_fds))
        return 2;
    for (int fd = 0; fd <= 2; fd++)
        if (closed & 1u << fd ? close(fd) : dup2(pipe_fds[1], fd) != fd)
            return 2;
    if (harden_standard_fds())
        return 3;
    for (int fd = 0; fd <= 2; fd++)
        if (is_dev_null(fd) != ((closed & 1u << fd) != 0))
            return 1;
    return 0;
}

static void test_process_can_gain_no_privileges(void **state)
{
    (void)state;
    assert_int_equal(in_child(check_no_new_privs, 0), 0);
}

static void test_process_is_dumpable_only_in_a_build_for_debuggers(void **state)
{
    (void)state;
    assert_int_equal(in_child(check_dumpable, 0), 0);
}

static void test_process_leaves_no_core_file(void **state)
{
    (void)state;
    assert_int_equal(in_child(check_core_limit, 0), 0);
}

static void test_process_hardened_twice_is_fine(void **state)
{
    (void)state;
    assert_int_equal(in_child(check_twice, 0), 0);
}

static void test_standard_fds_closed_ones_become_dev_null(void **state)
{
    (void)state;
    for (unsigned int closed = 0; closed < 8; closed++)
        assert_int_equal(in_child(check_standard_fds, closed), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process_can_gain_no_privileges),
        cmocka_unit_test(test_process_is_dumpable_only_in_a_build_for_debuggers),
        cmocka_unit_test(test_process_leaves_no_core_file),
        cmocka_unit_test(test_process_hardened_twice_is_fine),
        cmocka_unit_test(test_standard_fds_closed_ones_become_dev_null),
    };

    return cmocka_run_group_tests_name("harden", tests, NULL, NULL);
}
