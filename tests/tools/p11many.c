/* SPDX-License-Identifier: Apache-2.0 */
/*
 * p11many.so: a PKCS#11 module (2.40) with as many slots and keys as $P11MANY says: "SLOTS KEYS",
 * the keys of each token; then "login" for tokens that show their private keys after C_Login with
 * any PIN alone. For tests and measurements of what grows: making 10,000 keys on a real token
 * takes minutes. Key number n, from 1 on over all tokens, is P-256 with the private scalar n, so
 * nothing is stored. Each has a private key object, a public one, and a certificate by a CA that is
 * not on the token, whose signature is no real one. Exports C_GetFunctionList alone.
 */
#include <p11-kit/pkcs11.h>
#include <stdatomic.h>
#include <string.h>

#include "p11many_key.h"

#define SLOTS_MAX 4096u
#define SESSIONS_MAX 8192u
#define SERIAL_BASE 1000000u

enum object_kind {
    OBJECT_PRIVATE,
    OBJECT_PUBLIC,
    OBJECT_CERT,
    OBJECT_KINDS,
};

/* An object's handle is its key's number times OBJECT_KINDS, and its kind. */
struct session {
    bool is_open;
    CK_SLOT_ID slot;
    enum object_kind search;
    unsigned long search_next; /* key number within the token, from 0 on */
    bool search_is_all;        /* what was searched for exists */
    unsigned long sign_key;
};

static unsigned long slot_count = 1;
static unsigned long keys_per_slot = 1;
static bool needs_login;
static atomic_bool is_logged_in[SLOTS_MAX];
/* One process uses a session from one thread; the table grows under the module's own lock. */
static struct session sessions[SESSIONS_MAX];
static atomic_flag sessions_lock = ATOMIC_FLAG_INIT;

static void pad(unsigned char *field, size_t size, const char *text)
{
    memset(field, ' ', size);
    memcpy(field, text, strlen(text));
}

static struct session *find_session(CK_SESSION_HANDLE handle)
{
    if (handle == 0 || handle > SESSIONS_MAX || !sessions[handle - 1].is_open)
        return NULL;
    return &sessions[handle - 1];
}

static CK_RV many_initialize(void *args)
{
    const char *wanted = getenv("P11MANY");
    char word[16] = "";

    (void)args;
    if (wanted && sscanf(wanted, "%lu %lu %15s", &slot_count, &keys_per_slot, word) < 2)
        return CKR_ARGUMENTS_BAD;
    needs_login = strcmp(word, "login") == 0;
    return slot_count <= SLOTS_MAX && many_key_setup() == 0 ? CKR_OK : CKR_GENERAL_ERROR;
}

static CK_RV many_finalize(void *reserved)
{
    (void)reserved;
    return CKR_OK;
}

static CK_RV many_get_info(CK_INFO *info)
{
    memset(info, 0, sizeof(*info));
    info->cryptokiVersion = (CK_VERSION){2, 40};
    pad(info->manufacturerID, sizeof(info->manufacturerID), "mtls-agent tests");
    pad(info->libraryDescription, sizeof(info->libraryDescription), "many slots and keys");
    return CKR_OK;
}

static CK_RV many_get_slot_list(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *count)
{
    CK_ULONG room = *count;

    (void)present;
    *count = slot_count;
    if (!list)
        return CKR_OK;
    if (room < slot_count)
        return CKR_BUFFER_TOO_SMALL;
    for (CK_ULONG i = 0; i < slot_count; i++)
        list[i] = i;
    return CKR_OK;
}

static CK_RV many_get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    if (slot >= slot_count)
        return CKR_SLOT_ID_INVALID;
    memset(info, 0, sizeof(*info));
    pad(info->slotDescription, sizeof(info->slotDescription), "one of many");
    pad(info->manufacturerID, sizeof(info->manufacturerID), "mtls-agent tests");
    info->flags = CKF_TOKEN_PRESENT;
    return CKR_OK;
}

static CK_RV many_get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    char text[32];

    if (slot >= slot_count)
        return CKR_SLOT_ID_INVALID;
    memset(info, 0, sizeof(*info));
    (void)snprintf(text, sizeof(text), "token %lu", slot);
    pad(info->label, sizeof(info->label), text);
    (void)snprintf(text, sizeof(text), "%lu", SERIAL_BASE + slot);
    pad(info->serialNumber, sizeof(info->serialNumber), text);
    pad(info->manufacturerID, sizeof(info->manufacturerID), "mtls-agent tests");
    pad(info->model, sizeof(info->model), "many");
    info->flags = CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED | CKF_WRITE_PROTECTED;
    if (needs_login)
        info->flags |= CKF_LOGIN_REQUIRED;
    info->ulMaxPinLen = 64;
    return CKR_OK;
}

static CK_RV many_get_mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
    (void)slot;
    if (list && *count < 1)
        return CKR_BUFFER_TOO_SMALL;
    if (list)
        list[0] = CKM_ECDSA;
    *count = 1;
    return CKR_OK;
}

static CK_RV many_open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                               CK_SESSION_HANDLE *ret_session)
{
    CK_RV rv = CKR_SESSION_COUNT;

    (void)flags;
    (void)application;
    (void)notify;
    if (slot >= slot_count)
        return CKR_SLOT_ID_INVALID;
    while (atomic_flag_test_and_set(&sessions_lock))
        continue;
    for (CK_ULONG i = 0; i < SESSIONS_MAX && rv != CKR_OK; i++) {
        if (sessions[i].is_open)
            continue;
        sessions[i] = (struct session){.is_open = true, .slot = slot};
        *ret_session = i + 1;
        rv = CKR_OK;
    }
    atomic_flag_clear(&sessions_lock);
    return rv;
}

static CK_RV many_close_session(CK_SESSION_HANDLE handle)
{
    struct session *session = find_session(handle);

    if (!session)
        return CKR_SESSION_HANDLE_INVALID;
    session->is_open = false;
    return CKR_OK;
}

static CK_RV many_close_all_sessions(CK_SLOT_ID slot)
{
    for (size_t i = 0; i < SESSIONS_MAX; i++)
        if (sessions[i].slot == slot)
            sessions[i].is_open = false;
    return CKR_OK;
}

static CK_RV many_get_session_info(CK_SESSION_HANDLE handle, CK_SESSION_INFO *info)
{
    const struct session *session = find_session(handle);

    if (!session)
        return CKR_SESSION_HANDLE_INVALID;
    *info = (CK_SESSION_INFO){.slotID = session->slot, .flags = CKF_SERIAL_SESSION};
    return CKR_OK;
}

static CK_RV many_login(CK_SESSION_HANDLE handle, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG len)
{
    const struct session *session = find_session(handle);

    (void)user;
    (void)pin;
    (void)len;
    if (!session)
        return CKR_SESSION_HANDLE_INVALID;
    is_logged_in[session->slot] = true;
    return CKR_OK;
}

static CK_RV many_logout(CK_SESSION_HANDLE handle)
{
    const struct session *session = find_session(handle);

    if (!session)
        return CKR_SESSION_HANDLE_INVALID;
    is_logged_in[session->slot] = false;
    return CKR_OK;
}

/* Searches are by class alone, as the worker's are. */
static CK_RV many_find_objects_init(CK_SESSION_HANDLE handle, CK_ATTRIBUTE *match, CK_ULONG count)
{
    struct session *session = find_session(handle);
    CK_OBJECT_CLASS class = 0;

    if (!session)
        return CKR_SESSION_HANDLE_INVALID;
    if (count != 1 || match[0].type != CKA_CLASS || match[0].ulValueLen != sizeof(class))
        return CKR_FUNCTION_FAILED;
    memcpy(&class, match[0].pValue, sizeof(class));
    session->search = class == CKO_PRIVATE_KEY  ? OBJECT_PRIVATE
                      : class == CKO_PUBLIC_KEY ? OBJECT_PUBLIC
                                                : OBJECT_CERT;
    session->search_next = 0;
    session->search_is_all =
        session->search != OBJECT_PRIVATE || !needs_login || is_logged_in[session->slot];
    return CKR_OK;
}

static CK_RV many_find_objects(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE *objects, CK_ULONG max,
                               CK_ULONG *ret_count)
{
    struct session *session = find_session(handle);

    if (!session)
        return CKR_SESSION_HANDLE_INVALID;
    *ret_count = 0;
    while (session->search_is_all && *ret_count < max && session->search_next < keys_per_slot) {
        CK_ULONG number = session->slot * keys_per_slot + ++session->search_next;
        objects[(*ret_count)++] = number * OBJECT_KINDS + session->search;
    }
    return CKR_OK;
}

static CK_RV many_find_objects_final(CK_SESSION_HANDLE handle)
{
    return find_session(handle) ? CKR_OK : CKR_SESSION_HANDLE_INVALID;
}

/* The value of one attribute. Return: its length; negative: the object has none such. */
static long many_get_value(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                           uint8_t value[static MANY_VALUE_MAX])
{
    unsigned long number = object / OBJECT_KINDS;
    enum object_kind kind = (enum object_kind)(object % OBJECT_KINDS);
    CK_ULONG key_type = CKK_EC;
    CK_ULONG cert_type = CKC_X_509;

    switch (type) {
    case CKA_ID:
        return snprintf((char *)value, MANY_VALUE_MAX, "%08lx", number);
    case CKA_LABEL:
        return snprintf((char *)value, MANY_VALUE_MAX, "key %lu", number);
    case CKA_KEY_TYPE:
        memcpy(value, &key_type, sizeof(key_type));
        return sizeof(key_type);
    case CKA_CERTIFICATE_TYPE:
        memcpy(value, &cert_type, sizeof(cert_type));
        return sizeof(cert_type);
    case CKA_SIGN:
        value[0] = CK_TRUE;
        return 1;
    case CKA_EC_PARAMS:
        return many_key_get_params(value);
    case CKA_EC_POINT:
        return kind == OBJECT_PUBLIC ? many_key_get_point(number, value) : -1;
    case CKA_VALUE:
        return kind == OBJECT_CERT ? many_key_get_cert(number, value) : -1;
    default:
        return -1;
    }
}

static CK_RV many_get_attribute_value(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object,
                                      CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    uint8_t value[MANY_VALUE_MAX];
    CK_RV rv = CKR_OK;

    if (!find_session(handle))
        return CKR_SESSION_HANDLE_INVALID;
    for (CK_ULONG i = 0; i < count; i++) {
        long len = many_get_value(object, attributes[i].type, value);
        bool is_there = len >= 0;
        bool fits =
            is_there && (!attributes[i].pValue || (CK_ULONG)len <= attributes[i].ulValueLen);
        if (fits && attributes[i].pValue)
            memcpy(attributes[i].pValue, value, (size_t)len);
        if (!fits)
            rv = is_there ? CKR_BUFFER_TOO_SMALL : CKR_ATTRIBUTE_TYPE_INVALID;
        attributes[i].ulValueLen = fits ? (CK_ULONG)len : CK_UNAVAILABLE_INFORMATION;
    }
    return rv;
}

static CK_RV many_sign_init(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism,
                            CK_OBJECT_HANDLE object)
{
    struct session *session = find_session(handle);

    if (!session)
        return CKR_SESSION_HANDLE_INVALID;
    if (mechanism->mechanism != CKM_ECDSA)
        return CKR_MECHANISM_INVALID;
    if (object % OBJECT_KINDS != OBJECT_PRIVATE)
        return CKR_KEY_HANDLE_INVALID;
    session->sign_key = object / OBJECT_KINDS;
    return CKR_OK;
}

static CK_RV many_sign(CK_SESSION_HANDLE handle, CK_BYTE *data, CK_ULONG len, CK_BYTE *signature,
                       CK_ULONG *signature_len)
{
    struct session *session = find_session(handle);

    if (!session)
        return CKR_SESSION_HANDLE_INVALID;
    if (!signature || *signature_len < MANY_SIGNATURE_LEN) {
        *signature_len = MANY_SIGNATURE_LEN;
        return signature ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    }
    *signature_len = MANY_SIGNATURE_LEN;
    return many_key_sign(session->sign_key, data, len, signature) ? CKR_FUNCTION_FAILED : CKR_OK;
}

static CK_FUNCTION_LIST functions = {
    .version = {2, 40},
    .C_Initialize = many_initialize,
    .C_Finalize = many_finalize,
    .C_GetInfo = many_get_info,
    .C_GetSlotList = many_get_slot_list,
    .C_GetSlotInfo = many_get_slot_info,
    .C_GetTokenInfo = many_get_token_info,
    .C_GetMechanismList = many_get_mechanism_list,
    .C_OpenSession = many_open_session,
    .C_CloseSession = many_close_session,
    .C_CloseAllSessions = many_close_all_sessions,
    .C_GetSessionInfo = many_get_session_info,
    .C_Login = many_login,
    .C_Logout = many_logout,
    .C_FindObjectsInit = many_find_objects_init,
    .C_FindObjects = many_find_objects,
    .C_FindObjectsFinal = many_find_objects_final,
    .C_GetAttributeValue = many_get_attribute_value,
    .C_SignInit = many_sign_init,
    .C_Sign = many_sign,
};

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    functions.C_GetFunctionList = C_GetFunctionList;
    *list = &functions;
    return CKR_OK;
}
