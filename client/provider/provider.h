/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The provider as libmtls-agent links it in: keys and signatures alone, no store and no decoders,
 * under a name of its own, so that it does not meet the mtls-agent.so that a configuration may have
 * activated in the same program.
 */
#ifndef MTLS_PROVIDER_PROVIDER_H
#define MTLS_PROVIDER_PROVIDER_H

#include <openssl/core.h>
#include <openssl/evp.h>

#include "client/lib/mtls-agent.h"
#include "common/cleanup.h"

#define PROVIDER_LIBRARY_NAME "mtls-agent-library"

/**
 * mtls_agent_provider_init() - for OSSL_PROVIDER_add_builtin() under PROVIDER_LIBRARY_NAME
 *
 * Load "default" before it, in the same library context: see precedence.h. A shared object that
 * holds this must not be unloaded afterwards (-z nodelete).
 */
OSSL_provider_init_fn mtls_agent_provider_init;

/**
 * provider_pkey_new() - a private key that the agent holds, as OpenSSL's own type
 * @libctx:     where the provider is active; NULL: the default one
 * @agent:      borrowed; must outlive the EVP_PKEY and all copies of it
 * @key:        borrowed for the call
 *
 * Asks the agent nothing; does not block.
 * Return: the key, owned by the caller, or NULL with entries in OpenSSL's error queue.
 */
EVP_PKEY *provider_pkey_new(OSSL_LIB_CTX *libctx, struct mtls_agent *agent,
                            const struct mtls_agent_key *key) _must_check_;

#endif
