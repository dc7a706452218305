/* SPDX-License-Identifier: Apache-2.0 */
/* PKCS #11 v2.40 section 5.6: sessions; v3.0 section 5.6.9: cancelling what is under way in one. */
#include "client/module/calls.h"
#include "client/module/library.h"

/* What the header of Debian 12 lacks. */
#define SESSION_CANCEL_FIND 0x40UL /* CKF_FIND_OBJECTS */

CK_RV C_OpenSession(CK_SLOT_ID slot_id, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                    CK_SESSION_HANDLE *session)
{
    struct library *library = NULL;

    (void)application;
    (void)notify;
    if (!session)
        return CKR_ARGUMENTS_BAD;
    if (!(flags & CKF_SERIAL_SESSION))
        return CKR_SESSION_PARALLEL_NOT_SUPPORTED;
    CK_RV rv = library_enter_fresh(&library);
    if (rv != CKR_OK)
        return rv;
    const struct slot *slot = slots_get(&library->slots, slot_id);
    if (!slot)
        rv = CKR_SLOT_ID_INVALID;
    else if (!slot->is_present)
        rv = CKR_TOKEN_NOT_PRESENT;
    else /* also for writing: OpenSSH asks for that only to sign */
        rv = sessions_open(&library->sessions, slot_id, flags, session);
    library_leave();
    return rv;
}

CK_RV C_CloseSession(CK_SESSION_HANDLE handle)
{
    struct library *library = NULL;
    struct session *session = NULL;
    CK_RV rv = library_enter_session(handle, &library, &session);

    if (rv != CKR_OK)
        return rv;
    CK_SLOT_ID slot_id = session->slot_id;
    sessions_close(&library->sessions, session);
    if (sessions_count_slot(&library->sessions, slot_id) == 0)
        slots_get(&library->slots, slot_id)->is_logged_in = false;
    library_leave();
    return CKR_OK;
}

CK_RV C_CloseAllSessions(CK_SLOT_ID slot_id)
{
    struct library *library = NULL;
    CK_RV rv = library_enter(&library);

    if (rv != CKR_OK)
        return rv;
    struct slot *slot = slots_get(&library->slots, slot_id);
    if (slot) {
        sessions_close_slot(&library->sessions, slot_id);
        slot->is_logged_in = false;
    }
    library_leave();
    return slot ? CKR_OK : CKR_SLOT_ID_INVALID;
}

static CK_STATE session_state(const struct session *session, const struct slot *slot)
{
    if (session->flags & CKF_RW_SESSION)
        return slot->is_logged_in ? CKS_RW_USER_FUNCTIONS : CKS_RW_PUBLIC_SESSION;
    return slot->is_logged_in ? CKS_RO_USER_FUNCTIONS : CKS_RO_PUBLIC_SESSION;
}

/* Programs ask this to learn whether the token is still there, so the slots must be fresh. */
CK_RV C_GetSessionInfo(CK_SESSION_HANDLE handle, CK_SESSION_INFO *info)
{
    struct library *library = NULL;

    if (!info)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = library_enter_fresh(&library);
    if (rv != CKR_OK)
        return rv;
    const struct session *session = sessions_get(&library->sessions, handle);
    if (session)
        *info = (CK_SESSION_INFO){
            .slotID = session->slot_id,
            .state = session_state(session, slots_get(&library->slots, session->slot_id)),
            .flags = session->flags,
        };
    library_leave();
    return session ? CKR_OK : CKR_SESSION_HANDLE_INVALID;
}

CK_RV C_SessionCancel(CK_SESSION_HANDLE handle, CK_FLAGS flags)
{
    struct library *library = NULL;
    struct session *session = NULL;
    CK_RV rv = library_enter_session(handle, &library, &session);

    if (rv != CKR_OK)
        return rv;
    if (flags & CKF_SIGN)
        operation_deinit(&session->signing);
    if (flags & CKF_VERIFY)
        operation_deinit(&session->verifying);
    if (flags & CKF_DIGEST)
        session_end_digest(session);
    if (flags & SESSION_CANCEL_FIND)
        session_end_find(session);
    library_leave();
    /* Nothing of another kind is ever under way: that it could not be cancelled is no failure. */
    return CKR_OK;
}
