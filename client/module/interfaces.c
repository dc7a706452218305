/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the module exports: its function lists. The list of v3.0 is that of v2.40, with another
 * version at its beginning, and further functions behind it (PKCS #11 v3.0 sections 5.4 and 6.3).
 */
#include <stdbool.h>
#include <string.h>

#include "client/module/calls.h"
#include "common/cleanup.h"

#define EXPORT __attribute__((visibility("default")))

/* The types of v3.0 under names of our own: the header has them on some systems and not on others.
 */
struct interface {
    const char *name;
    void *functions;
    CK_FLAGS flags;
};

/* Newer headers declare both with types of theirs, so the names are given to the linker alone. */
EXPORT CK_RV interface_get_list(struct interface *list,
                                CK_ULONG *count) __asm__("C_GetInterfaceList");
EXPORT CK_RV interface_get(unsigned char *name, struct _CK_VERSION *version,
                           struct interface **interface, CK_FLAGS flags) __asm__("C_GetInterface");

/* The token worker of the agent looks for this name: it must not load the module (agent, module,
 * agent, ...). Also p11-kit's `disable-in` keeps them apart. */
EXPORT extern const char mtls_agent_pkcs11_module[];
const char mtls_agent_pkcs11_module[] = "mtls-agent";

struct function_list_3_0 {
    CK_FUNCTION_LIST base;
    __typeof__(interface_get_list) *C_GetInterfaceList;
    __typeof__(interface_get) *C_GetInterface;
    __typeof__(C_LoginUser) *C_LoginUser;
    __typeof__(C_SessionCancel) *C_SessionCancel;
    __typeof__(calls_message_init) *C_MessageEncryptInit;
    __typeof__(calls_crypt_message) *C_EncryptMessage;
    __typeof__(calls_crypt_message_begin) *C_EncryptMessageBegin;
    __typeof__(calls_crypt_message_next) *C_EncryptMessageNext;
    __typeof__(calls_message_final) *C_MessageEncryptFinal;
    __typeof__(calls_message_init) *C_MessageDecryptInit;
    __typeof__(calls_crypt_message) *C_DecryptMessage;
    __typeof__(calls_crypt_message_begin) *C_DecryptMessageBegin;
    __typeof__(calls_crypt_message_next) *C_DecryptMessageNext;
    __typeof__(calls_message_final) *C_MessageDecryptFinal;
    __typeof__(calls_message_init) *C_MessageSignInit;
    __typeof__(calls_sign_message) *C_SignMessage;
    __typeof__(calls_message_begin) *C_SignMessageBegin;
    __typeof__(calls_sign_message) *C_SignMessageNext;
    __typeof__(calls_message_final) *C_MessageSignFinal;
    __typeof__(calls_message_init) *C_MessageVerifyInit;
    __typeof__(calls_verify_message) *C_VerifyMessage;
    __typeof__(calls_message_begin) *C_VerifyMessageBegin;
    __typeof__(calls_verify_message) *C_VerifyMessageNext;
    __typeof__(calls_message_final) *C_MessageVerifyFinal;
};

_Static_assert(sizeof(struct function_list_3_0) == sizeof(CK_FUNCTION_LIST) + 24 * sizeof(void *),
               "v3.0 has 24 functions more than v2.40");

EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list);

/* In the order of the standard, by name, so that none can take another's place. */
#define FUNCTIONS_2_40(major, minor)                                                              \
    {                                                                                             \
        .version = {(major), (minor)}, .C_Initialize = C_Initialize, .C_Finalize = C_Finalize,    \
        .C_GetInfo = C_GetInfo, .C_GetFunctionList = C_GetFunctionList,                           \
        .C_GetSlotList = C_GetSlotList, .C_GetSlotInfo = C_GetSlotInfo,                           \
        .C_GetTokenInfo = C_GetTokenInfo, .C_GetMechanismList = C_GetMechanismList,               \
        .C_GetMechanismInfo = C_GetMechanismInfo, .C_InitToken = C_InitToken,                     \
        .C_InitPIN = C_InitPIN, .C_SetPIN = C_SetPIN, .C_OpenSession = C_OpenSession,             \
        .C_CloseSession = C_CloseSession, .C_CloseAllSessions = C_CloseAllSessions,               \
        .C_GetSessionInfo = C_GetSessionInfo, .C_GetOperationState = C_GetOperationState,         \
        .C_SetOperationState = C_SetOperationState, .C_Login = C_Login, .C_Logout = C_Logout,     \
        .C_CreateObject = C_CreateObject, .C_CopyObject = C_CopyObject,                           \
        .C_DestroyObject = C_DestroyObject, .C_GetObjectSize = C_GetObjectSize,                   \
        .C_GetAttributeValue = C_GetAttributeValue, .C_SetAttributeValue = C_SetAttributeValue,   \
        .C_FindObjectsInit = C_FindObjectsInit, .C_FindObjects = C_FindObjects,                   \
        .C_FindObjectsFinal = C_FindObjectsFinal, .C_EncryptInit = C_EncryptInit,                 \
        .C_Encrypt = C_Encrypt, .C_EncryptUpdate = C_EncryptUpdate,                               \
        .C_EncryptFinal = C_EncryptFinal, .C_DecryptInit = C_DecryptInit, .C_Decrypt = C_Decrypt, \
        .C_DecryptUpdate = C_DecryptUpdate, .C_DecryptFinal = C_DecryptFinal,                     \
        .C_DigestInit = C_DigestInit, .C_Digest = C_Digest, .C_DigestUpdate = C_DigestUpdate,     \
        .C_DigestKey = C_DigestKey, .C_DigestFinal = C_DigestFinal, .C_SignInit = C_SignInit,     \
        .C_Sign = C_Sign, .C_SignUpdate = C_SignUpdate, .C_SignFinal = C_SignFinal,               \
        .C_SignRecoverInit = C_SignRecoverInit, .C_SignRecover = C_SignRecover,                   \
        .C_VerifyInit = C_VerifyInit, .C_Verify = C_Verify, .C_VerifyUpdate = C_VerifyUpdate,     \
        .C_VerifyFinal = C_VerifyFinal, .C_VerifyRecoverInit = C_VerifyRecoverInit,               \
        .C_VerifyRecover = C_VerifyRecover, .C_DigestEncryptUpdate = C_DigestEncryptUpdate,       \
        .C_DecryptDigestUpdate = C_DecryptDigestUpdate,                                           \
        .C_SignEncryptUpdate = C_SignEncryptUpdate,                                               \
        .C_DecryptVerifyUpdate = C_DecryptVerifyUpdate, .C_GenerateKey = C_GenerateKey,           \
        .C_GenerateKeyPair = C_GenerateKeyPair, .C_WrapKey = C_WrapKey,                           \
        .C_UnwrapKey = C_UnwrapKey, .C_DeriveKey = C_DeriveKey, .C_SeedRandom = C_SeedRandom,     \
        .C_GenerateRandom = C_GenerateRandom, .C_GetFunctionStatus = C_GetFunctionStatus,         \
        .C_CancelFunction = C_CancelFunction, .C_WaitForSlotEvent = C_WaitForSlotEvent,           \
    }

/* The interface hands out pointers that are not to constants; nobody writes to them. */
static CK_FUNCTION_LIST functions_2_40 = FUNCTIONS_2_40(2, 40);

static struct function_list_3_0 functions_3_0 = {
    .base = FUNCTIONS_2_40(3, 0),
    .C_GetInterfaceList = interface_get_list,
    .C_GetInterface = interface_get,
    .C_LoginUser = C_LoginUser,
    .C_SessionCancel = C_SessionCancel,
    .C_MessageEncryptInit = calls_message_init,
    .C_EncryptMessage = calls_crypt_message,
    .C_EncryptMessageBegin = calls_crypt_message_begin,
    .C_EncryptMessageNext = calls_crypt_message_next,
    .C_MessageEncryptFinal = calls_message_final,
    .C_MessageDecryptInit = calls_message_init,
    .C_DecryptMessage = calls_crypt_message,
    .C_DecryptMessageBegin = calls_crypt_message_begin,
    .C_DecryptMessageNext = calls_crypt_message_next,
    .C_MessageDecryptFinal = calls_message_final,
    .C_MessageSignInit = calls_message_init,
    .C_SignMessage = calls_sign_message,
    .C_SignMessageBegin = calls_message_begin,
    .C_SignMessageNext = calls_sign_message,
    .C_MessageSignFinal = calls_message_final,
    .C_MessageVerifyInit = calls_message_init,
    .C_VerifyMessage = calls_verify_message,
    .C_VerifyMessageBegin = calls_message_begin,
    .C_VerifyMessageNext = calls_verify_message,
    .C_MessageVerifyFinal = calls_message_final,
};

#define INTERFACE_NAME "PKCS 11"

/* The newest first: it is what a program without wishes gets. */
static struct interface interfaces[] = {
    {INTERFACE_NAME, &functions_3_0, 0},
    {INTERFACE_NAME, &functions_2_40, 0},
};

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    if (!list)
        return CKR_ARGUMENTS_BAD;
    *list = &functions_2_40;
    return CKR_OK;
}

CK_RV interface_get_list(struct interface *list, CK_ULONG *count)
{
    if (!count)
        return CKR_ARGUMENTS_BAD;
    bool has_room = list && *count >= ARRAY_SIZE(interfaces);
    *count = ARRAY_SIZE(interfaces);
    if (has_room)
        memcpy(list, interfaces, sizeof(interfaces));
    return list && !has_room ? CKR_BUFFER_TOO_SMALL : CKR_OK;
}

/* Every function list begins with its version. */
static bool interface_is(const struct interface *interface, const unsigned char *name,
                         const struct _CK_VERSION *version, CK_FLAGS flags)
{
    const struct _CK_VERSION *own = interface->functions;

    if (name && strcmp((const char *)name, interface->name) != 0)
        return false;
    if (version && (version->major != own->major || version->minor != own->minor))
        return false;
    return (flags & ~interface->flags) == 0;
}

CK_RV interface_get(unsigned char *name, struct _CK_VERSION *version, struct interface **interface,
                    CK_FLAGS flags)
{
    if (!interface)
        return CKR_ARGUMENTS_BAD;
    for (size_t i = 0; i < ARRAY_SIZE(interfaces); i++)
        if (interface_is(&interfaces[i], name, version, flags)) {
            *interface = &interfaces[i];
            return CKR_OK;
        }
    return CKR_FUNCTION_FAILED;
}
