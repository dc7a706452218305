/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this module does not do: encryption, wrapping and deriving, signatures that carry their
 * message, combined and parallel operations (PKCS #11 v2.40 sections 5.8, 5.9, 5.11 to 5.16), and
 * operations on messages (v3.0). Each answers as for a token that has none of it.
 */
#include "client/module/calls.h"
#include "client/module/library.h"

#define NOT_SUPPORTED(handle) library_answer((handle), CKR_FUNCTION_NOT_SUPPORTED)

/* The parameters of a function that uses none of them but the session. */
#define UNUSED_1(a) (void)(a)
#define UNUSED_2(a, b) UNUSED_1(a), UNUSED_1(b)
#define UNUSED_3(a, b, c) UNUSED_2(a, b), UNUSED_1(c)
#define UNUSED_4(a, b, c, d) UNUSED_2(a, b), UNUSED_2(c, d)

/* Init(session, mechanism, key) */
#define UNSUPPORTED_INIT(name)                                                          \
    CK_RV name(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key) \
    {                                                                                   \
        UNUSED_2(mechanism, key);                                                       \
        return NOT_SUPPORTED(handle);                                                   \
    }

/* Bytes in, bytes out. */
#define UNSUPPORTED_TRANSFORM(name)                                               \
    CK_RV name(CK_SESSION_HANDLE handle, unsigned char *in, unsigned long in_len, \
               unsigned char *out, unsigned long *out_len)                        \
    {                                                                             \
        UNUSED_4(in, in_len, out, out_len);                                       \
        return NOT_SUPPORTED(handle);                                             \
    }

/* The end: bytes out. */
#define UNSUPPORTED_FINAL(name)                                                      \
    CK_RV name(CK_SESSION_HANDLE handle, unsigned char *out, unsigned long *out_len) \
    {                                                                                \
        UNUSED_2(out, out_len);                                                      \
        return NOT_SUPPORTED(handle);                                                \
    }

UNSUPPORTED_INIT(C_EncryptInit)
UNSUPPORTED_TRANSFORM(C_Encrypt)
UNSUPPORTED_TRANSFORM(C_EncryptUpdate)
UNSUPPORTED_FINAL(C_EncryptFinal)
UNSUPPORTED_INIT(C_DecryptInit)
UNSUPPORTED_TRANSFORM(C_Decrypt)
UNSUPPORTED_TRANSFORM(C_DecryptUpdate)
UNSUPPORTED_FINAL(C_DecryptFinal)
UNSUPPORTED_INIT(C_SignRecoverInit)
UNSUPPORTED_TRANSFORM(C_SignRecover)
UNSUPPORTED_INIT(C_VerifyRecoverInit)
UNSUPPORTED_TRANSFORM(C_VerifyRecover)
UNSUPPORTED_TRANSFORM(C_DigestEncryptUpdate)
UNSUPPORTED_TRANSFORM(C_DecryptDigestUpdate)
UNSUPPORTED_TRANSFORM(C_SignEncryptUpdate)
UNSUPPORTED_TRANSFORM(C_DecryptVerifyUpdate)

CK_RV C_WrapKey(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE wrapping_key,
                CK_OBJECT_HANDLE key, unsigned char *wrapped, unsigned long *wrapped_len)
{
    UNUSED_3(mechanism, wrapping_key, key);
    UNUSED_2(wrapped, wrapped_len);
    return NOT_SUPPORTED(handle);
}

CK_RV C_UnwrapKey(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism,
                  CK_OBJECT_HANDLE unwrapping_key, unsigned char *wrapped,
                  unsigned long wrapped_len, CK_ATTRIBUTE *template, unsigned long count,
                  CK_OBJECT_HANDLE *key)
{
    UNUSED_4(mechanism, unwrapping_key, wrapped, wrapped_len);
    UNUSED_3(template, count, key);
    return NOT_SUPPORTED(handle);
}

CK_RV C_DeriveKey(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE base_key,
                  CK_ATTRIBUTE *template, unsigned long count, CK_OBJECT_HANDLE *key)
{
    UNUSED_3(mechanism, base_key, template);
    UNUSED_2(count, key);
    return NOT_SUPPORTED(handle);
}

CK_RV C_GetOperationState(CK_SESSION_HANDLE handle, unsigned char *operation_state,
                          unsigned long *operation_state_len)
{
    UNUSED_2(operation_state, operation_state_len);
    return NOT_SUPPORTED(handle);
}

CK_RV C_SetOperationState(CK_SESSION_HANDLE handle, unsigned char *operation_state,
                          unsigned long operation_state_len, CK_OBJECT_HANDLE encryption_key,
                          CK_OBJECT_HANDLE authentication_key)
{
    UNUSED_4(operation_state, operation_state_len, encryption_key, authentication_key);
    return NOT_SUPPORTED(handle);
}

/* Both are of PKCS #11 v1; v2.40 section 5.16 has them answer this. */
CK_RV C_GetFunctionStatus(CK_SESSION_HANDLE handle)
{
    return library_answer(handle, CKR_FUNCTION_NOT_PARALLEL);
}

CK_RV C_CancelFunction(CK_SESSION_HANDLE handle)
{
    return library_answer(handle, CKR_FUNCTION_NOT_PARALLEL);
}

CK_RV calls_message_init(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    UNUSED_2(mechanism, key);
    return NOT_SUPPORTED(handle);
}

CK_RV calls_message_final(CK_SESSION_HANDLE handle)
{
    return NOT_SUPPORTED(handle);
}

CK_RV calls_crypt_message(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_len,
                          CK_BYTE *associated, CK_ULONG associated_len, CK_BYTE *in,
                          CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    UNUSED_4(parameter, parameter_len, associated, associated_len);
    UNUSED_4(in, in_len, out, out_len);
    return NOT_SUPPORTED(handle);
}

CK_RV calls_crypt_message_begin(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_len,
                                CK_BYTE *associated, CK_ULONG associated_len)
{
    UNUSED_4(parameter, parameter_len, associated, associated_len);
    return NOT_SUPPORTED(handle);
}

CK_RV calls_crypt_message_next(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_len,
                               CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len,
                               CK_FLAGS flags)
{
    UNUSED_3(parameter, parameter_len, flags);
    UNUSED_4(in, in_len, out, out_len);
    return NOT_SUPPORTED(handle);
}

CK_RV calls_message_begin(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_len)
{
    UNUSED_2(parameter, parameter_len);
    return NOT_SUPPORTED(handle);
}

CK_RV calls_sign_message(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_len,
                         CK_BYTE *data, CK_ULONG data_len, CK_BYTE *signature,
                         CK_ULONG *signature_len)
{
    UNUSED_4(parameter, parameter_len, data, data_len);
    UNUSED_2(signature, signature_len);
    return NOT_SUPPORTED(handle);
}

CK_RV calls_verify_message(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_len,
                           CK_BYTE *data, CK_ULONG data_len, CK_BYTE *signature,
                           CK_ULONG signature_len)
{
    UNUSED_4(parameter, parameter_len, data, data_len);
    UNUSED_2(signature, signature_len);
    return NOT_SUPPORTED(handle);
}
