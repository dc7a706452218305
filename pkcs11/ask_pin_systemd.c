/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd-ask-password(1): its question goes to whatever of the system asks people (plymouth, the
 * console, wall), which is how a service without a display and a terminal can have a PIN.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "pkcs11/ask_pin.h"

#define SYSTEMD_MESSAGE_MAX 1024u

/* The question has one line. */
static void systemd_join_lines(const struct ask_pin_prompt *prompt, char *message, size_t size)
{
    (void)snprintf(message, size, "%s%s%s", prompt->error, *prompt->error ? ". " : "",
                   prompt->text);
    for (char *at = message; *at; at++)
        if (*at == '\n')
            *at = ' ';
}

_Noreturn static void systemd_run(const char *program, const char *message, const char *timeout,
                                  int output, pid_t parent)
{
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent ||
        dup2(output, STDOUT_FILENO) < 0)
        _exit(127);
    (void)execl(program, "systemd-ask-password", "--no-tty", "--id=mtls-agent", timeout, "--",
                message, (char *)NULL);
    _exit(127);
}

/* Until there is output, or a reason to wait no longer. */
static enum pin_answer systemd_wait(const struct ask_pin_prompt *prompt, int output)
{
    struct pollfd pollfds[] = {{.fd = output, .events = POLLIN},
                               {.fd = prompt->control, .events = POLLRDHUP}};
    uint64_t deadline_ms = clock_monotonic_ms() + prompt->timeout_ms;

    for (;;) {
        uint64_t now_ms = clock_monotonic_ms();
        if (now_ms >= deadline_ms)
            return PIN_E_TIMEOUT;
        int ready = poll(pollfds, ARRAY_SIZE(pollfds), clock_poll_timeout(deadline_ms - now_ms));
        if (ready > 0 && pollfds[1].revents)
            return PIN_E_CANCELLED;
        if (ready > 0)
            return PIN_OK;
        if (ready < 0 && errno != EINTR)
            return ask_pin_fail("systemd-ask-password cannot be waited for: %s", strerror(errno));
    }
}

static enum pin_answer systemd_end(pid_t child, enum pin_answer answer)
{
    int status = 0;

    if (answer)
        (void)kill(child, SIGTERM);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return ask_pin_fail("systemd-ask-password cannot be waited for: %s", strerror(errno));
    if (answer)
        return answer;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return PIN_OK;
    (void)ask_pin_fail("nobody answered systemd-ask-password (status %d)",
                       WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return PIN_E_CANCELLED;
}

enum pin_answer ask_pin_from_systemd(const struct ask_pin_prompt *prompt, const char *program,
                                     struct secret *secret)
{
    char message[SYSTEMD_MESSAGE_MAX];
    char timeout[32];
    int fds[2];
    pid_t parent = getpid();

    systemd_join_lines(prompt, message, sizeof(message));
    (void)snprintf(timeout, sizeof(timeout), "--timeout=%u", (prompt->timeout_ms + 999) / 1000);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return ask_pin_fail("no pipe for systemd-ask-password: %s", strerror(errno));
    _cleanup_close_ int from_child = fds[0];
    _cleanup_close_ int to_parent = fds[1];
    pid_t child = fork();
    if (child < 0)
        return ask_pin_fail("systemd-ask-password cannot be started: %s", strerror(errno));
    if (child == 0)
        systemd_run(program, message, timeout, to_parent, parent);
    (void)close_fd(TAKE_FD(to_parent));

    enum pin_answer answer = systemd_wait(prompt, from_child);
    int r = answer ? 0 : secret_read(secret, from_child, prompt->timeout_ms);
    answer = systemd_end(child, answer);
    if (answer == PIN_OK && r)
        answer = ask_pin_fail("%s", secret_error_text(r));
    if (answer)
        secret_wipe(secret);
    return answer;
}
