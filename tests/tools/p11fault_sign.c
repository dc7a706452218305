/* SPDX-License-Identifier: Apache-2.0 */
/* Mechanisms that are refused, and signatures that are spoiled; see p11fault_sign.h. */
#include "p11fault_sign.h"

#include <string.h>

#include "p11fault_effects.h"
#include "p11fault_token.h"

#define SIGNATURE_MAX 4096u

static CK_FUNCTION_LIST *real;

void fault_sign_set_module(CK_FUNCTION_LIST *module)
{
    real = module;
}

static const struct fault_mechanism *find_mechanism(const struct fault_settings *settings,
                                                    CK_SLOT_ID slot, CK_MECHANISM_TYPE type)
{
    char label[FAULT_LABEL_LEN + 1];

    for (size_t i = 0; i < settings->mechanism_count; i++) {
        const struct fault_mechanism *rule = &settings->mechanisms[i];
        if (rule->type != type)
            continue;
        fault_token_label(slot, label);
        if (*rule->label == '\0' || strcmp(rule->label, label) == 0)
            return rule;
    }
    return NULL;
}

bool fault_sign_is_hidden(const struct fault_settings *settings, CK_SLOT_ID slot,
                          CK_MECHANISM_TYPE type)
{
    const struct fault_mechanism *rule = find_mechanism(settings, slot, type);

    return rule && rule->hidden;
}

CK_RV fault_sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    struct fault_outcome outcome = fault_begin("C_SignInit");
    struct fault_settings settings;
    CK_SESSION_INFO info = {0};

    if (outcome.answered)
        return outcome.rv;
    CK_RV rv = fault_token_enter(session);
    if (rv != CKR_OK)
        return rv;
    fault_rules_settings(&settings);
    (void)real->C_GetSessionInfo(session, &info);
    const struct fault_mechanism *rule =
        find_mechanism(&settings, info.slotID, mechanism->mechanism);
    rv = rule ? rule->rv : real->C_SignInit(session, mechanism, key);
    fault_token_leave();
    return rv;
}

/* One signature that is about to come out: of C_Sign with its data, or of C_SignFinal. */
struct signing {
    const char *function;
    CK_SESSION_HANDLE session;
    bool is_final;
    CK_BYTE *data;
    CK_ULONG data_len;
};

static CK_RV sign_real(const struct signing *signing, CK_BYTE *signature, CK_ULONG *signature_len)
{
    if (signing->is_final)
        return real->C_SignFinal(signing->session, signature, signature_len);
    return real->C_Sign(signing->session, signing->data, signing->data_len, signature,
                        signature_len);
}

/* A length query gets the truth and uses up no rule. */
static CK_RV sign_with_faults(const struct signing *signing, CK_BYTE *signature,
                              CK_ULONG *signature_len)
{
    struct fault_outcome outcome = {0};
    CK_BYTE dropped[SIGNATURE_MAX];
    CK_ULONG dropped_len = sizeof(dropped);
    CK_ULONG room = *signature_len;

    if (signature)
        outcome = fault_begin(signing->function);
    else
        fault_rules_log(signing->function);
    CK_RV rv = fault_token_enter(signing->session);
    if (rv != CKR_OK)
        return rv;
    if (outcome.damaged && outcome.damage == FAULT_TOO_SMALL) {
        *signature_len = room + 1;
        rv = CKR_BUFFER_TOO_SMALL;
    } else if (outcome.answered) {
        /* A failed call ends the operation; only this answer keeps it (PKCS#11 section 5.2). */
        if (outcome.rv != CKR_BUFFER_TOO_SMALL)
            (void)sign_real(signing, dropped, &dropped_len);
        rv = outcome.rv;
    } else {
        rv = sign_real(signing, signature, signature_len);
        if (rv == CKR_OK && signature)
            fault_token_count_signature(signing->session);
        if (rv == CKR_OK && outcome.damaged)
            fault_damage(outcome.damage, signature, room, signature_len);
    }
    fault_token_leave();
    return rv;
}

CK_RV fault_sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG data_len, CK_BYTE *signature,
                 CK_ULONG *signature_len)
{
    struct signing signing = {.function = "C_Sign", .session = session};

    signing.data = data;
    signing.data_len = data_len;
    return sign_with_faults(&signing, signature, signature_len);
}

CK_RV fault_sign_final(CK_SESSION_HANDLE session, CK_BYTE *signature, CK_ULONG *signature_len)
{
    const struct signing signing = {
        .function = "C_SignFinal", .session = session, .is_final = true};

    return sign_with_faults(&signing, signature, signature_len);
}
