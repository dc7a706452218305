/* SPDX-License-Identifier: Apache-2.0 */
/* One line after a while; see patience.h. */
#include "client/cli/patience.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/time.h>

#include "common/escape.h"

/* Written before the timer is armed, read by the handler only. */
static char patience_line[1024];

/* What SIGALRM did before; a child of ours must find it so. */
static struct sigaction patience_saved;

static void patience_handle_alarm(int signal_number)
{
    int saved = errno;

    (void)signal_number;
    (void)!write(STDERR_FILENO, patience_line, strlen(patience_line));
    errno = saved;
}

static void patience_arm(long delay_ms)
{
    const struct itimerval timer = {
        .it_value = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000},
    };

    (void)setitimer(ITIMER_REAL, &timer, NULL);
}

void patience_begin(const char *format, ...)
{
    const struct sigaction action = {.sa_handler = patience_handle_alarm, .sa_flags = SA_RESTART};
    char what[256];
    char escaped[sizeof(patience_line) - 16];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    (void)snprintf(patience_line, sizeof(patience_line), "mtls: %s\n",
                   escape_cstring(what, escaped, sizeof(escaped)));
    (void)sigaction(SIGALRM, &action, &patience_saved);
    patience_arm(PATIENCE_DELAY_MS);
}

void patience_end(void)
{
    patience_arm(0);
    (void)sigaction(SIGALRM, &patience_saved, NULL);
}
