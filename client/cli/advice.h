/* SPDX-License-Identifier: Apache-2.0 */
/* What a person should do about an agent's status: one sentence for each problem. Pure. */
#ifndef MTLS_CLI_ADVICE_H
#define MTLS_CLI_ADVICE_H

#include "client/lib/mtls-agent.h"

/* @line: whole sentences; may hold untrusted text, to be escaped by the receiver. */
typedef void (*advice_fn)(void *context, const char *line);

/**
 * advice_give() - call @say once for each problem, the most general first
 * @status:     borrowed
 * @context:    handed to @say
 */
void advice_give(const struct mtls_agent_status *status, advice_fn say, void *context);

/**
 * advice_token_selector() - what names a token alone
 *
 * Return: its label, or its serial when another token has the same label; borrowed from @status.
 */
const char *advice_token_selector(const struct mtls_agent_status *status,
                                  const struct mtls_agent_token_status *token);

#endif
