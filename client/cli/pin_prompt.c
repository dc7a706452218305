/* SPDX-License-Identifier: Apache-2.0 */
/* Asking at the terminal; see pin_prompt.h. */
#include "client/cli/pin_prompt.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <termios.h>

static const int pin_prompt_signals[] = {SIGALRM, SIGHUP,  SIGINT,  SIGPIPE, SIGQUIT, SIGTERM,
                                         SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2};

/* For the handler; set before it is installed. tcsetattr() and write() may be called there. */
static struct {
    int fd;
    struct termios normal;
    struct termios silent;
    const char *prompt;
} pin_prompt_terminal;

static void pin_prompt_show(void)
{
    (void)!write(pin_prompt_terminal.fd, pin_prompt_terminal.prompt,
                 strlen(pin_prompt_terminal.prompt));
}

/*
 * Terminal back to normal, then what the signal does by default: the program ends, or it stops. If
 * it goes on later, it asks again; what was typed before is discarded by TCSAFLUSH.
 */
static void pin_prompt_handle_signal(int number)
{
    const struct sigaction by_default = {.sa_handler = SIG_DFL};
    struct sigaction ours;
    sigset_t only_this;
    int saved = errno;

    (void)tcsetattr(pin_prompt_terminal.fd, TCSANOW, &pin_prompt_terminal.normal);
    (void)!write(pin_prompt_terminal.fd, "\n", 1);
    (void)sigaction(number, &by_default, &ours);
    (void)sigemptyset(&only_this);
    (void)sigaddset(&only_this, number);
    (void)raise(number);
    (void)sigprocmask(SIG_UNBLOCK, &only_this, NULL);
    /* Only after a stop. */
    (void)sigprocmask(SIG_BLOCK, &only_this, NULL);
    (void)sigaction(number, &ours, NULL);
    (void)tcsetattr(pin_prompt_terminal.fd, TCSAFLUSH, &pin_prompt_terminal.silent);
    pin_prompt_show();
    errno = saved;
}

static void pin_prompt_catch(struct sigaction *saved)
{
    struct sigaction action = {.sa_handler = pin_prompt_handle_signal};

    (void)sigfillset(&action.sa_mask);
    for (size_t i = 0; i < ARRAY_SIZE(pin_prompt_signals); i++) {
        (void)sigaction(pin_prompt_signals[i], NULL, &saved[i]);
        /* What was ignored from the start, e.g. by nohup, stays so. */
        if (saved[i].sa_handler != SIG_IGN)
            (void)sigaction(pin_prompt_signals[i], &action, NULL);
    }
}

static void pin_prompt_release(const struct sigaction *saved)
{
    for (size_t i = 0; i < ARRAY_SIZE(pin_prompt_signals); i++)
        (void)sigaction(pin_prompt_signals[i], &saved[i], NULL);
}

int pin_prompt_read(const char *prompt, struct secret *secret)
{
    _cleanup_close_ int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct sigaction saved[ARRAY_SIZE(pin_prompt_signals)];

    if (fd < 0)
        return PIN_PROMPT_E_NO_TERMINAL;
    if (tcgetattr(fd, &pin_prompt_terminal.normal) < 0)
        return -errno;
    pin_prompt_terminal.fd = fd;
    pin_prompt_terminal.prompt = prompt;
    pin_prompt_terminal.silent = pin_prompt_terminal.normal;
    pin_prompt_terminal.silent.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    pin_prompt_terminal.silent.c_lflag |= ICANON | ISIG;
    pin_prompt_catch(saved);
    int r = tcsetattr(fd, TCSAFLUSH, &pin_prompt_terminal.silent) < 0 ? -errno : 0;
    if (r == 0) {
        pin_prompt_show();
        r = secret_read(secret, fd, PIN_PROMPT_TIMEOUT_MS);
        (void)tcsetattr(fd, TCSAFLUSH, &pin_prompt_terminal.normal);
        (void)!write(fd, "\n", 1);
    }
    pin_prompt_release(saved);
    return r;
}
