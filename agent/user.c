/* SPDX-License-Identifier: Apache-2.0 */
/* Accounting per uid; see user.h. */
#include "agent/user.h"

static struct user *user_find(struct user_registry *registry, uid_t uid)
{
    for (struct user *user = registry->first; user; user = user->next)
        if (user->uid == uid)
            return user;
    return NULL;
}

static struct user *user_get(struct user_registry *registry, uid_t uid)
{
    struct user *user = user_find(registry, uid);

    if (user)
        return user;
    user = calloc(1, sizeof(*user));
    if (!user)
        return NULL;
    user->uid = uid;
    user->next = registry->first;
    registry->first = user;
    return user;
}

static void user_release(struct user_registry *registry, struct user *user)
{
    struct user **link = &registry->first;

    if (user->connection_count > 0 || user->request_count > 0)
        return;
    while (*link != user)
        link = &(*link)->next;
    *link = user->next;
    free(user);
}

int user_add_connection(struct user_registry *registry, uid_t uid, struct user **ret_user)
{
    struct user *user = user_get(registry, uid);

    if (!user)
        return -ENOMEM;
    if (user->connection_count >= USER_CONNECTIONS_MAX)
        return 1;
    user->connection_count++;
    *ret_user = user;
    return 0;
}

void user_remove_connection(struct user_registry *registry, struct user *user)
{
    user->connection_count--;
    user_release(registry, user);
}
