/* SPDX-License-Identifier: Apache-2.0 */
/* From a URI to the keys that the agent has for it: what the store and the decoder share. */
#ifndef MTLS_PROVIDER_LOOKUP_H
#define MTLS_PROVIDER_LOOKUP_H

#include "client/provider/context.h"

/**
 * lookup_keys() - ask the agent, once
 * @uri:        `mtls-agent:NAME` or `pkcs11:...`
 * @is_single:  exactly one key has to fit
 * @ret_keys:   filled; owned by the caller
 *
 * Blocks until the agent's deadline at most.
 * Return: 1, or 0 with an entry in the error queue.
 */
int lookup_keys(struct provider_context *context, const char *uri, bool is_single,
                struct mtls_agent_keys **ret_keys) _must_check_;

DEFINE_CLEANUP(struct mtls_agent_keys *, mtls_agent_keys, mtls_agent_keys_free)

#endif
