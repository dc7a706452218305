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

#define ADVICE_SELECTOR_MAX 4096

/**
 * advice_token_selector() - what names a token alone
 * @buffer:     for one that has to be made
 *
 * Return: its label; its serial when another token has the same label; a URI with the module when
 * both are the same, as with one card seen through two modules. Borrowed from @status or @buffer.
 */
const char *advice_token_selector(const struct mtls_agent_status *status,
                                  const struct mtls_agent_token_status *token,
                                  char buffer[static ADVICE_SELECTOR_MAX]);

#endif
