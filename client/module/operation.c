/* SPDX-License-Identifier: Apache-2.0 */
/* Operations; see operation.h. */
#include "client/module/operation.h"

#include <string.h>

#define ED25519_SIGNATURE_LEN 64u

static size_t operation_signature_len(enum key_type type, unsigned int bits)
{
    size_t len = (bits + 7u) / 8u;

    switch (type) {
    case KEY_TYPE_EC:
        return 2 * len;
    case KEY_TYPE_ED25519:
        return ED25519_SIGNATURE_LEN;
    case KEY_TYPE_RSA:
    case KEY_TYPE_RSA_PSS:
        break;
    }
    return len;
}

CK_RV operation_begin(struct operation *operation, const CK_MECHANISM *mechanism,
                      const struct object *object, bool is_edwards_slot)
{
    const struct mtls_agent_key *key = object->key->info;
    struct operation begun = {.is_active = true,
                              .key_type = (enum key_type)key->type,
                              .bits = key->bits,
                              .signature_len =
                                  operation_signature_len((enum key_type)key->type, key->bits)};
    CK_RV rv = mechanism_read(mechanism, is_edwards_slot, &begun.use);

    if (rv != CKR_OK)
        return rv;
    if (begun.use.mechanism->family == MECHANISM_DIGEST)
        return CKR_MECHANISM_INVALID;
    if (!mechanism_fits_key(begun.use.mechanism, begun.key_type))
        return CKR_KEY_TYPE_INCONSISTENT;
    if (object->class == CKO_PRIVATE_KEY && !content_key_can(key, begun.use.mechanism->padding))
        return CKR_MECHANISM_INVALID;
    memcpy(begun.key_hash, key->hash, sizeof(begun.key_hash));
    if (object->class == CKO_PUBLIC_KEY) {
        begun.spki = malloc(key->spki.len);
        if (!begun.spki)
            return CKR_HOST_MEMORY;
        memcpy(begun.spki, key->spki.data, key->spki.len);
        begun.spki_len = key->spki.len;
    }
    *operation = begun;
    return CKR_OK;
}

struct operation operation_take(struct operation *operation)
{
    struct operation taken = *operation;

    *operation = (struct operation){0};
    return taken;
}

void operation_deinit(struct operation *operation)
{
    free(operation->spki);
    message_deinit(&operation->message);
    *operation = (struct operation){0};
}
