/* SPDX-License-Identifier: Apache-2.0 */
/* Collecting a message; see message.h. */
#include "client/module/message.h"

#include <string.h>

#include "client/module/crypto_load.h"

#define MESSAGE_FIRST_CAP 256u

static CK_RV message_start_hashing(struct message *message, enum hash_id hash)
{
    const struct module_crypto *crypto = module_crypto_load();

    if (!crypto)
        return CKR_FUNCTION_FAILED;
    message->state = crypto->hash_new(hash);
    if (!message->state)
        return CKR_HOST_MEMORY;
    return crypto->hash_update(message->state, (struct wire_span){message->data, message->len})
               ? CKR_FUNCTION_FAILED
               : CKR_OK;
}

static CK_RV message_append(struct message *message, struct wire_span piece)
{
    size_t cap = message->cap > 0 ? message->cap : MESSAGE_FIRST_CAP;

    if (piece.len == 0)
        return CKR_OK;
    while (cap < message->len + piece.len)
        cap *= 2;
    if (cap > message->cap) {
        uint8_t *grown = realloc(message->data, cap);
        if (!grown)
            return CKR_HOST_MEMORY;
        message->data = grown;
        message->cap = cap;
    }
    memcpy(message->data + message->len, piece.data, piece.len);
    message->len += piece.len;
    return CKR_OK;
}

CK_RV message_add(struct message *message, enum hash_id hash, struct wire_span piece)
{
    if (!message->state && piece.len <= MESSAGE_WHOLE_MAX - message->len)
        return message_append(message, piece);
    if (hash == HASH_NONE)
        return CKR_DATA_LEN_RANGE;
    if (!message->state) {
        CK_RV rv = message_start_hashing(message, hash);
        if (rv != CKR_OK)
            return rv;
    }
    return module_crypto_load()->hash_update(message->state, piece) ? CKR_FUNCTION_FAILED : CKR_OK;
}

CK_RV message_digest(struct message *message, enum hash_id hash,
                     uint8_t digest[static DIGEST_LEN_MAX])
{
    if (!message->state) {
        CK_RV rv = message_start_hashing(message, hash);
        if (rv != CKR_OK)
            return rv;
    }
    return module_crypto_load()->hash_final(message->state, digest) ? CKR_FUNCTION_FAILED : CKR_OK;
}

void message_deinit(struct message *message)
{
    if (message->state)
        (void)module_crypto_load()->hash_free(message->state);
    free(message->data);
    *message = (struct message){0};
}
