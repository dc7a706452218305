/* SPDX-License-Identifier: Apache-2.0 */
/* A signature that is being made, or verified: key, mechanism, and the message so far. */
#ifndef MTLS_MODULE_OPERATION_H
#define MTLS_MODULE_OPERATION_H

#include "client/module/content.h"
#include "client/module/mechanism.h"
#include "client/module/message.h"

/* All zero: none is active. It holds all that it needs: the object may go away meanwhile. */
struct operation {
    bool is_active;
    bool is_multipart; /* C_SignUpdate or C_VerifyUpdate was called */
    struct mechanism_use use;
    enum key_type key_type;
    unsigned int bits;
    uint8_t key_hash[MTLS_AGENT_KEY_HASH_LEN];
    uint8_t *spki; /* owned; for verifying alone */
    size_t spki_len;
    size_t signature_len; /* bytes, as PKCS#11 has it */
    struct message message;
};

/**
 * operation_begin() - of a key and a mechanism
 * @operation:  filled; none may be active
 * @object:     a private key to sign, a public one to verify
 *
 * Return: CKR_OK, CKR_MECHANISM_INVALID, _MECHANISM_PARAM_INVALID, _KEY_TYPE_INCONSISTENT,
 * _HOST_MEMORY.
 */
CK_RV operation_begin(struct operation *operation, const CK_MECHANISM *mechanism,
                      const struct object *object, bool is_edwards_slot) _must_check_;

/** operation_take() - out of its session, which has none afterwards. */
struct operation operation_take(struct operation *operation) _must_check_;

void operation_deinit(struct operation *operation);

#define _cleanup_operation_ _cleanup_(operation_deinit)

#endif
