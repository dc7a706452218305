/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's process; see agent_process.h. */
#include "client/cli/agent_process.h"

#include <signal.h>
#include <string.h>

#include "client/cli/install_paths.h"
#include "client/cli/own_file.h"
#include "client/cli/program.h"
#include "common/clock.h"

#define AGENT_PROCESS_NAME "mtls-agent"
#define AGENT_PROCESS_TEXT_MAX 65536u
#define AGENT_PROCESS_RELOAD_MS 10000u
/* The protocol has no event for a reload that is over. */
#define AGENT_PROCESS_LOOK_AGAIN_MS 20

void agent_process_deinit(struct agent_process *process)
{
    free(process->config);
    *process = AGENT_PROCESS_INIT;
}

/* A file of /proc/PID; false when it cannot be read. */
static bool agent_process_read(unsigned int pid, const char *name, struct wire_writer *text)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
    wire_writer_init(text, AGENT_PROCESS_TEXT_MAX);
    return access(path, R_OK) == 0 && own_file_read(path, text) == 0 && text->len > 0;
}

/* The real uid is the first number of the line. */
static bool agent_process_has_our_uid(const char *status)
{
    const char *line = strstr(status, "\nUid:");
    unsigned int uid = 0;

    /* NOLINTNEXTLINE(cert-err34-c): the kernel writes it */
    return line && sscanf(line, "\nUid: %u", &uid) == 1 && uid == geteuid();
}

static int agent_process_find_config(const struct wire_writer *command, char **ret_config)
{
    static const char option[] = "--config";
    const char *at = (const char *)command->data;
    const char *end = at + command->len;

    for (; at < end; at += strlen(at) + 1) {
        size_t len = sizeof(option) - 1;
        if (strncmp(at, option, len) != 0 || (at[len] != '\0' && at[len] != '='))
            continue;
        const char *value = at + len + 1;
        if (value >= end)
            return 0;
        *ret_config = strdup(value);
        return *ret_config ? 0 : -ENOMEM;
    }
    return 0;
}

int agent_process_find(const struct mtls_agent_status *status, struct agent_process *ret_process)
{
    _cleanup_wire_writer_ struct wire_writer name = {0};
    _cleanup_wire_writer_ struct wire_writer about = {0};
    _cleanup_wire_writer_ struct wire_writer command = {0};
    struct agent_process process = AGENT_PROCESS_INIT;

    /* The number is the agent's word, and of its own PID namespace. */
    if (status->pid > 1 && agent_process_read(status->pid, "comm", &name) &&
        strcmp((const char *)name.data, AGENT_PROCESS_NAME "\n") == 0 &&
        agent_process_read(status->pid, "status", &about)) {
        process.pid = (pid_t)status->pid;
        process.is_own = agent_process_has_our_uid((const char *)about.data);
        if (agent_process_read(status->pid, "cmdline", &command) &&
            agent_process_find_config(&command, &process.config))
            return -ENOMEM;
    }
    *ret_process = process;
    return 0;
}

int agent_process_check_config(char *problem, size_t size)
{
    _cleanup_wire_writer_ struct wire_writer output = {0};
    _cleanup_free_ char *agent = NULL;
    _cleanup_free_ char *found = NULL;
    int code = 0;

    int r = install_paths_agent(&agent);
    if (r == 0 && !strchr(agent, '/'))
        r = program_find(agent, &found);
    if (r)
        return r;
    /* Never a file of that name in the working directory. */
    if (!found && !strchr(agent, '/'))
        return -ENOENT;
    const char *const argv[] = {found ? found : agent, "--check-config", NULL};
    wire_writer_init(&output, PROGRAM_OUTPUT_MAX);
    r = program_run(argv, NULL, &output, &code);
    if (r)
        return r > 0 ? -ETIMEDOUT : r;
    (void)program_first_line(&output, problem, size);
    return code == 0 ? 0 : 1;
}

bool agent_process_reload(const struct agent_process *process, bool (*is_done)(void *userdata),
                          void *userdata)
{
    uint64_t end_ms = clock_monotonic_ms() + AGENT_PROCESS_RELOAD_MS;
    const struct timespec pause = {.tv_nsec = AGENT_PROCESS_LOOK_AGAIN_MS * 1000000L};

    if (kill(process->pid, SIGHUP) < 0)
        return false;
    while (!is_done(userdata)) {
        if (clock_monotonic_ms() >= end_ms)
            return false;
        (void)nanosleep(&pause, NULL);
    }
    return true;
}
