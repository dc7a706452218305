/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps that C_Sign* and C_Verify* have in common: an operation begins in a session, is fed,
 * and leaves it. What takes time or may load libcrypto happens outside of the session and of the
 * lock, so that another thread, and a libcrypto that comes back to this module, find both free.
 */
#ifndef MTLS_MODULE_OPERATIONS_H
#define MTLS_MODULE_OPERATIONS_H

#include "client/module/library.h"

enum operations_kind {
    OPERATIONS_SIGN,
    OPERATIONS_VERIFY,
};

/** operations_begin() - C_SignInit, C_VerifyInit; a NULL mechanism ends what is active (v3.0). */
CK_RV operations_begin(CK_SESSION_HANDLE handle, enum operations_kind kind,
                       const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key) _must_check_;

/** operations_update() - C_SignUpdate, C_VerifyUpdate. A failure ends the operation. */
CK_RV operations_update(CK_SESSION_HANDLE handle, enum operations_kind kind, const uint8_t *part,
                        CK_ULONG part_len) _must_check_;

/**
 * operations_get() - look at the active one
 * @is_multipart: how it must have been fed
 *
 * Return: CKR_OK with the lock held, and *ret_operation borrowed until library_leave(); else
 * CKR_OPERATION_NOT_INITIALIZED, CKR_OPERATION_ACTIVE when it was fed in the other way, or as
 * library_enter_session().
 */
CK_RV operations_get(CK_SESSION_HANDLE handle, enum operations_kind kind, bool is_multipart,
                     struct library **ret_library, struct operation **ret_operation) _must_check_;

#endif
