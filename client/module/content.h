/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is on one token, as objects: for each key of the agent a private key, a public key and its
 * certificate, and every certificate of the chains once. Made from one list of the agent, never
 * changed afterwards; a newer list makes a newer content, in which what was there before keeps its
 * handle.
 */
#ifndef MTLS_MODULE_CONTENT_H
#define MTLS_MODULE_CONTENT_H

#include <p11-kit/pkcs11.h>

#include "client/lib/mtls-agent.h"
#include "client/module/certificate.h"
#include "client/module/spki.h"

#define CONTENT_EC_POINT_MAX (SPKI_POINT_MAX + 3u) /* with the header of an OCTET STRING */

/* A key as its objects share it. */
struct content_key {
    const struct mtls_agent_key *info; /* borrowed from the list of the agent */
    struct spki spki;
    struct certificate leaf; /* `der` is empty: it has none */
    struct wire_span id;     /* CKA_ID of its objects: no other key here has it */
    CK_ULONG bits;           /* RSA: of the modulus */
    uint8_t ec_point[CONTENT_EC_POINT_MAX];
    size_t ec_point_len;
};

struct object {
    CK_OBJECT_HANDLE handle;
    CK_OBJECT_CLASS class;
    const struct content_key *key;  /* NULL: a certificate of a chain */
    struct certificate certificate; /* of certificates */
    struct wire_span label;         /* CKA_LABEL */
};

struct content {
    struct content_key *keys;
    size_t key_count;
    struct object *objects;
    size_t object_count;
    struct object **by_handle; /* the same, in the order of their handles */
};

/**
 * content_add_key() - one more key, before content_finish()
 * @info:       borrowed as long as the content lives
 *
 * A key whose public half is not of the form of its type is left out.
 * Return: 0, or -ENOMEM.
 */
int content_add_key(struct content *content, const struct mtls_agent_key *info) _must_check_;

/**
 * content_finish() - make the objects
 * @older:          what was there before; its objects' handles are kept. NULL: nothing
 * @next_handle:    the first handle that was never given out; counted up
 * @ret_is_same:    filled: there is nothing in it that was not in @older, and the reverse
 *
 * Return: 0, or -ENOMEM.
 */
int content_finish(struct content *content, const struct content *older,
                   CK_OBJECT_HANDLE *next_handle, bool *ret_is_same) _must_check_;

/**
 * content_key_can() - the key's token makes signatures with this padding
 *
 * An RSA key on a token without RSA-PSS cannot. Of a key without schemes nothing is known: it can.
 */
bool content_key_can(const struct mtls_agent_key *key, enum scheme_padding padding);

/** content_has_pss() - some RSA key can, or there is none. */
bool content_has_pss(const struct content *content);

/** content_find() - the object of a handle, or NULL. */
const struct object *content_find(const struct content *content, CK_OBJECT_HANDLE handle);

/** content_deinit() - empty again. */
void content_deinit(struct content *content);

#endif
