/* SPDX-License-Identifier: Apache-2.0 */
/* A key of the agent in the words that people and programs read, and finding the one that is meant.
 */
#ifndef MTLS_CLI_KEY_VIEW_H
#define MTLS_CLI_KEY_VIEW_H

#include "client/cli/cli.h"

#define KEY_VIEW_HASH_MAX (sizeof("sha256:") + 2 * MTLS_AGENT_KEY_HASH_LEN)
#define KEY_VIEW_ALGORITHM_MAX 24

/** key_view_algorithm() - "EC P-256", "RSA 2048", "Ed25519". Return: @buffer. */
const char *key_view_algorithm(enum mtls_agent_key_type type, unsigned int bits,
                               char buffer[static KEY_VIEW_ALGORITHM_MAX]);

/** key_view_state() - "ready", "locked", "absent": stable words. */
const char *key_view_state(enum mtls_agent_key_state state);

/**
 * key_view_is_tls12_only() - its token can make no signature that TLS 1.3 takes
 *
 * An RSA key on a token without RSA-PSS and without raw RSA: PKCS#1 v1.5 is of TLS 1.2.
 */
bool key_view_is_tls12_only(const struct mtls_agent_key *key);

/** key_view_note_tls12() - tell the user when a key that a program is to use is such a one. */
void key_view_note_tls12(const struct mtls_agent_key *key);

/** key_view_hash() - "sha256:" and 64 hex digits. Return: @buffer. */
const char *key_view_hash(const uint8_t hash[static MTLS_AGENT_KEY_HASH_LEN],
                          char buffer[static KEY_VIEW_HASH_MAX]);

/** key_view_escape() - an escaped copy for a terminal, owned by the caller; NULL: short memory. */
char *key_view_escape(const char *text) _must_check_;

/**
 * key_view_fail() - cli_fail_agent() for a key that was asked for
 * @error:      filled by the library; changed
 *
 * When no key has the name, it names a token that waits for its PIN: the key may be on that one.
 */
int key_view_fail(struct mtls_agent *agent, struct mtls_agent_error *error);

/**
 * key_view_find() - the one key that a selector names
 * @selector:   name, pkcs11: URI or sha256: hash; NULL: the only key that has a certificate
 * @ret_keys:   filled with the list that holds the key; owned by the caller
 * @ret_key:    filled; borrowed from *ret_keys
 *
 * Return: CLI_OK, or the exit code of a failure that was reported.
 */
int key_view_find(struct mtls_agent *agent, const char *selector, struct mtls_agent_keys **ret_keys,
                  const struct mtls_agent_key **ret_key) _must_check_;

/** key_view_fail_no_certificate() - says what is missing. Return: CLI_FAILURE. */
int key_view_fail_no_certificate(const struct mtls_agent_key *key);

/**
 * key_view_selector() - what names @key in a file for later use
 * @ret_selector: filled; owned by the caller: the key's name when it names this key alone and will
 *              stay, else sha256: and the whole hash
 *
 * Return: CLI_OK, or the exit code of a failure that was reported.
 */
int key_view_selector(struct mtls_agent *agent, const struct mtls_agent_key *key,
                      char **ret_selector) _must_check_;

#endif
