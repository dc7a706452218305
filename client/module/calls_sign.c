/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PKCS #11 v2.40 section 5.11: signing. The key is at the agent; here its request is made and the
 * answer brought into the form of PKCS#11. The length of a signature is known without asking.
 */
#include <string.h>

#include "client/module/answer.h"
#include "client/module/operations.h"
#include "client/module/request.h"
#include "common/der_ecdsa.h"

CK_RV C_SignInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return operations_begin(handle, OPERATIONS_SIGN, mechanism, key);
}

CK_RV C_SignUpdate(CK_SESSION_HANDLE handle, unsigned char *part, unsigned long part_len)
{
    return operations_update(handle, OPERATIONS_SIGN, part, part_len);
}

/* TLS has ECDSA in DER, PKCS#11 as r||s. @room was checked against the operation's length. */
static CK_RV sign_convert(const struct operation *operation, struct wire_span answer,
                          unsigned char *signature, unsigned long *signature_len)
{
    uint8_t raw[DER_ECDSA_RAW_MAX];
    size_t raw_len = 0;

    if (operation->key_type == KEY_TYPE_EC) {
        if (der_ecdsa_to_raw(operation->bits, answer, raw, &raw_len))
            return CKR_DEVICE_ERROR;
        answer = (struct wire_span){raw, raw_len};
    }
    if (answer.len != operation->signature_len)
        return CKR_DEVICE_ERROR;
    memcpy(signature, answer.data, answer.len);
    *signature_len = answer.len;
    return CKR_OK;
}

/* Without the lock. @data: the whole of it, or empty when the operation was fed. */
static CK_RV sign_ask(struct mtls_agent *agent, struct operation *operation, struct wire_span data,
                      unsigned char *signature, unsigned long *signature_len)
{
    struct message *message = &operation->message;
    struct request request;
    uint8_t answer[MTLS_AGENT_SIGNATURE_MAX];
    size_t answer_len = 0;
    CK_RV rv = CKR_OK;

    if (data.len > MESSAGE_WHOLE_MAX)
        rv = message_add(message, operation->use.mechanism->hash, data);
    if (rv == CKR_OK && (message->len > 0 || message->state))
        data = (struct wire_span){message->data, message->state ? 0 : message->len};
    if (rv == CKR_OK)
        rv = request_make(operation, data, &request);
    if (rv != CKR_OK)
        return rv;
    int code = mtls_agent_sign(agent, operation->key_hash, request.scheme, request.kind,
                               request.content.data, request.content.len, answer, sizeof(answer),
                               &answer_len, NULL);
    if (code)
        return answer_from_agent(code);
    return sign_convert(operation, (struct wire_span){answer, answer_len}, signature,
                        signature_len);
}

/* The last step of both ways. The operation ends here, but for a question about the length. */
static CK_RV sign_finish(CK_SESSION_HANDLE handle, bool is_multipart, struct wire_span data,
                         unsigned char *signature, unsigned long *signature_len)
{
    _cleanup_operation_ struct operation taken = {0};
    struct library *library = NULL;
    struct operation *operation = NULL;

    if (!signature_len || (!data.data && data.len > 0))
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = operations_get(handle, OPERATIONS_SIGN, is_multipart, &library, &operation);
    if (rv != CKR_OK)
        return rv;
    if (!signature || *signature_len < operation->signature_len) {
        *signature_len = operation->signature_len;
        library_leave();
        return signature ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    }
    taken = operation_take(operation);
    library_pause(library);
    CK_RV answer = sign_ask(library->agent, &taken, data, signature, signature_len);
    rv = library_resume(library);
    if (rv != CKR_OK)
        return answer == CKR_OK ? CKR_OK : rv;
    /* What is shown is not what is there any more. */
    if (answer == CKR_KEY_HANDLE_INVALID || answer == CKR_DEVICE_REMOVED ||
        answer == CKR_USER_NOT_LOGGED_IN)
        library->watch.is_stale = true;
    library_leave();
    return answer;
}

CK_RV C_Sign(CK_SESSION_HANDLE handle, unsigned char *data, unsigned long data_len,
             unsigned char *signature, unsigned long *signature_len)
{
    return sign_finish(handle, false, (struct wire_span){data, data_len}, signature, signature_len);
}

CK_RV C_SignFinal(CK_SESSION_HANDLE handle, unsigned char *signature, unsigned long *signature_len)
{
    return sign_finish(handle, true, (struct wire_span){0}, signature, signature_len);
}
