/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one worker reported of its tokens and keys, copied out of its messages. Collected message by
 * message, complete once it was counted and found whole, never changed after that.
 */
#ifndef MTLS_AGENT_INVENTORY_H
#define MTLS_AGENT_INVENTORY_H

#include "common/worker_protocol.h"

#define INVENTORY_LEN_MAX (64u * 1024u * 1024u) /* 4 KiB for each of WORKER_KEYS_MAX keys */

struct inventory_token {
    struct worker_token info; /* spans into @blob */
    uint8_t *blob;
    size_t blob_len;
    uint32_t key_count;
};

struct inventory_key {
    struct worker_key info; /* spans into @blob */
    uint8_t *blob;
    size_t blob_len;
    uint8_t hash[PROTOCOL_KEY_HASH_LEN]; /* SHA-256 of the SPKI */
};

struct inventory {
    unsigned int ref_count;
    struct inventory_token *tokens;
    size_t token_count;
    size_t token_cap;
    struct inventory_key *keys;
    size_t key_count;
    size_t key_cap;
    uint32_t *by_hash; /* indices of @keys, sorted by hash; once it is complete */
    size_t len;        /* bytes of all blobs */
    bool uses_pcsc;    /* its module talks to smart card readers */
};

struct inventory *inventory_new(void) _must_check_;
struct inventory *inventory_ref(struct inventory *inventory);
struct inventory *inventory_unref(struct inventory *inventory);

/**
 * inventory_add_token() - one WORKER_TOKEN
 * @body:       of the frame; copied
 *
 * Return: 0, WIRE_E_MALFORMED, or -ENOMEM.
 */
int inventory_add_token(struct inventory *inventory, struct wire_span body) _must_check_;

/** inventory_add_key() - one WORKER_KEY, of a token that was added before. Returns as above. */
int inventory_add_key(struct inventory *inventory, struct wire_span body) _must_check_;

/** inventory_finish() - it is complete, and keys can be found. Return: 0, or -ENOMEM. */
int inventory_finish(struct inventory *inventory) _must_check_;

/**
 * inventory_without() - a copy of a complete one that lacks some tokens, and their keys
 * @is_out:     whether a token is to be left out
 *
 * Return: 0, or -ENOMEM.
 */
int inventory_without(const struct inventory *inventory,
                      bool (*is_out)(const struct worker_token *token, const void *context),
                      const void *context, struct inventory **ret_inventory) _must_check_;

/** inventory_find_token() - by the worker's number; NULL: none. */
const struct inventory_token *inventory_find_token(const struct inventory *inventory,
                                                   uint32_t number);

/** inventory_is_same_token() - in whichever reader, worker and module: by serial and label. */
bool inventory_is_same_token(const struct worker_token *a, const struct worker_token *b);

/** inventory_token_is_locked() - it wants a PIN, and its worker has not logged in. */
bool inventory_token_is_locked(const struct worker_token *token);

/**
 * inventory_find_same() - the token of this inventory that is the same; NULL: it has none
 * @inventory:  NULL: there is none
 * @hint:       where to look first: tokens seldom change their places
 */
const struct worker_token *inventory_find_same(const struct inventory *inventory,
                                               const struct worker_token *token, size_t hint);

/** inventory_token_has_key() - @token, of this complete inventory, has the key with this SPKI hash.
 */
bool inventory_token_has_key(const struct inventory *inventory, const struct worker_token *token,
                             const uint8_t hash[static PROTOCOL_KEY_HASH_LEN]);

/** inventory_find_key() - by SPKI hash, of several tokens with it one that can sign; NULL: none, or
 * inventory_finish() was not called. */
const struct inventory_key *inventory_find_key(const struct inventory *inventory,
                                               const uint8_t hash[static PROTOCOL_KEY_HASH_LEN]);

/**
 * inventory_find_keys() - the keys with this SPKI hash: one, or the same on several tokens
 * @ret_first:  filled when there are any: for inventory_get_by_hash(), and those that follow
 *
 * Return: how many there are.
 */
size_t inventory_find_keys(const struct inventory *inventory,
                           const uint8_t hash[static PROTOCOL_KEY_HASH_LEN], size_t *ret_first);

/** inventory_get_by_hash() - by a place in the order of the hashes. */
const struct inventory_key *inventory_get_by_hash(const struct inventory *inventory, size_t place);

DEFINE_CLEANUP(struct inventory *, inventory, inventory_unref)

#endif
