/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What logind says (org.freedesktop.login1 on the system bus): the system goes to sleep or wakes
 * up, a session of our user is locked, the last one ends. PINs are forgotten then. Sleep is held
 * back by a delay lock until they are. In a service, whose uid has no session, only sleep counts.
 */
#ifndef MTLS_AGENT_SESSION_H
#define MTLS_AGENT_SESSION_H

#include "common/cleanup.h"

struct agent;
struct session_watch;

/**
 * session_watch_new() - follow logind as long as it lives
 * @agent:      borrowed
 * @ret_watch:  filled; owned by the caller
 *
 * No bus or no logind is no error: both are taken when they come.
 * Return: 0, or -errno.
 */
int session_watch_new(struct agent *agent, struct session_watch **ret_watch) _must_check_;

/** session_watch_free() - NULL is fine. Return: NULL. */
struct session_watch *session_watch_free(struct session_watch *watch);

#endif
