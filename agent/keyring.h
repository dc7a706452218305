/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every key that the agent knows, under the names that people use: the union of what the modules
 * report and of what was on tokens that are out, with the [key] sections laid over it. Made anew
 * when either changes; readers hold no pointers across that.
 */
#ifndef MTLS_AGENT_KEYRING_H
#define MTLS_AGENT_KEYRING_H

#include "agent/config.h"
#include "agent/inventory.h"

struct module;

struct keyring_key {
    char *name;
    const uint8_t *hash; /* PROTOCOL_KEY_HASH_LEN bytes; in @inventory */
    const struct inventory_key *key;
    const struct worker_token *token; /* in @token_inventory */
    struct inventory *inventory;      /* references */
    struct inventory *token_inventory;
    struct module *module;           /* borrowed until keyring_forget() */
    const struct config_key *config; /* NULL: no section names it */
    size_t config_uri;               /* which URI of the section names it */
    bool is_absent;                  /* its token is out, and no other has it */
    bool is_hidden;                  /* its token is locked, and shows it when it is open */
    bool is_duplicate;               /* while the keyring is made: left out of it */
};

struct keyring {
    struct config *config;    /* a reference */
    struct keyring_key *keys; /* in the order in which modules and tokens report them */
    size_t key_count;
    size_t *by_hash; /* indices, sorted by hash */
};

/**
 * keyring_new() - an empty keyring
 * @config:     whose [key] sections are laid over the keys; a reference is taken
 */
struct keyring *keyring_new(struct config *config) _must_check_;
struct keyring *keyring_free(struct keyring *keyring);

/** keyring_add() - the keys of one module, there or absent. Return: 0, or -ENOMEM. */
int keyring_add(struct keyring *keyring, struct module *module) _must_check_;

/** keyring_finish() - build the index; afterwards nothing is added. Return: 0, or -ENOMEM. */
int keyring_finish(struct keyring *keyring) _must_check_;

/** keyring_forget() - the keys of a module that goes; takes no memory. */
void keyring_forget(struct keyring *keyring, const struct module *module);

/**
 * keyring_find() - by SPKI hash; NULL: none
 *
 * Of several tokens with the key: one that can sign now, and of those the one whose module has the
 * least to do; an absent one only when there is no other.
 */
const struct keyring_key *keyring_find(const struct keyring *keyring,
                                       const uint8_t hash[static PROTOCOL_KEY_HASH_LEN]);

/** keyring_find_ready() - as above, one that can sign now, and not in @except; NULL: none. */
const struct keyring_key *keyring_find_ready(const struct keyring *keyring,
                                             const uint8_t hash[static PROTOCOL_KEY_HASH_LEN],
                                             const struct module *except);

enum key_policy keyring_key_policy(const struct keyring_key *key);

/** keyring_key_state() - for LIST. */
enum key_state keyring_key_state(const struct keyring_key *key);

/** keyring_key_describe() - the LIST entry; spans into the keyring. */
void keyring_key_describe(const struct keyring_key *key, struct protocol_key *ret_key);

DEFINE_CLEANUP(struct keyring *, keyring, keyring_free)

#endif
