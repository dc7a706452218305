/* SPDX-License-Identifier: Apache-2.0 */
/* The agent as a process of this machine: whose it is, which files it reads, making it read them.
 */
#ifndef MTLS_CLI_AGENT_PROCESS_H
#define MTLS_CLI_AGENT_PROCESS_H

#include <stdbool.h>

#include "client/cli/cli.h"

struct agent_process {
    pid_t pid;    /* 0: it cannot be seen from here, as from another PID namespace */
    bool is_own;  /* of the user who runs this program: it reads the user's files */
    char *config; /* owned; its --config FILE, then it reads no other; NULL: none */
};

#define AGENT_PROCESS_INIT ((struct agent_process){0})

/**
 * agent_process_find() - the process behind an agent's status
 * @ret_process: filled; agent_process_deinit()
 *
 * Return: 0, or -ENOMEM.
 */
int agent_process_find(const struct mtls_agent_status *status,
                       struct agent_process *ret_process) _must_check_;
void agent_process_deinit(struct agent_process *process);

/**
 * agent_process_check_config() - whether the user's agent would take its files as they are now
 * @problem:    filled when not: its first line
 *
 * Return: 0; 1: it would not; or -errno.
 */
int agent_process_check_config(char *problem, size_t size) _must_check_;

/**
 * agent_process_reload() - make it read its files, and wait for what shall come of it
 * @process:    our own
 * @is_done:    asked until it says yes
 *
 * Return: true when @is_done said yes within a few seconds.
 */
bool agent_process_reload(const struct agent_process *process, bool (*is_done)(void *userdata),
                          void *userdata);

#define _cleanup_agent_process_ _cleanup_(agent_process_deinit)

#endif
