/* SPDX-License-Identifier: Apache-2.0 */
/* Running a command; see child.h. */
#include "client/cli/child.h"

#include <stdbool.h>

#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

static const int child_signals[] = {SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

/* What the process started with; the child gets it back. */
static sigset_t child_original_mask;

static void child_signal_set(sigset_t *set)
{
    (void)sigemptyset(set);
    for (size_t i = 0; i < ARRAY_SIZE(child_signals); i++)
        (void)sigaddset(set, child_signals[i]);
}

void child_block_signals(void)
{
    sigset_t set;

    child_signal_set(&set);
    /* An ignored SIGCHLD would let the kernel throw the exit code away. */
    (void)signal(SIGCHLD, SIG_DFL);
    (void)sigprocmask(SIG_BLOCK, &set, &child_original_mask);
}

static int child_spawn(char **argv, char **environment, pid_t *ret_pid)
{
    posix_spawnattr_t attributes;

    int r = posix_spawnattr_init(&attributes);
    if (r)
        return r;
    r = posix_spawnattr_setsigmask(&attributes, &child_original_mask);
    if (r == 0)
        r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    if (r == 0)
        r = posix_spawnp(ret_pid, argv[0], NULL, &attributes, argv, environment);
    (void)posix_spawnattr_destroy(&attributes);
    return r;
}

static int child_fail_spawn(const char *name, int error)
{
    switch (error) {
    case ENOENT:
        return cli_fail(CLI_NOT_FOUND, "%s: command not found. Check its name, or give its path",
                        name);
    case EACCES:
    case ENOEXEC:
    case ENOTDIR:
    case EISDIR:
        return cli_fail(CLI_NOT_STARTED, "%s: cannot be executed: %s. Check its permissions", name,
                        strerror(error));
    default:
        return cli_fail(CLI_NOT_STARTED, "%s: cannot be started: %s.", name, strerror(error));
    }
}

/* The terminal driver signals the whole foreground group, which holds the child, too. */
static bool child_is_from_terminal(const siginfo_t *info)
{
    return info->si_code == SI_KERNEL;
}

static int child_exit_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int child_wait(pid_t pid)
{
    sigset_t set;

    child_signal_set(&set);
    for (;;) {
        siginfo_t info = {0};
        int status = 0;
        int number = sigwaitinfo(&set, &info);
        if (number > 0 && number != SIGCHLD && !child_is_from_terminal(&info))
            (void)kill(pid, number);
        if (number != SIGCHLD)
            continue;
        if (waitpid(pid, &status, WNOHANG) == pid)
            return child_exit_code(status);
    }
}

int child_run(char **argv, char **environment)
{
    pid_t pid = -1;

    int r = child_spawn(argv, environment, &pid);
    if (r)
        return child_fail_spawn(argv[0], r);
    return child_wait(pid);
}
