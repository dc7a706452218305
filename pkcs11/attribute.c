/* SPDX-License-Identifier: Apache-2.0 */
/* Reading objects; see attribute.h. */
#include "pkcs11/attribute.h"

#include <string.h>

#include "pkcs11/ckr.h"

#define OBJECT_FIND_BATCH 64u

/*
 * Whether nothing more can be read. Some modules answer a question for an attribute that they do
 * not know with CKR_GENERAL_ERROR or CKR_FUNCTION_FAILED, and an object may have been deleted by
 * another program: those cost the one object.
 */
static bool attribute_is_end(CK_RV rv)
{
    return ckr_is_lost(rv) && rv != CKR_GENERAL_ERROR && rv != CKR_FUNCTION_FAILED &&
           rv != CKR_OBJECT_HANDLE_INVALID;
}

size_t attribute_get(struct attribute_reader *reader, CK_ATTRIBUTE_TYPE type, void *buffer,
                     size_t size)
{
    CK_ATTRIBUTE attribute = {type, buffer, size};

    if (reader->lost != CKR_OK)
        return 0;
    CK_RV rv = reader->token->calls->C_GetAttributeValue(reader->token->session, reader->object,
                                                         &attribute, 1);
    if (attribute_is_end(rv))
        reader->lost = rv;
    /* CK_UNAVAILABLE_INFORMATION is the largest number, also when it comes with CKR_OK. */
    if (rv != CKR_OK || attribute.ulValueLen > size)
        return 0;
    return attribute.ulValueLen;
}

bool attribute_get_number(struct attribute_reader *reader, CK_ATTRIBUTE_TYPE type,
                          CK_ULONG *ret_value)
{
    CK_ULONG value = 0;

    if (attribute_get(reader, type, &value, sizeof(value)) != sizeof(value))
        return false;
    *ret_value = value;
    return true;
}

bool attribute_get_bool(struct attribute_reader *reader, CK_ATTRIBUTE_TYPE type, bool missing)
{
    CK_BBOOL value = CK_FALSE;

    if (attribute_get(reader, type, &value, sizeof(value)) != sizeof(value))
        return missing;
    return value != CK_FALSE;
}

void attribute_get_name(struct attribute_reader *reader, struct object_name *ret_name)
{
    ret_name->id_len = attribute_get(reader, CKA_ID, ret_name->id, sizeof(ret_name->id));
    ret_name->label_len =
        attribute_get(reader, CKA_LABEL, ret_name->label, sizeof(ret_name->label));
}

void object_name_set(struct object_name *name, struct wire_span id, struct wire_span label)
{
    *name = (struct object_name){0};
    if (id.len > 0 && id.len <= sizeof(name->id)) {
        memcpy(name->id, id.data, id.len);
        name->id_len = id.len;
    }
    if (label.len > 0 && label.len <= sizeof(name->label)) {
        memcpy(name->label, label.data, label.len);
        name->label_len = label.len;
    }
}

unsigned int object_name_score(const struct object_name *a, const struct object_name *b)
{
    bool same_label =
        a->label_len > 0 && wire_span_is_equal(object_name_label(a), object_name_label(b));

    /* Labels repeat ("PIV AUTH key"); with two ids they only break ties. */
    if (a->id_len > 0 && b->id_len > 0) {
        if (!wire_span_is_equal(object_name_id(a), object_name_id(b)))
            return 0;
        return same_label ? 3 : 2;
    }
    return same_label ? 1 : 0;
}

static CK_RV object_find_all(const struct token *token, CK_SESSION_HANDLE session,
                             CK_OBJECT_HANDLE **handles, size_t *count)
{
    for (size_t cap = 0; *count < WORKER_KEYS_MAX;) {
        CK_ULONG found = 0;

        if (cap - *count < OBJECT_FIND_BATCH) {
            cap = *count + 4 * OBJECT_FIND_BATCH;
            CK_OBJECT_HANDLE *more = reallocarray(*handles, cap, sizeof(**handles));
            if (!more)
                return CKR_HOST_MEMORY;
            *handles = more;
        }
        CK_RV rv =
            token->calls->C_FindObjects(session, *handles + *count, OBJECT_FIND_BATCH, &found);
        if (rv != CKR_OK)
            return rv;
        if (found == 0)
            return CKR_OK;
        *count += found < OBJECT_FIND_BATCH ? found : OBJECT_FIND_BATCH;
    }
    *count = WORKER_KEYS_MAX;
    return CKR_OK;
}

CK_RV object_find(const struct token *token, CK_SESSION_HANDLE session, CK_ATTRIBUTE *match,
                  CK_ULONG match_count, CK_OBJECT_HANDLE **ret_handles, size_t *ret_count)
{
    _cleanup_free_ CK_OBJECT_HANDLE *handles = NULL;
    size_t count = 0;
    CK_RV rv = token->calls->C_FindObjectsInit(session, match, match_count);

    if (rv != CKR_OK)
        return rv;
    rv = object_find_all(token, session, &handles, &count);
    (void)token->calls->C_FindObjectsFinal(session);
    if (rv != CKR_OK)
        return rv;
    *ret_handles = TAKE_PTR(handles);
    *ret_count = count;
    return CKR_OK;
}
