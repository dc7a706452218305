/* SPDX-License-Identifier: Apache-2.0 */
/* `mtls list --watch`: the keys, and from then on a line for each change of them. */
#ifndef MTLS_CLI_LIST_WATCH_H
#define MTLS_CLI_LIST_WATCH_H

#include "client/cli/cli.h"

/**
 * list_watch() - print what changes until a failure that stays, or a signal
 * @selector:   as for mtls_agent_list(); NULL: all keys
 * @as_json:    one JSON object in one line for each; also for each key that is there at first
 * @show:       without @as_json shows the keys of the beginning; gives an exit code
 *
 * An agent that was restarted is connected to again. What persons are waited for is told, too: so
 * requests wait for them as long as this runs. Return: the exit code of a failure that was
 * reported.
 */
int list_watch(struct mtls_agent *agent, const char *selector, bool as_json,
               int (*show)(const struct mtls_agent_keys *keys)) _must_check_;

#endif
