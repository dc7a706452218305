/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of PKCS #11 v3.0 that the header of Debian 12, which is of v2.40, does not declare.
 * Those of v2.40 are declared by <p11-kit/pkcs11.h>; each section of the standard is a file,
 * calls_*.c. The functions for messages stand for several of the standard each, which differ in
 * their names alone.
 */
#ifndef MTLS_MODULE_CALLS_H
#define MTLS_MODULE_CALLS_H

#include <p11-kit/pkcs11.h>

CK_RV C_LoginUser(CK_SESSION_HANDLE handle, CK_USER_TYPE user_type, unsigned char *pin,
                  CK_ULONG pin_len, unsigned char *name, CK_ULONG name_len);
CK_RV C_SessionCancel(CK_SESSION_HANDLE handle, CK_FLAGS flags);

/* C_MessageEncryptInit, C_MessageDecryptInit, C_MessageSignInit, C_MessageVerifyInit */
CK_RV calls_message_init(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key);
/* C_MessageEncryptFinal, C_MessageDecryptFinal, C_MessageSignFinal, C_MessageVerifyFinal */
CK_RV calls_message_final(CK_SESSION_HANDLE handle);
/* C_EncryptMessage, C_DecryptMessage */
CK_RV calls_crypt_message(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_len,
                          CK_BYTE *associated, CK_ULONG associated_len, CK_BYTE *in,
                          CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len);
/* C_EncryptMessageBegin, C_DecryptMessageBegin */
CK_RV calls_crypt_message_begin(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_len,
                                CK_BYTE *associated, CK_ULONG associated_len);
/* C_EncryptMessageNext, C_DecryptMessageNext */
CK_RV calls_crypt_message_next(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_len,
                               CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len,
                               CK_FLAGS flags);
/* C_SignMessageBegin, C_VerifyMessageBegin */
CK_RV calls_message_begin(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_len);
/* C_SignMessage, C_SignMessageNext */
CK_RV calls_sign_message(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_len,
                         CK_BYTE *data, CK_ULONG data_len, CK_BYTE *signature,
                         CK_ULONG *signature_len);
/* C_VerifyMessage, C_VerifyMessageNext */
CK_RV calls_verify_message(CK_SESSION_HANDLE handle, void *parameter, CK_ULONG parameter_len,
                           CK_BYTE *data, CK_ULONG data_len, CK_BYTE *signature,
                           CK_ULONG signature_len);

#endif
