/* SPDX-License-Identifier: Apache-2.0 */
/* Reasons to wait for a person; see waiting.h. */
#include "agent/waiting.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/notice.h"
#include "common/escape.h"
#include "common/log.h"

struct waiting_reason {
    struct list link;
    char *key;
    char *subject;
    char *text;
};

void waiting_list_init(struct waiting_list *waiting)
{
    list_init(&waiting->reasons);
    waiting->count = 0;
}

static void waiting_remove(struct waiting_list *waiting, struct waiting_reason *reason)
{
    list_remove(&reason->link);
    waiting->count--;
    free(reason->key);
    free(reason->subject);
    free(reason->text);
    free(reason);
}

void waiting_list_deinit(struct waiting_list *waiting)
{
    list_for_each_safe (link, &waiting->reasons)
        waiting_remove(waiting, list_entry(link, struct waiting_reason, link));
}

static struct waiting_reason *waiting_find(const struct waiting_list *waiting, const char *key)
{
    list_for_each (link, &waiting->reasons) {
        struct waiting_reason *reason = list_entry(link, struct waiting_reason, link);
        if (strcmp(reason->key, key) == 0)
            return reason;
    }
    return NULL;
}

static struct waiting_reason *waiting_add(struct waiting_list *waiting, const char *key,
                                          const char *subject, const char *text)
{
    struct waiting_reason *reason = calloc(1, sizeof(*reason));

    if (!reason)
        return NULL;
    list_append(&waiting->reasons, &reason->link);
    waiting->count++;
    reason->key = strdup(key);
    reason->subject = strdup(subject);
    reason->text = strdup(text);
    if (reason->key && reason->subject && reason->text)
        return reason;
    waiting_remove(waiting, reason);
    return NULL;
}

static void waiting_tell(struct agent *agent, const struct waiting_reason *reason)
{
    char shown[256];
    char summary[sizeof(shown) + 32];

    (void)snprintf(summary, sizeof(summary), "Key \"%s\" waits for you",
                   escape_cstring(reason->subject, shown, sizeof(shown)));
    int r = agent->notices ? notice_show(agent->notices, reason->key, summary, reason->text) : 0;
    if (r)
        log_debug("no note on the desktop: %s", strerror(-r));
    agent_broadcast(agent, EVENT_WAITING, reason->subject, reason->text);
}

/* For subscribers: the key does not wait for this any more, but perhaps for something else. */
static void waiting_tell_over(struct agent *agent, const char *subject)
{
    list_for_each (link, &agent->waiting.reasons) {
        const struct waiting_reason *reason = list_entry(link, struct waiting_reason, link);
        if (strcmp(reason->subject, subject) != 0)
            continue;
        agent_broadcast(agent, EVENT_WAITING, subject, reason->text);
        return;
    }
    agent_broadcast(agent, EVENT_WAITING, subject, "done");
}

void agent_tell_waiting(struct agent *agent, const char *key, const char *subject, const char *text)
{
    struct waiting_reason *reason = waiting_find(&agent->waiting, key);
    struct waiting_reason *before = reason;

    if (reason && strcmp(reason->subject, subject) == 0 && strcmp(reason->text, text) == 0)
        return;
    if (reason || agent->waiting.count < WAITING_COUNT_MAX)
        reason = waiting_add(&agent->waiting, key, subject, text);
    if (!reason)
        return;
    waiting_tell(agent, reason);
    if (!before)
        return;
    _cleanup_free_ char *was =
        strcmp(before->subject, subject) != 0 ? strdup(before->subject) : NULL;
    waiting_remove(&agent->waiting, before);
    if (was)
        waiting_tell_over(agent, was);
}

void agent_tell_waiting_over(struct agent *agent, const char *key)
{
    struct waiting_reason *over = waiting_find(&agent->waiting, key);

    if (!over)
        return;
    char *subject = TAKE_PTR(over->subject);
    waiting_remove(&agent->waiting, over);
    if (agent->notices)
        (void)notice_close(agent->notices, key);
    waiting_tell_over(agent, subject);
    free(subject);
}
