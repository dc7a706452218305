/* SPDX-License-Identifier: Apache-2.0 */
/* Names of keys and tokens as a caller gives them: checked here, resolved by the agent. */
#ifndef MTLS_CLIENT_SELECTOR_H
#define MTLS_CLIENT_SELECTOR_H

#include "client/lib/mtls-agent.h"
#include "common/cleanup.h"

/**
 * selector_check() - can the agent be asked for this name at all?
 * @selector:   UTF-8 of at most PROTOCOL_SELECTOR_MAX bytes; NULL: no name
 *
 * Return: 0, or MTLS_AGENT_E_ARGUMENT with @error filled.
 */
int selector_check(const char *selector, struct mtls_agent_error *error) _must_check_;

#endif
