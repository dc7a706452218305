/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys that the worker has told the core about. A key's number is its place in the ring and
 * stands for the same key of the same token as long as the process lives, also while the key is out
 * of sight, so that a request on its way never meets another key.
 */
#ifndef MTLS_PKCS11_KEY_H
#define MTLS_PKCS11_KEY_H

#include <stdatomic.h>

#include "pkcs11/certs.h"
#include "pkcs11/hash_index.h"

struct key {
    uint32_t number;
    uint32_t token; /* number of its token */
    bool present;   /* in the last inventory */
    bool always_authenticate;
    bool provisional; /* the public key was found by CKA_ID or label alone */
    struct object_name name;
    struct public_key public_key;
    size_t cert_count;
    struct wire_span certs[PROTOCOL_CERTS_MAX]; /* owned; leaf first */
    _Atomic CK_OBJECT_HANDLE handle;            /* private key; CK_INVALID_HANDLE: not seen */
    atomic_bool verified;                       /* a signature made with @handle was valid */
    _Atomic uint32_t refused; /* enum mechanism_flags: the module said no to them with this key */
};

struct keyring {
    struct key **items; /* WORKER_KEYS_MAX at most */
    size_t count;
    struct hash_index by_key; /* public key and token */
};

/* What an inventory found out about one key; everything borrowed. */
struct key_facts {
    uint32_t token;
    CK_OBJECT_HANDLE handle; /* CK_INVALID_HANDLE: only its public side is visible */
    bool always_authenticate;
    bool provisional;
    const struct object_name *name;
    const struct public_key *public_key;
    size_t cert_count;
    const struct cert *certs[PROTOCOL_CERTS_MAX];
};

/** keyring_get() - the key of that number, or NULL. */
struct key *keyring_get(const struct keyring *ring, uint32_t number);

/** keyring_hide() - the keys of a token are out of sight until keyring_put() names them again. */
void keyring_hide(struct keyring *ring, uint32_t token);

/** keyring_has() - the key of that token was named since keyring_hide(). */
bool keyring_has(const struct keyring *ring, uint32_t token, const struct public_key *public_key);

/**
 * keyring_put() - a key as it is now; one that is already in sight stays as it is
 *
 * Return: 0, also when the ring is full; -ENOMEM.
 */
int keyring_put(struct keyring *ring, const struct key_facts *facts) _must_check_;

/** key_is_usable() - its private key object was seen. */
bool key_is_usable(const struct key *key);

#endif
