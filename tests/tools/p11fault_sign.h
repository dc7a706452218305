/* SPDX-License-Identifier: Apache-2.0 */
/*
 * C_SignInit, C_Sign and C_SignFinal with what the control file does to them: mechanisms that the
 * token does not have or refuses, and damaged signatures.
 */
#ifndef MTLS_TESTS_P11FAULT_SIGN_H
#define MTLS_TESTS_P11FAULT_SIGN_H

#include <p11-kit/pkcs11.h>

#include "p11fault_rules.h"

/** fault_sign_set_module() - the module that calls are forwarded to; borrowed, for ever. */
void fault_sign_set_module(CK_FUNCTION_LIST *module);

/** fault_sign_is_hidden() - `no-mechanism`: C_GetMechanismList does not name it. */
bool fault_sign_is_hidden(const struct fault_settings *settings, CK_SLOT_ID slot,
                          CK_MECHANISM_TYPE type);

CK_RV fault_sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key);
CK_RV fault_sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG data_len, CK_BYTE *signature,
                 CK_ULONG *signature_len);
CK_RV fault_sign_final(CK_SESSION_HANDLE session, CK_BYTE *signature, CK_ULONG *signature_len);

#endif
