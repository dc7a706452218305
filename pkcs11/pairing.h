/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which public key and which certificate belong to a private key object. By the key itself wherever
 * the token tells it; CKA_ID and label only where nothing better is there, and then the pair is
 * provisional: it has to prove itself with the first signature.
 */
#ifndef MTLS_PKCS11_PAIRING_H
#define MTLS_PKCS11_PAIRING_H

#include "pkcs11/certs.h"
#include "pkcs11/objects.h"

/* All that is known about a token's objects; borrowed. */
struct pairing {
    const struct token *token;
    const struct key_object_list *public_keys;
    const struct cert_list *certs; /* on the token */
    const struct cert_list *files; /* from the configuration */
};

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

#endif
