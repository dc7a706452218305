/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits for a person at the moment: a reason each, told to subscribers and on the desktop when
 * it comes, when its words change, and when it is over.
 */
#ifndef MTLS_AGENT_WAITING_H
#define MTLS_AGENT_WAITING_H

#include "agent/list.h"

struct agent;

#define WAITING_COUNT_MAX 1024u /* more at the same time are not told of */

/* Embedded in the agent. */
struct waiting_list {
    struct list reasons;
    size_t count;
};

void waiting_list_init(struct waiting_list *waiting);

/** waiting_list_deinit() - forget them all, without telling. */
void waiting_list_deinit(struct waiting_list *waiting);

/**
 * agent_tell_waiting() - a key waits for a person: an event, and a note on the desktop
 * @key:        names the reason, for agent_tell_waiting_over()
 * @subject:    name of the key that waits, as people know it; unescaped
 * @text:       what is waited for, and for which program; escaped
 *
 * All are copied. The same reason with other words, or for another key, takes the place of the
 * first, with the same nothing happens. Where memory is short nobody is told.
 */
void agent_tell_waiting(struct agent *agent, const char *key, const char *subject,
                        const char *text);

/**
 * agent_tell_waiting_over() - the reason is gone
 *
 * Subscribers get "done", or the words of another reason for which the same key still waits. May be
 * called for a reason that was never told.
 */
void agent_tell_waiting_over(struct agent *agent, const char *key);

#endif
