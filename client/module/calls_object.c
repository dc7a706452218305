/* SPDX-License-Identifier: Apache-2.0 */
/* PKCS #11 v2.40 section 5.7: finding objects and reading them. Nothing can be written. */
#include <string.h>

#include "client/module/attributes.h"
#include "client/module/library.h"

/* An entry has a value, or is empty. */
static bool object_is_template(const CK_ATTRIBUTE *template, CK_ULONG count)
{
    if (!template && count > 0)
        return false;
    for (CK_ULONG i = 0; i < count; i++)
        if (!template[i].pValue && template[i].ulValueLen > 0)
            return false;
    return true;
}

static CK_RV object_find(struct session *session, const struct content *content,
                         const CK_ATTRIBUTE *template, CK_ULONG count)
{
    size_t most = content->object_count;
    CK_OBJECT_HANDLE *found = calloc(most > 0 ? most : 1, sizeof(*found));

    if (!found)
        return CKR_HOST_MEMORY;
    session->found = found;
    session->is_finding = true;
    for (size_t i = 0; i < most; i++)
        if (attributes_match(&content->objects[i], template, count))
            found[session->found_count++] = content->objects[i].handle;
    return CKR_OK;
}

CK_RV C_FindObjectsInit(CK_SESSION_HANDLE handle, CK_ATTRIBUTE *template, CK_ULONG count)
{
    struct library *library = NULL;

    if (!object_is_template(template, count))
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = library_enter_fresh(&library);
    if (rv != CKR_OK)
        return rv;
    struct session *session = sessions_get(&library->sessions, handle);
    if (!session)
        rv = CKR_SESSION_HANDLE_INVALID;
    else if (session->is_finding)
        rv = CKR_OPERATION_ACTIVE;
    else
        rv = object_find(session, &slots_get(&library->slots, session->slot_id)->content, template,
                         count);
    library_leave();
    return rv;
}

CK_RV C_FindObjects(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE *objects, CK_ULONG max_count,
                    CK_ULONG *count)
{
    struct library *library = NULL;
    struct session *session = NULL;

    if (!count || (!objects && max_count > 0))
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = library_enter_session(handle, &library, &session);
    if (rv != CKR_OK)
        return rv;
    if (session->is_finding) {
        size_t left = session->found_count - session->found_taken;
        *count = left < max_count ? left : max_count;
        if (*count > 0)
            memcpy(objects, session->found + session->found_taken, *count * sizeof(*objects));
        session->found_taken += *count;
    } else {
        rv = CKR_OPERATION_NOT_INITIALIZED;
    }
    library_leave();
    return rv;
}

CK_RV C_FindObjectsFinal(CK_SESSION_HANDLE handle)
{
    struct library *library = NULL;
    struct session *session = NULL;
    CK_RV rv = library_enter_session(handle, &library, &session);

    if (rv != CKR_OK)
        return rv;
    if (!session->is_finding)
        rv = CKR_OPERATION_NOT_INITIALIZED;
    session_end_find(session);
    library_leave();
    return rv;
}

/* With the object, else the lock is not held. */
static CK_RV object_enter(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object,
                          const struct object **ret_object)
{
    struct library *library = NULL;
    struct session *session = NULL;
    CK_RV rv = library_enter_session(handle, &library, &session);

    if (rv != CKR_OK)
        return rv;
    *ret_object = content_find(&slots_get(&library->slots, session->slot_id)->content, object);
    if (*ret_object)
        return CKR_OK;
    library_leave();
    return CKR_OBJECT_HANDLE_INVALID;
}

CK_RV C_GetAttributeValue(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object_handle,
                          CK_ATTRIBUTE *template, CK_ULONG count)
{
    const struct object *object = NULL;

    if (!template || count == 0)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = object_enter(handle, object_handle, &object);
    if (rv != CKR_OK)
        return rv;
    rv = attributes_get(object, template, count);
    library_leave();
    return rv;
}

CK_RV C_GetObjectSize(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object_handle, CK_ULONG *size)
{
    const struct object *object = NULL;

    if (!size)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = object_enter(handle, object_handle, &object);
    if (rv != CKR_OK)
        return rv;
    *size = CK_UNAVAILABLE_INFORMATION;
    library_leave();
    return CKR_OK;
}

/* Nothing on the token can be changed through this module: the tools of its vendor do that. */
static CK_RV object_refuse_write(CK_SESSION_HANDLE handle)
{
    return library_answer(handle, CKR_TOKEN_WRITE_PROTECTED);
}

CK_RV C_CreateObject(CK_SESSION_HANDLE handle, CK_ATTRIBUTE *template, CK_ULONG count,
                     CK_OBJECT_HANDLE *object)
{
    (void)template;
    (void)count;
    (void)object;
    return object_refuse_write(handle);
}

CK_RV C_CopyObject(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template,
                   CK_ULONG count, CK_OBJECT_HANDLE *copy)
{
    (void)object;
    (void)template;
    (void)count;
    (void)copy;
    return object_refuse_write(handle);
}

CK_RV C_DestroyObject(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object)
{
    (void)object;
    return object_refuse_write(handle);
}

CK_RV C_SetAttributeValue(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template,
                          CK_ULONG count)
{
    (void)object;
    (void)template;
    (void)count;
    return object_refuse_write(handle);
}

CK_RV C_GenerateKey(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_ATTRIBUTE *template,
                    CK_ULONG count, CK_OBJECT_HANDLE *key)
{
    (void)mechanism;
    (void)template;
    (void)count;
    (void)key;
    return object_refuse_write(handle);
}

CK_RV C_GenerateKeyPair(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism,
                        CK_ATTRIBUTE *public_template, CK_ULONG public_count,
                        CK_ATTRIBUTE *private_template, CK_ULONG private_count,
                        CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
    (void)mechanism;
    (void)public_template;
    (void)public_count;
    (void)private_template;
    (void)private_count;
    (void)public_key;
    (void)private_key;
    return object_refuse_write(handle);
}

CK_RV C_InitPIN(CK_SESSION_HANDLE handle, unsigned char *pin, unsigned long pin_len)
{
    (void)pin;
    (void)pin_len;
    return object_refuse_write(handle);
}

CK_RV C_SetPIN(CK_SESSION_HANDLE handle, unsigned char *old_pin, unsigned long old_len,
               unsigned char *new_pin, unsigned long new_len)
{
    (void)old_pin;
    (void)old_len;
    (void)new_pin;
    (void)new_len;
    return object_refuse_write(handle);
}
