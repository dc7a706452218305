/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts a program again and again and times each from start to exit: bench-spawn PROGRAM ARG...
 * It prints "ready", then for each line "spawn COUNT AT_ONCE" runs COUNT processes, AT_ONCE started
 * together, and prints one line of JSON. An exit code other than 0 is a failure.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "latency.h"

#define SPAWN_AT_ONCE_MAX 64u

struct child {
    pid_t pid;
    uint64_t start_ns;
};

static int start_child(struct child *child, char **argv)
{
    static posix_spawn_file_actions_t silence;
    static bool is_ready;

    if (!is_ready) {
        (void)posix_spawn_file_actions_init(&silence);
        (void)posix_spawn_file_actions_addopen(&silence, 0, "/dev/null", O_RDONLY, 0);
        (void)posix_spawn_file_actions_addopen(&silence, 1, "/dev/null", O_WRONLY, 0);
        (void)posix_spawn_file_actions_addopen(&silence, 2, "/dev/null", O_WRONLY, 0);
        is_ready = true;
    }
    child->start_ns = latency_now_ns();
    return posix_spawnp(&child->pid, argv[0], &silence, NULL, argv, environ);
}

static void reap_child(struct child *children, unsigned long count, struct latency *latency)
{
    int status = 0;
    pid_t pid = waitpid(-1, &status, 0);
    uint64_t now = latency_now_ns();

    for (unsigned long i = 0; i < count; i++)
        if (children[i].pid == pid)
            latency_add(latency, now - children[i].start_ns);
    latency->failures += status != 0;
}

static int spawn_all(char **argv, unsigned long count, unsigned long at_once,
                     struct latency *latency)
{
    struct child children[SPAWN_AT_ONCE_MAX];
    uint64_t start = latency_now_ns();

    memset(latency, 0, sizeof(*latency));
    while (count > 0) {
        unsigned long wave = count < at_once ? count : at_once;
        for (unsigned long i = 0; i < wave; i++)
            if (start_child(&children[i], argv))
                return 1;
        for (unsigned long i = 0; i < wave; i++)
            reap_child(children, wave, latency);
        count -= wave;
    }
    latency_print(latency, latency_now_ns() - start);
    return 0;
}

int main(int argc, char **argv)
{
    _cleanup_free_ struct latency *latency = calloc(1, sizeof(*latency));
    unsigned long count = 0;
    unsigned long at_once = 0;
    char line[64];

    if (argc < 2 || !latency) {
        (void)fputs("usage: bench-spawn PROGRAM ARG...\n", stderr);
        return 2;
    }
    (void)puts("ready");
    (void)fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        if (sscanf(line, "spawn %lu %lu", &count, &at_once) != 2 || at_once < 1 ||
            at_once > SPAWN_AT_ONCE_MAX || spawn_all(argv + 1, count, at_once, latency))
            return 1;
    }
    return 0;
}
