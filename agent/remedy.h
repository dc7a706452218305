/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person can write into the configuration so that a refused signature is allowed: the very
 * lines, in the file that this agent reads, and what follows from them.
 */
#ifndef MTLS_AGENT_REMEDY_H
#define MTLS_AGENT_REMEDY_H

#include "agent/keyring.h"

/**
 * remedy_for_digest() - the whole sentence for a key that may not sign digests
 * @reason:     why it was refused
 * @text:       filled; when memory is short, or names are too long for it, with @reason alone
 */
void remedy_for_digest(const struct keyring *keyring, const struct keyring_key *key,
                       const char *reason, char text[static PROTOCOL_TEXT_MAX]);

#endif
