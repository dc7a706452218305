/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program hands over to be signed or verified, in one piece or many. It is kept whole as
 * long as it may be a message of TLS, which the agent wants to see whole; what is longer is hashed
 * on its way.
 */
#ifndef MTLS_MODULE_MESSAGE_H
#define MTLS_MODULE_MESSAGE_H

#include <p11-kit/pkcs11.h>

#include "client/module/crypto/crypto.h"

/* Fits a frame together with the other fields of SIGN. */
#define MESSAGE_WHOLE_MAX (WIRE_FRAME_MAX - 256u)

/* All zero: empty. */
struct message {
    uint8_t *data; /* owned */
    size_t len;
    size_t cap;
    struct crypto_hash *state; /* not NULL: too long, what was at @data is in it */
};

/**
 * message_add() - a further piece
 * @hash:       of the mechanism; HASH_NONE: what is too long is an error
 *
 * May load libcrypto: call it without the library's lock. Return: CKR_OK, CKR_HOST_MEMORY,
 * CKR_DATA_LEN_RANGE, CKR_FUNCTION_FAILED (libcrypto cannot be used).
 */
CK_RV message_add(struct message *message, enum hash_id hash, struct wire_span piece) _must_check_;

/**
 * message_digest() - its digest
 * @digest:     filled with hash_len(hash) bytes
 *
 * As message_add(). The message is used up when it was too long to be kept.
 */
CK_RV message_digest(struct message *message, enum hash_id hash,
                     uint8_t digest[static DIGEST_LEN_MAX]) _must_check_;

void message_deinit(struct message *message);

#endif
