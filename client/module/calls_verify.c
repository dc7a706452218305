/* SPDX-License-Identifier: Apache-2.0 */
/* PKCS #11 v2.40 section 5.12: verifying with public keys. The agent is not asked. */
#include "client/module/crypto_load.h"
#include "client/module/operations.h"
#include "client/module/request.h"

CK_RV C_VerifyInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return operations_begin(handle, OPERATIONS_VERIFY, mechanism, key);
}

CK_RV C_VerifyUpdate(CK_SESSION_HANDLE handle, unsigned char *part, unsigned long part_len)
{
    return operations_update(handle, OPERATIONS_VERIFY, part, part_len);
}

static CK_RV verify_answer(int r)
{
    switch (r) {
    case 0:
        return CKR_OK;
    case CRYPTO_E_BAD_SIGNATURE:
        return CKR_SIGNATURE_INVALID;
    case CRYPTO_E_SIGNATURE_LEN:
        return CKR_SIGNATURE_LEN_RANGE;
    case CRYPTO_E_DATA_LEN:
        return CKR_DATA_LEN_RANGE;
    case -ENOMEM:
        return CKR_HOST_MEMORY;
    default:
        return CKR_FUNCTION_FAILED;
    }
}

/* The data in the form in which they are verified; @digest keeps what had to be hashed. */
static CK_RV verify_prepare(struct operation *operation, struct wire_span data,
                            struct crypto_verify *request, uint8_t digest[static DIGEST_LEN_MAX])
{
    struct message *message = &operation->message;
    enum hash_id hash = operation->use.hash;
    CK_RV rv = CKR_OK;

    *request = (struct crypto_verify){
        .spki = {operation->spki, operation->spki_len},
        .padding = operation->use.mechanism->padding,
        .hash = hash,
        .salt_len = operation->use.salt_len,
        .is_message = operation->use.mechanism->hash != HASH_NONE,
        .data = message->len > 0 ? (struct wire_span){message->data, message->len} : data,
    };
    if (message->state) {
        request->is_message = false;
        request->data = (struct wire_span){digest, hash_len(hash)};
        rv = message_digest(message, hash, digest);
    } else if (!request->is_message && operation->use.mechanism->family != MECHANISM_EDWARDS) {
        rv = request_find_digest(operation, request->data, &request->hash, &request->data);
    }
    return rv;
}

static CK_RV verify_check(struct operation *operation, struct wire_span data,
                          struct wire_span signature)
{
    const struct module_crypto *crypto = module_crypto_load();
    struct crypto_verify request;
    uint8_t digest[DIGEST_LEN_MAX];

    if (!crypto)
        return CKR_FUNCTION_FAILED;
    CK_RV rv = verify_prepare(operation, data, &request, digest);
    request.signature = signature;
    return rv == CKR_OK ? verify_answer(crypto->verify(&request)) : rv;
}

static CK_RV verify_finish(CK_SESSION_HANDLE handle, bool is_multipart, struct wire_span data,
                           struct wire_span signature)
{
    _cleanup_operation_ struct operation taken = {0};
    struct library *library = NULL;
    struct operation *operation = NULL;

    if (!signature.data || (!data.data && data.len > 0))
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = operations_get(handle, OPERATIONS_VERIFY, is_multipart, &library, &operation);
    if (rv != CKR_OK)
        return rv;
    taken = operation_take(operation);
    library_leave();
    return verify_check(&taken, data, signature);
}

CK_RV C_Verify(CK_SESSION_HANDLE handle, unsigned char *data, unsigned long data_len,
               unsigned char *signature, unsigned long signature_len)
{
    return verify_finish(handle, false, (struct wire_span){data, data_len},
                         (struct wire_span){signature, signature_len});
}

CK_RV C_VerifyFinal(CK_SESSION_HANDLE handle, unsigned char *signature, unsigned long signature_len)
{
    return verify_finish(handle, true, (struct wire_span){0},
                         (struct wire_span){signature, signature_len});
}
