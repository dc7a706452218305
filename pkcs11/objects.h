/* SPDX-License-Identifier: Apache-2.0 */
/* The key objects of one token, as read in one go. */
#ifndef MTLS_PKCS11_OBJECTS_H
#define MTLS_PKCS11_OBJECTS_H

#include "pkcs11/attribute.h"
#include "pkcs11/public_key.h"

struct key_object {
    CK_OBJECT_HANDLE handle;
    struct object_name name;
    enum key_type type; /* KEY_TYPE_RSA for every RSA key: an object does not tell more */
    unsigned int bits;  /* EC: the curve; RSA: 0 when the object does not tell */
    bool always_authenticate;
    bool has_key; /* @key is known from the object itself */
    struct public_key key;
};

struct key_object_list {
    struct key_object *items;
    size_t count;
};

void key_object_list_deinit(struct key_object_list *list);

/**
 * key_object_list_read() - the private or the public keys that can be seen now
 * @class:      CKO_PRIVATE_KEY: those that may sign; or CKO_PUBLIC_KEY: those whose key is known
 * @ret_list:   filled; owned by the caller
 *
 * Return: the module's CK_RV; CKR_HOST_MEMORY.
 */
CK_RV key_object_list_read(const struct token *token, CK_OBJECT_CLASS class,
                           struct key_object_list *ret_list) _must_check_;

static inline void cleanup_key_object_list(struct key_object_list *list)
{
    key_object_list_deinit(list);
}

#endif
