/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key object as OpenSSL holds it: the public half, and for a private key which key of which agent
 * signs. Shared by reference, immutable once filled; there is no secret in it.
 */
#ifndef MTLS_PROVIDER_AGENT_KEY_H
#define MTLS_PROVIDER_AGENT_KEY_H

#include "client/provider/context.h"
#include "client/provider/public_key.h"

/* What OpenSSL carries between a store or decoder and the key management, and does not look into:
 * the address of a variable with a struct agent_key *. Who takes the key empties the variable. */
#define AGENT_KEY_REFERENCE_LEN sizeof(void *)

struct agent_key {
    atomic_uint refs;
    struct provider_context *context; /* borrowed: OpenSSL keeps the provider as long as its keys */
    struct mtls_agent *agent;         /* borrowed; NULL: the public half alone */
    uint8_t hash[MTLS_AGENT_KEY_HASH_LEN];
    struct public_key public_key;
};

/** agent_key_new() - an empty one of the type, to be filled once. Return: NULL without memory. */
struct agent_key *agent_key_new(struct provider_context *context, enum key_type type) _must_check_;
struct agent_key *agent_key_ref(struct agent_key *key) _must_check_;
struct agent_key *agent_key_unref(struct agent_key *key);

/** agent_key_is_private() - it can sign */
bool agent_key_is_private(const struct agent_key *key);

/** agent_key_new_public() - the public half of @key as an object of its own, or NULL. */
struct agent_key *agent_key_new_public(const struct agent_key *key) _must_check_;

/**
 * agent_key_describe() - all that a key object is made from, as DER
 * @ret_der:    filled; owned by the caller
 *
 * How keys travel between the steps of OpenSSL's decoders, which pass bytes:
 * SEQUENCE { UTF8String AGENT_KEY_VERSION, OCTET STRING hash, SubjectPublicKeyInfo }.
 * Return: 0 or -ENOMEM.
 */
#define AGENT_KEY_VERSION "mtls-agent key 1"
int agent_key_describe(const struct mtls_agent_key *key, struct wire_span *ret_der) _must_check_;

/**
 * agent_key_from_description() - a private key
 * @agent:      borrowed; who signs
 *
 * Return: 0; PUBLIC_KEY_E_UNSUPPORTED when @der is no description, or of a kind of key that this
 * project does not know; -ENOMEM.
 */
int agent_key_from_description(struct provider_context *context, struct mtls_agent *agent,
                               struct wire_span der, struct agent_key **ret_key) _must_check_;

/** agent_key_new_private() - the same from what the agent listed. */
int agent_key_new_private(struct provider_context *context, const struct mtls_agent_key *key,
                          struct agent_key **ret_key) _must_check_;

/** agent_key_type_name() - what OpenSSL calls the type: "RSA", "RSA-PSS", "EC", "ED25519". */
const char *agent_key_type_name(enum key_type type);

DEFINE_CLEANUP(struct agent_key *, agent_key, agent_key_unref)

#endif
