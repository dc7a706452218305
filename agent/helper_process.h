/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting our helper programs: exactly the descriptors they need, default signals, and an
 * environment made from an allow-list (research: a loader variable must never reach a vendor
 * module).
 */
#ifndef MTLS_AGENT_HELPER_PROCESS_H
#define MTLS_AGENT_HELPER_PROCESS_H

#include <sys/types.h>

#include "common/cleanup.h"

#define HELPER_FDS_MAX 5

/* What a helper is started with. Everything borrowed. */
struct helper_request {
    const char *helper;      /* name of the program, common/paths.h */
    const char *const *argv; /* NULL-terminated, argv[0] included */
    int fds[HELPER_FDS_MAX]; /* becomes descriptor 0, 1, ...; negative: /dev/null */
    size_t fd_count;
    char *const *environment; /* NAME=VALUE further variables, NULL-terminated; NULL: none */
};

/**
 * helper_process_start() - start it
 * @ret_pid:    filled
 *
 * Return: 0, or -errno.
 */
int helper_process_start(const struct helper_request *request, pid_t *ret_pid) _must_check_;

#endif
