/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask-pin: fetches a PIN from where the configuration says and writes it, with a line end, to its
 * standard output, a pipe that ends in the token worker. The core starts it and never sees the PIN.
 * Errors are one sentence on standard error.
 *
 *     ask-pin file PATH | command COMMAND | credential NAME
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/escape.h"
#include "common/harden.h"
#include "common/secret.h"

#define ASK_PIN_END_MS 1000u /* a command that gave its line has so long to end */
#define ASK_PIN_TIMEOUT_MS                                                 \
    (24u * 3600u * 1000u) /* the core ends us when its own deadline passes \
                           */
#define ASK_PIN_SHOWN_MAX 512u

_printf_(1, 2) static int ask_pin_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vdprintf(STDERR_FILENO, format, args);
    va_end(args);
    (void)dprintf(STDERR_FILENO, "\n");
    return 1;
}

static int ask_pin_read(struct secret *secret, int fd, const char *shown)
{
    int r = secret_read(secret, fd, ASK_PIN_TIMEOUT_MS);

    if (r)
        return ask_pin_fail("%s: %s", shown, secret_error_text(r));
    return 0;
}

/* A file that others can read or write keeps no secret, so it is not used at all. */
static int ask_pin_check_file(int fd, const char *shown)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return ask_pin_fail("the PIN file %s cannot be examined: %s", shown, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return ask_pin_fail("the PIN file %s is not a regular file", shown);
    if (st.st_uid != geteuid())
        return ask_pin_fail("the PIN file %s belongs to uid %u, and must belong to uid %u", shown,
                            (unsigned int)st.st_uid, (unsigned int)geteuid());
    if (st.st_mode & 077)
        return ask_pin_fail("the PIN file %s is open to others (mode %04o); run: chmod 600 %s",
                            shown, (unsigned int)(st.st_mode & 07777), shown);
    return 0;
}

/* Without O_NONBLOCK a FIFO that nobody writes to would hold the open() for ever. */
static int ask_pin_from_file(const char *path, struct secret *secret)
{
    char shown[ASK_PIN_SHOWN_MAX];
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);

    (void)escape_cstring(path, shown, sizeof(shown));
    if (fd < 0 && errno == ELOOP)
        return ask_pin_fail("the PIN file %s is a symbolic link; name the file itself", shown);
    if (fd < 0)
        return ask_pin_fail("the PIN file %s cannot be opened: %s", shown, strerror(errno));
    int r = ask_pin_check_file(fd, shown);
    return r ? r : ask_pin_read(secret, fd, shown);
}

/* The child: its output is the pipe, it dies with us, signals are as a shell expects them. */
_Noreturn static void ask_pin_run_shell(const char *command, int output, pid_t parent)
{
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent ||
        dup2(output, STDOUT_FILENO) < 0)
        _exit(127);
    (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static int ask_pin_wait(pid_t child, const char *shown)
{
    int status = 0;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return ask_pin_fail("the PIN command cannot be waited for: %s", strerror(errno));
    if (WIFSIGNALED(status))
        return ask_pin_fail("the PIN command was killed by signal %d: %s", WTERMSIG(status), shown);
    if (WEXITSTATUS(status) != 0)
        return ask_pin_fail("the PIN command ended with status %d: %s", WEXITSTATUS(status), shown);
    return 0;
}

/* Reads on and forgets, so that the command does not die of SIGPIPE, until it has ended. False when
 * it goes on for longer than a moment. */
static bool ask_pin_ends_soon(pid_t child, int output)
{
    _cleanup_close_ int pidfd = pidfd_open(child, 0);
    uint64_t deadline_ms = clock_monotonic_ms() + ASK_PIN_END_MS;
    struct pollfd fds[] = {{.fd = pidfd, .events = POLLIN}, {.fd = output, .events = POLLIN}};
    char rest[256];

    if (pidfd < 0)
        return true; /* it has ended and can be waited for */
    for (;;) {
        uint64_t now_ms = clock_monotonic_ms();
        if (now_ms >= deadline_ms ||
            poll(fds, ARRAY_SIZE(fds), clock_poll_timeout(deadline_ms - now_ms)) == 0)
            return false;
        if (fds[0].revents)
            return true;
        if (fds[1].revents && read(output, rest, sizeof(rest)) <= 0)
            fds[1].fd = -1;
        explicit_bzero(rest, sizeof(rest));
    }
}

/* Only the first line counts. Of a command that then fails it is an error message, which must not
 * be tried as a PIN; one that goes on is not waited for and ends with us. */
static int ask_pin_from_command(const char *command, struct secret *secret)
{
    char shown[ASK_PIN_SHOWN_MAX];
    int pipe_fds[2] = {-1, -1};
    pid_t parent = getpid();

    (void)escape_cstring(command, shown, sizeof(shown));
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return ask_pin_fail("no pipe for the PIN command: %s", strerror(errno));
    _cleanup_close_ int from_child = pipe_fds[0];
    _cleanup_close_ int to_parent = pipe_fds[1];
    pid_t child = fork();
    if (child < 0)
        return ask_pin_fail("the PIN command cannot be started: %s", strerror(errno));
    if (child == 0)
        ask_pin_run_shell(command, to_parent, parent);

    (void)close_fd(TAKE_FD(to_parent));
    int r = secret_read(secret, from_child, ASK_PIN_TIMEOUT_MS);
    if (r == 0 && !ask_pin_ends_soon(child, from_child))
        return 0;
    (void)close_fd(TAKE_FD(from_child));
    /* A command that failed says more than the empty output that it left. */
    if (ask_pin_wait(child, shown)) {
        secret_wipe(secret);
        return 1;
    }
    if (r)
        return ask_pin_fail("the PIN command gave no PIN (%s): %s", secret_error_text(r), shown);
    return 0;
}

/* systemd.exec(5), "Credentials": the directory is ours alone. */
static int ask_pin_from_credential(const char *name, struct secret *secret)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    char shown[ASK_PIN_SHOWN_MAX];

    (void)escape_cstring(name, shown, sizeof(shown));
    if (name[0] == '\0' || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return ask_pin_fail("%s is not the name of a credential", shown);
    if (!directory)
        return ask_pin_fail("there are no credentials here: the agent was not started by a unit "
                            "with LoadCredential=%s",
                            shown);
    _cleanup_close_ int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int fd =
        dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return ask_pin_fail("the credential %s cannot be opened: %s", shown, strerror(errno));
    return ask_pin_read(secret, fd, shown);
}

static const struct {
    const char *name;
    int (*fetch)(const char *argument, struct secret *secret);
} ask_pin_sources[] = {
    {"file", ask_pin_from_file},
    {"command", ask_pin_from_command},
    {"credential", ask_pin_from_credential},
};

/* One write: less than PIPE_BUF, so the worker gets all or nothing. */
static int ask_pin_write(struct secret *secret)
{
    ssize_t written;

    secret->data[secret->len] = '\n';
    do {
        written = write(STDOUT_FILENO, secret->data, secret->len + 1);
    } while (written < 0 && errno == EINTR);
    if (written != (ssize_t)secret->len + 1)
        return ask_pin_fail("the PIN was not taken: %s", strerror(errno));
    return 0;
}

int main(int argc, char **argv)
{
    _cleanup_secret_ struct secret *secret = secret_new();

    if (harden_standard_fds() || harden_process() || !secret)
        return ask_pin_fail("ask-pin cannot protect itself: %s", strerror(errno));
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return ask_pin_fail("ask-pin cannot tie itself to the agent: %s", strerror(errno));
    (void)signal(SIGPIPE, SIG_DFL);
    for (size_t i = 0; argc == 3 && i < ARRAY_SIZE(ask_pin_sources); i++) {
        if (strcmp(argv[1], ask_pin_sources[i].name) != 0)
            continue;
        int r = ask_pin_sources[i].fetch(argv[2], secret);
        return r ? r : ask_pin_write(secret);
    }
    return ask_pin_fail("usage: ask-pin file PATH | command COMMAND | credential NAME");
}
