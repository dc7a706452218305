/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of an operation; see operations.h. */
#include "client/module/operations.h"

static struct operation *operations_of(struct session *session, enum operations_kind kind)
{
    return kind == OPERATIONS_SIGN ? &session->signing : &session->verifying;
}

static CK_RV operations_begin_in(struct library *library, struct session *session,
                                 enum operations_kind kind, const CK_MECHANISM *mechanism,
                                 CK_OBJECT_HANDLE key)
{
    struct operation *operation = operations_of(session, kind);
    const struct slot *slot = slots_get(&library->slots, session->slot_id);

    if (!mechanism) {
        operation_deinit(operation);
        return CKR_OK;
    }
    if (operation->is_active)
        return CKR_OPERATION_ACTIVE;
    const struct object *object = content_find(&slot->content, key);
    if (!object || !object->key)
        return CKR_KEY_HANDLE_INVALID;
    if (object->class != (kind == OPERATIONS_SIGN ? CKO_PRIVATE_KEY : CKO_PUBLIC_KEY))
        return object->class == CKO_CERTIFICATE ? CKR_KEY_HANDLE_INVALID
                                                : CKR_KEY_FUNCTION_NOT_PERMITTED;
    return operation_begin(operation, mechanism, object, slot->is_edwards);
}

CK_RV operations_begin(CK_SESSION_HANDLE handle, enum operations_kind kind,
                       const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    struct library *library = NULL;
    struct session *session = NULL;
    CK_RV rv = library_enter_session(handle, &library, &session);

    if (rv != CKR_OK)
        return rv;
    rv = operations_begin_in(library, session, kind, mechanism, key);
    library_leave();
    return rv;
}

/* Fed while it is in no session; afterwards back, where its session is still there. */
CK_RV operations_update(CK_SESSION_HANDLE handle, enum operations_kind kind, const uint8_t *part,
                        CK_ULONG part_len)
{
    _cleanup_operation_ struct operation taken = {0};
    struct library *library = NULL;
    struct session *session = NULL;

    if (!part && part_len > 0)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = library_enter_session(handle, &library, &session);
    if (rv != CKR_OK)
        return rv;
    if (!operations_of(session, kind)->is_active) {
        library_leave();
        return CKR_OPERATION_NOT_INITIALIZED;
    }
    taken = operation_take(operations_of(session, kind));
    taken.is_multipart = true;
    library_pause(library);
    /* what the mechanism takes raw is a digest: never hashed, however long */
    CK_RV added =
        message_add(&taken.message, taken.use.mechanism->hash, (struct wire_span){part, part_len});
    rv = library_resume(library);
    if (rv != CKR_OK)
        return rv;
    session = sessions_get(&library->sessions, handle);
    if (added == CKR_OK && session && !operations_of(session, kind)->is_active)
        *operations_of(session, kind) = operation_take(&taken);
    library_leave();
    return added;
}

CK_RV operations_get(CK_SESSION_HANDLE handle, enum operations_kind kind, bool is_multipart,
                     struct library **ret_library, struct operation **ret_operation)
{
    struct session *session = NULL;
    CK_RV rv = library_enter_session(handle, ret_library, &session);

    if (rv != CKR_OK)
        return rv;
    struct operation *operation = operations_of(session, kind);
    if (!operation->is_active)
        rv = CKR_OPERATION_NOT_INITIALIZED;
    else if (!is_multipart && operation->is_multipart)
        rv = CKR_OPERATION_ACTIVE;
    if (rv == CKR_OK)
        *ret_operation = operation;
    else
        library_leave();
    return rv;
}
