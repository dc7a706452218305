/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which public key and which certificate belong to a private key object. By the key itself wherever
 * the token tells it; CKA_ID and label only where nothing better is there, and then the pair is
 * provisional: it has to prove itself with the first signature.
 */
#ifndef MTLS_PKCS11_PAIRING_H
#define MTLS_PKCS11_PAIRING_H

#include "pkcs11/certs.h"
#include "pkcs11/hash_index.h"
#include "pkcs11/objects.h"

/* The objects of one list by their names, as object_name_score() compares them. */
struct pairing_names {
    struct hash_index by_id;
    struct hash_index by_label;
    struct hash_index by_label_alone; /* those without an id */
};

/* All that is known about a token's objects; the lists are borrowed, and there for as long. */
struct pairing {
    const struct token *token;
    const struct key_object_list *public_keys;
    const struct cert_list *certs; /* on the token */
    const struct cert_list *files; /* from the configuration */
    struct pairing_names public_key_names;
    struct pairing_names cert_names;
    struct hash_index cert_keys; /* those of @certs whose key is of use */
};

/** pairing_init() - make ready for what follows, once the lists are filled in. Return: 0, or
 * -ENOMEM. */
int pairing_init(struct pairing *pairing) _must_check_;
void pairing_deinit(struct pairing *pairing);

/**
 * pairing_find_public_key() - the public half of a private key object
 * @is_taken:   tells of a public key that another private key has it already; such a one is chosen
 *              only when nothing else fits. Of certificates that fit alike, the one that is valid
 *              longest is taken.
 * @ret_provisional: filled: it was found by name alone
 *
 * Return: a borrowed key, or NULL when none is known.
 */
const struct public_key *
pairing_find_public_key(const struct pairing *pairing, const struct key_object *object,
                        bool (*is_taken)(const void *context, const struct public_key *key),
                        const void *context, bool *ret_provisional);

/**
 * pairing_find_leaf() - the certificate to show for a key
 *
 * One that the configuration ties to the key, else the one on the token whose name fits best, else
 * the one that is valid longest.
 * Return: a borrowed certificate, or NULL.
 */
const struct cert *pairing_find_leaf(const struct pairing *pairing, const struct public_key *key,
                                     const struct object_name *name);

/** pairing_is_ca_key() - every certificate on the token that is for this key is a CA's. */
bool pairing_is_ca_key(const struct pairing *pairing, const struct public_key *key);

#endif
