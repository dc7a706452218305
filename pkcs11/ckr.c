/* SPDX-License-Identifier: Apache-2.0 */
/* The table of CK_RV; see ckr.h. */
#include "pkcs11/ckr.h"

struct ckr_row {
    CK_RV rv;
    enum ckr_class class;
    const char *name;
};

#define CKR_ROW(rv, class)         \
    {                              \
        rv, CKR_CLASS_##class, #rv \
    }

static const struct ckr_row ckr_table[] = {
    CKR_ROW(CKR_OK, OK),

    CKR_ROW(CKR_SESSION_HANDLE_INVALID, STALE_HANDLE),
    CKR_ROW(CKR_SESSION_CLOSED, STALE_HANDLE),
    CKR_ROW(CKR_KEY_HANDLE_INVALID, STALE_HANDLE),
    CKR_ROW(CKR_OBJECT_HANDLE_INVALID, STALE_HANDLE),

    CKR_ROW(CKR_DEVICE_REMOVED, STATE_LOST),
    CKR_ROW(CKR_DEVICE_ERROR, STATE_LOST),
    CKR_ROW(CKR_DEVICE_MEMORY, STATE_LOST),
    CKR_ROW(CKR_GENERAL_ERROR, STATE_LOST),
    CKR_ROW(CKR_FUNCTION_FAILED, STATE_LOST),
    CKR_ROW(CKR_HOST_MEMORY, STATE_LOST),
    CKR_ROW(CKR_TOKEN_NOT_PRESENT, STATE_LOST),
    CKR_ROW(CKR_TOKEN_NOT_RECOGNIZED, STATE_LOST),
    CKR_ROW(CKR_SLOT_ID_INVALID, STATE_LOST),
    CKR_ROW(CKR_CRYPTOKI_NOT_INITIALIZED, STATE_LOST),
    CKR_ROW(CKR_MUTEX_BAD, STATE_LOST),
    CKR_ROW(CKR_MUTEX_NOT_LOCKED, STATE_LOST),

    CKR_ROW(CKR_USER_NOT_LOGGED_IN, NOT_LOGGED_IN),

    CKR_ROW(CKR_PIN_INCORRECT, PIN),
    CKR_ROW(CKR_PIN_INVALID, PIN),
    CKR_ROW(CKR_PIN_LEN_RANGE, PIN),
    CKR_ROW(CKR_PIN_EXPIRED, PIN),
    CKR_ROW(CKR_USER_PIN_NOT_INITIALIZED, PIN),
    CKR_ROW(CKR_PIN_LOCKED, PIN_BLOCKED),

    CKR_ROW(CKR_MECHANISM_INVALID, UNSUPPORTED),
    CKR_ROW(CKR_MECHANISM_PARAM_INVALID, UNSUPPORTED),
    CKR_ROW(CKR_KEY_TYPE_INCONSISTENT, UNSUPPORTED),
    CKR_ROW(CKR_KEY_FUNCTION_NOT_PERMITTED, UNSUPPORTED),
    CKR_ROW(CKR_KEY_SIZE_RANGE, UNSUPPORTED),
    CKR_ROW(CKR_FUNCTION_NOT_SUPPORTED, UNSUPPORTED),

    CKR_ROW(CKR_ARGUMENTS_BAD, ERROR),
    CKR_ROW(CKR_ATTRIBUTE_SENSITIVE, ERROR),
    CKR_ROW(CKR_ATTRIBUTE_TYPE_INVALID, ERROR),
    CKR_ROW(CKR_ATTRIBUTE_VALUE_INVALID, ERROR),
    CKR_ROW(CKR_BUFFER_TOO_SMALL, ERROR),
    CKR_ROW(CKR_CANCEL, ERROR),
    CKR_ROW(CKR_CANT_LOCK, ERROR),
    CKR_ROW(CKR_CRYPTOKI_ALREADY_INITIALIZED, ERROR),
    CKR_ROW(CKR_DATA_INVALID, ERROR),
    CKR_ROW(CKR_DATA_LEN_RANGE, ERROR),
    CKR_ROW(CKR_FUNCTION_CANCELED, ERROR),
    CKR_ROW(CKR_FUNCTION_REJECTED, ERROR),
    CKR_ROW(CKR_NEED_TO_CREATE_THREADS, ERROR),
    CKR_ROW(CKR_OPERATION_ACTIVE, ERROR),
    CKR_ROW(CKR_OPERATION_NOT_INITIALIZED, ERROR),
    CKR_ROW(CKR_SESSION_COUNT, ERROR),
    CKR_ROW(CKR_SESSION_PARALLEL_NOT_SUPPORTED, ERROR),
    CKR_ROW(CKR_USER_ALREADY_LOGGED_IN, ERROR),
    CKR_ROW(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, ERROR),
    CKR_ROW(CKR_USER_TOO_MANY_TYPES, ERROR),
    CKR_ROW(CKR_USER_TYPE_INVALID, ERROR),
};

static const struct ckr_row *ckr_find(CK_RV rv)
{
    for (size_t i = 0; i < ARRAY_SIZE(ckr_table); i++)
        if (ckr_table[i].rv == rv)
            return &ckr_table[i];
    return NULL;
}

const char *ckr_name(CK_RV rv)
{
    const struct ckr_row *row = ckr_find(rv);

    if (row)
        return row->name;
    return rv >= CKR_VENDOR_DEFINED ? "vendor error" : "unknown error";
}

enum ckr_class ckr_classify(CK_RV rv)
{
    const struct ckr_row *row = ckr_find(rv);

    return row ? row->class : CKR_CLASS_ERROR;
}

bool ckr_is_lost(CK_RV rv)
{
    enum ckr_class class = ckr_classify(rv);

    return class == CKR_CLASS_STALE_HANDLE || class == CKR_CLASS_STATE_LOST;
}

enum worker_result ckr_result(CK_RV rv)
{
    switch (ckr_classify(rv)) {
    case CKR_CLASS_OK:
        return WORKER_OK;
    case CKR_CLASS_STALE_HANDLE:
    case CKR_CLASS_STATE_LOST:
        return WORKER_E_STATE_LOST;
    case CKR_CLASS_NOT_LOGGED_IN:
        return WORKER_E_LOCKED;
    case CKR_CLASS_PIN:
        return WORKER_E_PIN;
    case CKR_CLASS_PIN_BLOCKED:
        return WORKER_E_PIN_BLOCKED;
    case CKR_CLASS_UNSUPPORTED:
        return WORKER_E_UNSUPPORTED;
    case CKR_CLASS_ERROR:
        break;
    }
    return WORKER_E_MODULE;
}

const char *ckr_text(const char *function, CK_RV rv, char buffer[CKR_TEXT_MAX])
{
    (void)snprintf(buffer, CKR_TEXT_MAX, "the module answered %s (0x%lx) to %s", ckr_name(rv), rv,
                   function);
    return buffer;
}
