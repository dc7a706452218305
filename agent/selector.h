/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people write to name a key or a token: a name, an RFC 7512 `pkcs11:` URI, or `sha256:` and
 * at least 8 hex digits of the SPKI's hash. Parsed once, then asked about candidates.
 */
#ifndef MTLS_AGENT_SELECTOR_H
#define MTLS_AGENT_SELECTOR_H

#include "agent/inventory.h"

/* Positive answer: not a selector; the text says why. */
enum {
    SELECTOR_E_INVALID = 1,
};

struct selector;

/** selector_is_uri() - it has the form of a URI, well-formed or not. */
bool selector_is_uri(struct wire_span text);

/**
 * selector_new() - parse
 * @text:       borrowed; empty selects everything
 * @ret_reason: filled with a static sentence when it is invalid
 *
 * Return: 0, SELECTOR_E_INVALID, or -ENOMEM.
 */
int selector_new(struct wire_span text, struct selector **ret_selector,
                 const char **ret_reason) _must_check_;
struct selector *selector_free(struct selector *selector);

/**
 * selector_matches_key() - whether it names this key
 * @name:       what people type for the key: its alias, else its label
 */
bool selector_matches_key(const struct selector *selector, const char *name,
                          const struct inventory_key *key, const char *module,
                          const struct worker_token *token);

/**
 * selector_matches_token() - by label, serial or URI; a fingerprint names no token
 * @module:     where the token is seen, by its name in the configuration: one card may be seen
 *              through two. A URI may have `module-name`.
 */
bool selector_matches_token(const struct selector *selector, const char *module,
                            const struct worker_token *token);

/** selector_names_object() - a URI that says more than which token: id, object or type. */
bool selector_names_object(const struct selector *selector);

/**
 * selector_format_uri() - the `pkcs11:` URI that names a key by all that is known of it
 *
 * Return: the URI, owned by the caller, or NULL without memory.
 */
char *selector_format_uri(const struct inventory_key *key,
                          const struct worker_token *token) _must_check_;

DEFINE_CLEANUP(struct selector *, selector, selector_free)

#endif
