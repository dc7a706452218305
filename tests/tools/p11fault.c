/* SPDX-License-Identifier: Apache-2.0 */
/*
 * p11fault.so: a PKCS#11 module (2.40) that forwards every call to the module named in
 * $P11FAULT_MODULE and does to it what the control file says (p11fault_rules.h). For tests: it
 * stands in for the modules and cards that fail in ways SoftHSM cannot. Exports C_GetFunctionList
 * alone.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "p11fault_effects.h"
#include "p11fault_forward.h"
#include "p11fault_pin.h"
#include "p11fault_session.h"
#include "p11fault_sign.h"
#include "p11fault_token.h"

#define SEARCH_MAX 16u
#define MECHANISMS_MAX 1024u

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST faulty;

/* Each of these defines one function of the list. */
#define DEFINE_PLAIN(name, params, args)                            \
    static CK_RV x_##name params                                    \
    {                                                               \
        struct fault_outcome outcome = fault_begin("C_" #name);     \
        return outcome.answered ? outcome.rv : real->C_##name args; \
    }

#define DEFINE_SLOT(name, params, args)                         \
    static CK_RV x_##name params                                \
    {                                                           \
        struct fault_outcome outcome = fault_begin("C_" #name); \
        if (outcome.answered)                                   \
            return outcome.rv;                                  \
        if (fault_token_is_removed(slot))                       \
            return CKR_TOKEN_NOT_PRESENT;                       \
        return real->C_##name args;                             \
    }

#define DEFINE_SESSION(name, params, args)                      \
    static CK_RV x_##name params                                \
    {                                                           \
        struct fault_outcome outcome = fault_begin("C_" #name); \
        if (outcome.answered)                                   \
            return outcome.rv;                                  \
        CK_RV rv = fault_token_enter(s);                        \
        if (rv != CKR_OK)                                       \
            return rv;                                          \
        rv = real->C_##name args;                               \
        fault_token_leave();                                    \
        return rv;                                              \
    }

FORWARD_PLAIN_LIST(DEFINE_PLAIN)
FORWARD_SLOT_LIST(DEFINE_SLOT)
FORWARD_SESSION_LIST(DEFINE_SESSION)

static CK_RV x_Initialize(void *args)
{
    struct fault_outcome outcome = fault_begin("C_Initialize");

    return outcome.answered ? outcome.rv : real->C_Initialize(args);
}

static CK_RV x_Finalize(void *reserved)
{
    struct fault_outcome outcome = fault_begin("C_Finalize");

    if (outcome.answered)
        return outcome.rv;
    fault_session_forget();
    return real->C_Finalize(reserved);
}

static CK_RV x_GetSlotList(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *count)
{
    struct fault_outcome outcome = fault_begin("C_GetSlotList");
    _cleanup_free_ CK_SLOT_ID *all = NULL;
    CK_ULONG all_count = 0;

    if (outcome.answered)
        return outcome.rv;
    /* The length query is always made: in SoftHSM it is the call that looks for new tokens. */
    CK_RV rv = real->C_GetSlotList(present, NULL, &all_count);
    if (rv != CKR_OK)
        return rv;
    all = calloc(all_count + 1, sizeof(*all));
    if (!all)
        return CKR_HOST_MEMORY;
    rv = real->C_GetSlotList(present, all, &all_count);
    if (rv != CKR_OK)
        return rv;
    if (present)
        all_count = fault_token_filter(all, all_count);
    if (list && *count < all_count)
        rv = CKR_BUFFER_TOO_SMALL;
    else if (list)
        (void)memcpy(list, all, all_count * sizeof(*all));
    *count = all_count;
    return rv;
}

static CK_RV x_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    struct fault_outcome outcome = fault_begin("C_GetSlotInfo");
    struct fault_settings settings;

    if (outcome.answered)
        return outcome.rv;
    CK_RV rv = real->C_GetSlotInfo(slot, info);
    if (rv != CKR_OK)
        return rv;
    fault_rules_settings(&settings);
    if (settings.hardware)
        info->flags |= CKF_HW_SLOT | CKF_REMOVABLE_DEVICE;
    fault_token_set_reader(slot, info);
    if (fault_token_is_removed(slot))
        info->flags &= ~(CK_FLAGS)CKF_TOKEN_PRESENT;
    return CKR_OK;
}

static CK_RV x_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    struct fault_outcome outcome = fault_begin("C_GetTokenInfo");
    struct fault_settings settings;
    char label[FAULT_LABEL_LEN + 1];

    if (outcome.answered)
        return outcome.rv;
    if (fault_token_is_removed(slot))
        return CKR_TOKEN_NOT_PRESENT;
    CK_RV rv = real->C_GetTokenInfo(slot, info);
    if (rv != CKR_OK)
        return rv;
    fault_rules_settings(&settings);
    fault_token_label(slot, label);
    fault_pin_flags(&settings, label, &info->flags);
    fault_token_set_serial(label, info);
    if (settings.pinpad)
        info->flags |= CKF_PROTECTED_AUTHENTICATION_PATH;
    return CKR_OK;
}

static CK_RV x_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
    struct fault_outcome outcome = fault_begin("C_GetMechanismList");
    CK_MECHANISM_TYPE all[MECHANISMS_MAX];
    CK_ULONG all_count = MECHANISMS_MAX;
    struct fault_settings settings;
    CK_ULONG kept = 0;

    if (outcome.answered)
        return outcome.rv;
    if (fault_token_is_removed(slot))
        return CKR_TOKEN_NOT_PRESENT;
    CK_RV rv = real->C_GetMechanismList(slot, all, &all_count);
    if (rv != CKR_OK)
        return rv;
    fault_rules_settings(&settings);
    for (CK_ULONG i = 0; i < all_count; i++) {
        if (!fault_sign_is_hidden(&settings, slot, all[i]))
            all[kept++] = all[i];
    }
    if (list && *count < kept)
        rv = CKR_BUFFER_TOO_SMALL;
    else if (list)
        (void)memcpy(list, all, kept * sizeof(*all));
    *count = kept;
    return rv;
}

static CK_RV x_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify,
                           CK_SESSION_HANDLE *session)
{
    struct fault_outcome outcome = fault_begin("C_OpenSession");
    struct fault_settings settings;

    if (outcome.answered)
        return outcome.rv;
    if (fault_token_is_removed(slot))
        return CKR_TOKEN_NOT_PRESENT;
    fault_rules_settings(&settings);
    CK_RV rv = fault_session_reserve(&settings);
    if (rv != CKR_OK)
        return rv;
    rv = real->C_OpenSession(slot, flags, app, notify, session);
    fault_session_opened(rv == CKR_OK ? *session : CK_INVALID_HANDLE, slot);
    return rv;
}

static CK_RV x_CloseSession(CK_SESSION_HANDLE session)
{
    struct fault_outcome outcome = fault_begin("C_CloseSession");

    if (outcome.answered)
        return outcome.rv;
    CK_RV rv = fault_token_enter(session);
    if (rv != CKR_OK)
        return rv;
    rv = real->C_CloseSession(session);
    fault_session_closed(session);
    fault_token_leave();
    return rv;
}

static CK_RV x_CloseAllSessions(CK_SLOT_ID slot)
{
    struct fault_outcome outcome = fault_begin("C_CloseAllSessions");

    if (outcome.answered)
        return outcome.rv;
    fault_session_closed_all(slot);
    return real->C_CloseAllSessions(slot);
}

static CK_RV x_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved)
{
    struct fault_outcome outcome = fault_begin("C_WaitForSlotEvent");

    (void)reserved;
    return outcome.answered ? outcome.rv : fault_token_event(flags, slot);
}

struct login {
    CK_SESSION_HANDLE session;
    CK_USER_TYPE user;
    CK_BYTE *pin;
    CK_ULONG pin_len;
};

static CK_RV login_real(void *closure)
{
    const struct login *login = closure;

    return real->C_Login(login->session, login->user, login->pin, login->pin_len);
}

static CK_RV x_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG pin_len)
{
    struct login login = {.session = session, .user = user, .pin_len = pin_len};
    struct fault_outcome outcome = fault_begin("C_Login");
    struct fault_settings settings;
    char label[FAULT_LABEL_LEN + 1] = "";
    CK_SESSION_INFO info;

    login.pin = pin;
    if (outcome.answered)
        return outcome.rv;
    CK_RV rv = fault_token_enter(session);
    if (rv != CKR_OK)
        return rv;
    if (real->C_GetSessionInfo(session, &info) == CKR_OK)
        fault_token_label(info.slotID, label);
    fault_rules_settings(&settings);
    if (settings.pinpad && user != CKU_SO)
        rv = fault_pinpad(&settings, &login.pin, &login.pin_len);
    if (rv == CKR_OK)
        rv = user == CKU_SO ? login_real(&login)
                            : fault_pin_count(&settings, label, login_real, &login);
    fault_token_leave();
    return rv;
}

static CK_RV spoil_attributes(const struct fault_settings *settings, CK_ATTRIBUTE *attrs,
                              CK_ULONG count, CK_RV rv)
{
    for (CK_ULONG i = 0; i < count; i++) {
        for (size_t k = 0; k < settings->attr_count; k++) {
            if (settings->attrs[k].type != attrs[i].type ||
                attrs[i].ulValueLen == CK_UNAVAILABLE_INFORMATION || attrs[i].ulValueLen == 0)
                continue;
            if (settings->attrs[k].fault == FAULT_ATTR_BAD_LENGTH ||
                (settings->attrs[k].fault == FAULT_ATTR_GROWING && !attrs[i].pValue))
                attrs[i].ulValueLen--;
            if (settings->attrs[k].fault != FAULT_ATTR_UNAVAILABLE)
                continue;
            attrs[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
            rv = CKR_ATTRIBUTE_TYPE_INVALID;
        }
    }
    return rv;
}

static CK_RV x_GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                                 CK_ATTRIBUTE *attrs, CK_ULONG count)
{
    struct fault_outcome outcome = fault_begin("C_GetAttributeValue");
    struct fault_settings settings;

    if (outcome.answered)
        return outcome.rv;
    CK_RV rv = fault_token_enter(session);
    if (rv != CKR_OK)
        return rv;
    rv = real->C_GetAttributeValue(session, object, attrs, count);
    fault_token_leave();
    fault_rules_settings(&settings);
    return spoil_attributes(&settings, attrs, count, rv);
}

/* A search by CKA_ID finds another one's objects: as if keys had been replaced meanwhile. */
static CK_RV x_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE *attrs, CK_ULONG count)
{
    struct fault_outcome outcome = fault_begin("C_FindObjectsInit");
    struct fault_settings settings;
    CK_ATTRIBUTE changed[SEARCH_MAX];
    CK_ULONG kept = 0;

    if (outcome.answered)
        return outcome.rv;
    CK_RV rv = fault_token_enter(session);
    if (rv != CKR_OK)
        return rv;
    fault_rules_settings(&settings);
    for (CK_ULONG i = 0; settings.found_id && i < count && i < SEARCH_MAX; i++) {
        if (attrs[i].type == CKA_LABEL)
            continue;
        changed[kept++] =
            attrs[i].type == CKA_ID ? (CK_ATTRIBUTE){CKA_ID, &settings.found_id, 1} : attrs[i];
    }
    rv = kept > 0 ? real->C_FindObjectsInit(session, changed, kept)
                  : real->C_FindObjectsInit(session, attrs, count);
    fault_token_leave();
    return rv;
}

static bool is_hidden(const struct fault_settings *settings, CK_SESSION_HANDLE session,
                      CK_OBJECT_HANDLE object)
{
    CK_BBOOL private = CK_FALSE;
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_ATTRIBUTE attrs[] = {{CKA_PRIVATE, &private, sizeof(private)},
                            {CKA_CLASS, &class, sizeof(class)}};

    if (real->C_GetAttributeValue(session, object, attrs, ARRAY_SIZE(attrs)) != CKR_OK)
        return false;
    return (settings->no_public_objects && !private) ||
           (settings->no_public_keys && class == CKO_PUBLIC_KEY);
}

static CK_RV find_shown(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG max,
                        CK_ULONG *ret_count)
{
    struct fault_settings settings;
    CK_ULONG found = 0;
    CK_ULONG kept = 0;

    fault_rules_settings(&settings);
    /* None found ends a search, so a batch of hidden objects must not look like that. */
    do {
        CK_RV rv = real->C_FindObjects(session, objects, max, &found);
        if (rv != CKR_OK)
            return rv;
        for (CK_ULONG i = 0; i < found; i++)
            if (!is_hidden(&settings, session, objects[i]))
                objects[kept++] = objects[i];
    } while (found > 0 && kept == 0);
    *ret_count = kept;
    return CKR_OK;
}

static CK_RV x_FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG max,
                           CK_ULONG *ret_count)
{
    struct fault_outcome outcome = fault_begin("C_FindObjects");

    if (outcome.answered)
        return outcome.rv;
    CK_RV rv = fault_token_enter(session);
    if (rv != CKR_OK)
        return rv;
    rv = find_shown(session, objects, max, ret_count);
    fault_token_leave();
    return rv;
}

/* Whatever it answers, this call ends a search. */
static CK_RV x_FindObjectsFinal(CK_SESSION_HANDLE session)
{
    struct fault_outcome outcome = fault_begin("C_FindObjectsFinal");
    CK_RV rv = fault_token_enter(session);

    if (rv != CKR_OK)
        return rv;
    rv = real->C_FindObjectsFinal(session);
    fault_token_leave();
    return outcome.answered ? outcome.rv : rv;
}

static CK_RV x_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return fault_sign_init(session, mechanism, key);
}

static CK_RV x_Sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG data_len, CK_BYTE *signature,
                    CK_ULONG *signature_len)
{
    return fault_sign(session, data, data_len, signature, signature_len);
}

static CK_RV x_SignFinal(CK_SESSION_HANDLE session, CK_BYTE *signature, CK_ULONG *signature_len)
{
    return fault_sign_final(session, signature, signature_len);
}

static CK_RV x_GetFunctionList(CK_FUNCTION_LIST **ret_list)
{
    *ret_list = &faulty;
    return CKR_OK;
}

#define TABLE_ROW(name, params, args) .C_##name = x_##name,
static CK_FUNCTION_LIST faulty = {
    .version = {2, 40},
    FORWARD_PLAIN_LIST(TABLE_ROW) FORWARD_SLOT_LIST(TABLE_ROW) FORWARD_SESSION_LIST(TABLE_ROW)
        .C_Initialize = x_Initialize,
    .C_Finalize = x_Finalize,
    .C_GetFunctionList = x_GetFunctionList,
    .C_GetSlotList = x_GetSlotList,
    .C_GetSlotInfo = x_GetSlotInfo,
    .C_GetTokenInfo = x_GetTokenInfo,
    .C_WaitForSlotEvent = x_WaitForSlotEvent,
    .C_GetMechanismList = x_GetMechanismList,
    .C_OpenSession = x_OpenSession,
    .C_CloseSession = x_CloseSession,
    .C_CloseAllSessions = x_CloseAllSessions,
    .C_Login = x_Login,
    .C_GetAttributeValue = x_GetAttributeValue,
    .C_FindObjectsInit = x_FindObjectsInit,
    .C_FindObjects = x_FindObjects,
    .C_FindObjectsFinal = x_FindObjectsFinal,
    .C_SignInit = x_SignInit,
    .C_Sign = x_Sign,
    .C_SignFinal = x_SignFinal,
};

static void load_real(void)
{
    const char *path = getenv("P11FAULT_MODULE");
    void *module = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    CK_C_GetFunctionList get_list = NULL;
    CK_FUNCTION_LIST *list = NULL;

    if (module)
        *(void **)&get_list = dlsym(module, "C_GetFunctionList");
    if (!get_list || get_list(&list) != CKR_OK)
        return;
    fault_token_set_module(list);
    fault_sign_set_module(list);
    real = list;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **ret_list)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, load_real);
    if (!real)
        return CKR_GENERAL_ERROR;
    return x_GetFunctionList(ret_list);
}
