/* SPDX-License-Identifier: Apache-2.0 */
/* What a bad module does to its process and to its signatures; see p11fault_effects.h. */
#include "p11fault_effects.h"

#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define EXIT_CODE 99
#define LIE_LEN 4096u /* how much more "long" claims */

/* Group orders by the length of r||s: P-256, P-384, P-521 (FIPS 186-4 appendix D.1.2). */
static const struct {
    size_t half_len;
    CK_BYTE order[66];
} curves[] = {
    {32, {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
          0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
          0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51}},
    {48, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
          0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
          0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a, 0x0d, 0xb2,
          0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73}},
    {66, {0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
          0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
          0xff, 0xff, 0xff, 0xff, 0xff, 0xfa, 0x51, 0x86, 0x87, 0x83, 0xbf, 0x2f, 0x96, 0x6b,
          0x7f, 0xcc, 0x01, 0x48, 0xf7, 0x09, 0xa5, 0xd0, 0x3b, 0xb5, 0xc9, 0xb8, 0x89, 0x9c,
          0x47, 0xae, 0xbb, 0x6f, 0xb7, 0x1e, 0x91, 0x38, 0x64, 0x09}},
};

static void effect_delay(const struct fault_step *step)
{
    struct timespec left = {.tv_sec = (time_t)(step->number / 1000u),
                            .tv_nsec = (long)(step->number % 1000u) * 1000000L};

    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        continue;
}

static void effect_hang(const struct fault_step *step)
{
    (void)step;
    for (;;)
        (void)pause();
}

static void effect_crash(const struct fault_step *step)
{
    (void)step;
    (void)signal(SIGSEGV, SIG_DFL);
    (void)raise(SIGSEGV);
}

static void effect_exit(const struct fault_step *step)
{
    (void)step;
    exit(EXIT_CODE);
}

static void effect_abort(const struct fault_step *step)
{
    (void)step;
    abort();
}

/* Lines with what a log must not take over: an escape sequence, a carriage return, a bad byte. */
static void spam(int fd, unsigned long len)
{
    static const char line[] = "p11fault \033[31mred\033[0m \r<3>forged \xff line\n";
    char block[64 * (sizeof(line) - 1)];

    for (size_t i = 0; i < sizeof(block); i += sizeof(line) - 1)
        (void)memcpy(block + i, line, sizeof(line) - 1);
    while (len > 0) {
        ssize_t n = write(fd, block, len < sizeof(block) ? len : sizeof(block));
        if (n < 0 && errno != EINTR)
            return;
        len -= n > 0 ? (unsigned long)n : 0;
    }
}

static void effect_stdout(const struct fault_step *step)
{
    spam(STDOUT_FILENO, step->number);
}

static void effect_stderr(const struct fault_step *step)
{
    spam(STDERR_FILENO, step->number);
}

static void effect_close_fds(const struct fault_step *step)
{
    (void)step;
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        (void)close(fd);
}

/* A token does one thing at a time, however many threads ask. */
static void effect_busy(const struct fault_step *step)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

    (void)pthread_mutex_lock(&mutex);
    effect_delay(step);
    (void)pthread_mutex_unlock(&mutex);
}

static void effect_chdir(const struct fault_step *step)
{
    (void)!chdir(step->text);
}

static void effect_sigmask(const struct fault_step *step)
{
    sigset_t all;

    (void)step;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, NULL);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
}

static void effect_setlocale(const struct fault_step *step)
{
    (void)setlocale(LC_ALL, step->text);
}

static void effect_setuid(const struct fault_step *step)
{
    (void)!setuid((uid_t)step->number);
}

static void *idle_thread(void *unused)
{
    effect_hang(unused);
    return NULL;
}

static void effect_thread(const struct fault_step *step)
{
    pthread_t thread;

    (void)step;
    if (pthread_create(&thread, NULL, idle_thread, NULL) == 0)
        (void)pthread_detach(thread);
}

static void (*const effects[])(const struct fault_step *step) = {
    [FAULT_DELAY] = effect_delay,         [FAULT_HANG] = effect_hang,
    [FAULT_CRASH] = effect_crash,         [FAULT_EXIT] = effect_exit,
    [FAULT_ABORT] = effect_abort,         [FAULT_STDOUT] = effect_stdout,
    [FAULT_STDERR] = effect_stderr,       [FAULT_CLOSE_FDS] = effect_close_fds,
    [FAULT_CHDIR] = effect_chdir,         [FAULT_SIGMASK] = effect_sigmask,
    [FAULT_SETLOCALE] = effect_setlocale, [FAULT_SETUID] = effect_setuid,
    [FAULT_THREAD] = effect_thread,       [FAULT_BUSY] = effect_busy,
};

struct fault_outcome fault_effects_run(const struct fault_plan *plan)
{
    struct fault_outcome outcome = {.rv = CKR_OK};

    for (size_t i = 0; i < plan->count; i++) {
        const struct fault_step *step = &plan->steps[i];
        if (step->action < ARRAY_SIZE(effects)) {
            effects[step->action](step);
        } else if (step->action == FAULT_RV) {
            outcome.answered = true;
            outcome.rv = step->number;
        } else {
            outcome.damaged = true;
            outcome.damage = step->action;
        }
    }
    return outcome;
}

/* s becomes the larger of s and n - s: both are valid, some programs insist on one of them. */
static void raise_s(CK_BYTE *signature, size_t len)
{
    CK_BYTE mirrored[66];
    int borrow = 0;

    for (size_t i = 0; i < ARRAY_SIZE(curves); i++) {
        size_t half_len = curves[i].half_len;
        CK_BYTE *s = signature + half_len;
        if (len != 2 * half_len)
            continue;
        for (size_t k = half_len; k-- > 0;) {
            int digit = (int)curves[i].order[k] - (int)s[k] - borrow;
            borrow = digit < 0;
            mirrored[k] = (CK_BYTE)(digit + (borrow ? 256 : 0));
        }
        if (memcmp(mirrored, s, half_len) > 0)
            (void)memcpy(s, mirrored, half_len);
    }
}

void fault_damage(enum fault_action damage, CK_BYTE *signature, CK_ULONG room, CK_ULONG *len)
{
    size_t half_len = *len / 2;

    switch (damage) {
    case FAULT_GARBAGE:
        (void)!getrandom(signature, *len, 0);
        break;
    case FAULT_SHORT:
        *len -= *len > 0;
        break;
    case FAULT_LONG:
        *len = room + LIE_LEN;
        break;
    case FAULT_ZERO_R:
        (void)memset(signature, 0, half_len);
        break;
    case FAULT_ZERO_S:
        (void)memset(signature + half_len, 0, half_len);
        break;
    case FAULT_HIGH_S:
        raise_s(signature, *len);
        break;
    case FAULT_EMPTY:
        *len = 0;
        break;
    case FAULT_FLIP:
        signature[half_len] ^= 1u;
        break;
    default:
        break;
    }
}

struct fault_outcome fault_begin(const char *function)
{
    struct fault_plan plan;

    fault_rules_log(function);
    fault_rules_plan(function, &plan);
    return fault_effects_run(&plan);
}
