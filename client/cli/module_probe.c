/* SPDX-License-Identifier: Apache-2.0 */
/* The module from a program's side; see module_probe.h. */
#include "client/cli/module_probe.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <string.h>

#define PROBE_SYMBOL "mtls_agent_pkcs11_module"
#define PROBE_SLOTS_MAX 256u

/* PKCS#11 pads with blanks; what is longer than the field is cut there. */
static bool probe_is_text(const CK_UTF8CHAR *field, size_t size, const char *text)
{
    size_t len = strnlen(text, size);

    while (size > len)
        if (field[--size] != ' ')
            return false;
    return memcmp(field, text, len) == 0;
}

/* The key's object itself: keys of one token may be on two slots. */
static bool probe_has_key(CK_FUNCTION_LIST *calls, CK_SLOT_ID slot,
                          const struct mtls_agent_key *key)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE wanted[] = {
        {CKA_CLASS, &class, sizeof(class)},
        {CKA_LABEL, (void *)(uintptr_t)key->name, strlen(key->name)},
    };
    CK_SESSION_HANDLE session = 0;
    CK_OBJECT_HANDLE object = 0;
    CK_ULONG count = 0;

    if (calls->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session) != CKR_OK)
        return false;
    if (calls->C_FindObjectsInit(session, wanted, ARRAY_SIZE(wanted)) == CKR_OK) {
        (void)calls->C_FindObjects(session, &object, 1, &count);
        (void)calls->C_FindObjectsFinal(session);
    }
    (void)calls->C_CloseSession(session);
    return count == 1;
}

static bool probe_is_slot(CK_FUNCTION_LIST *calls, CK_SLOT_ID slot,
                          const struct mtls_agent_key *key)
{
    CK_TOKEN_INFO info;

    return calls->C_GetTokenInfo(slot, &info) == CKR_OK &&
           probe_is_text(info.label, sizeof(info.label), key->token_label) &&
           probe_is_text(info.serialNumber, sizeof(info.serialNumber), key->token_serial) &&
           probe_has_key(calls, slot, key);
}

static int probe_slots(CK_FUNCTION_LIST *calls, const struct mtls_agent_key *key,
                       unsigned long *ret_index)
{
    CK_SLOT_ID slots[PROBE_SLOTS_MAX];
    CK_ULONG count = ARRAY_SIZE(slots);

    if (calls->C_GetSlotList(CK_FALSE, slots, &count) != CKR_OK)
        return MODULE_PROBE_E_NO_TOKEN;
    for (CK_ULONG i = 0; i < count; i++) {
        if (!probe_is_slot(calls, slots[i], key))
            continue;
        *ret_index = i;
        return 0;
    }
    return MODULE_PROBE_E_NO_TOKEN;
}

int module_probe_slot(const char *path, const struct mtls_agent_key *key, unsigned long *ret_index)
{
    CK_RV (*get_list)(CK_FUNCTION_LIST **) = NULL;
    CK_FUNCTION_LIST *calls = NULL;
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    int r = MODULE_PROBE_E_UNUSABLE;

    if (!handle)
        return r;
    if (dlsym(handle, PROBE_SYMBOL))
        *(void **)&get_list = dlsym(handle, "C_GetFunctionList");
    if (get_list && get_list(&calls) == CKR_OK && calls->C_Initialize(NULL) == CKR_OK) {
        r = probe_slots(calls, key, ret_index);
        (void)calls->C_Finalize(NULL);
    }
    (void)dlclose(handle);
    return r;
}
