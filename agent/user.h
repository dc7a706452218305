/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one uid may hold at a time: connections and requests. A user exists while something of
 * theirs does.
 */
#ifndef MTLS_AGENT_USER_H
#define MTLS_AGENT_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/cleanup.h"

#define USER_CONNECTIONS_MAX 2048u
#define USER_REQUESTS_MAX 4096u

struct user {
    struct user *next;
    uid_t uid;
    size_t connection_count;
    size_t request_count;
};

struct user_registry {
    struct user *first;
};

/**
 * user_add_connection() - count one more connection of @uid
 * @ret_user:   filled; valid until the matching user_remove_connection()
 *
 * Return: 0, 1 when the quota is used up, or -ENOMEM.
 */
int user_add_connection(struct user_registry *registry, uid_t uid,
                        struct user **ret_user) _must_check_;
void user_remove_connection(struct user_registry *registry, struct user *user);

#endif
