/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS#11 module that is known for mtls-agent's own. OWN_SYMBOL: by the symbol that it exports.
 * OWN_SLOT: by the maker of its only slot, as if it were a proxy that hands on to ours; it can list
 * that slot and nothing else. Without a slot it ends the process if any of its code runs.
 */
#include <p11-kit/pkcs11.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

#ifdef OWN_SYMBOL
EXPORT extern const int mtls_agent_pkcs11_module;
EXPORT const int mtls_agent_pkcs11_module = 1;
#endif

#ifndef OWN_SLOT
EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
    (void)list;
    exit(1);
}
#else
static CK_RV own_ok(void)
{
    return CKR_OK;
}

static CK_RV own_get_info(CK_INFO_PTR info)
{
    memset(info, 0, sizeof(*info));
    memset(info->manufacturerID, ' ', sizeof(info->manufacturerID));
    return CKR_OK;
}

static CK_RV own_get_slots(CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count)
{
    (void)present;
    if (slots)
        slots[0] = 7;
    *count = 1;
    return CKR_OK;
}

static CK_RV own_get_slot(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info)
{
    (void)slot;
    memset(info, 0, sizeof(*info));
    memset(info->manufacturerID, ' ', sizeof(info->manufacturerID));
    memcpy(info->manufacturerID, "mtls-agent", 10);
    return CKR_OK;
}

/* One function for all that the worker only wants to be there. */
#define OWN_CALL(type) ((type)(void (*)(void))own_ok)

EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
    static CK_FUNCTION_LIST calls;

    calls = (CK_FUNCTION_LIST){
        .version = {2, 40},
        .C_Initialize = OWN_CALL(CK_C_Initialize),
        .C_Finalize = OWN_CALL(CK_C_Finalize),
        .C_GetInfo = own_get_info,
        .C_GetFunctionList = C_GetFunctionList,
        .C_GetSlotList = own_get_slots,
        .C_GetSlotInfo = own_get_slot,
        .C_GetTokenInfo = OWN_CALL(CK_C_GetTokenInfo),
        .C_GetMechanismList = OWN_CALL(CK_C_GetMechanismList),
        .C_OpenSession = OWN_CALL(CK_C_OpenSession),
        .C_CloseSession = OWN_CALL(CK_C_CloseSession),
        .C_Login = OWN_CALL(CK_C_Login),
        .C_Logout = OWN_CALL(CK_C_Logout),
        .C_FindObjectsInit = OWN_CALL(CK_C_FindObjectsInit),
        .C_FindObjects = OWN_CALL(CK_C_FindObjects),
        .C_FindObjectsFinal = OWN_CALL(CK_C_FindObjectsFinal),
        .C_GetAttributeValue = OWN_CALL(CK_C_GetAttributeValue),
        .C_SignInit = OWN_CALL(CK_C_SignInit),
        .C_Sign = OWN_CALL(CK_C_Sign),
    };
    *list = &calls;
    return CKR_OK;
}
#endif
