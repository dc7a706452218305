/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens and their sessions; see token.h. */
#include "pkcs11/token.h"

#include "common/log.h"
#include "pkcs11/ckr.h"
#include "pkcs11/mechanism.h"

#define TOKEN_MECHANISMS_MAX 4096u /* a module that names more is not believed */

static const struct {
    CK_FLAGS ck;
    uint32_t flag;
} token_flag_table[] = {
    {CKF_LOGIN_REQUIRED, WORKER_TOKEN_LOGIN_REQUIRED},
    {CKF_USER_PIN_COUNT_LOW, WORKER_TOKEN_PIN_COUNT_LOW},
    {CKF_USER_PIN_FINAL_TRY, WORKER_TOKEN_PIN_FINAL_TRY},
    {CKF_USER_PIN_LOCKED, WORKER_TOKEN_PIN_LOCKED},
    {CKF_PROTECTED_AUTHENTICATION_PATH, WORKER_TOKEN_PIN_PAD},
};

static void token_set_texts(struct token *token)
{
    const CK_TOKEN_INFO *info = &token->info;

    text_set_padded(&token->label, info->label, sizeof(info->label));
    text_set_padded(&token->serial, info->serialNumber, sizeof(info->serialNumber));
    text_set_padded(&token->manufacturer, info->manufacturerID, sizeof(info->manufacturerID));
    text_set_padded(&token->model, info->model, sizeof(info->model));
}

/* What the module tells about a slot's token now. */
static CK_RV token_init(struct token *token)
{
    CK_SLOT_INFO slot_info = {0};
    CK_RV rv = token->calls->C_GetSlotInfo(token->slot_id, &slot_info);

    if (rv == CKR_OK)
        rv = token_refresh(token);
    token->hardware = slot_info.flags & CKF_HW_SLOT;
    text_set_padded(&token->slot, slot_info.slotDescription, sizeof(slot_info.slotDescription));
    if (rv == CKR_OK)
        token_set_texts(token);
    return rv;
}

/* A token in a slot, as it is found; it is of use when it could be asked about itself. */
static CK_RV token_make(const struct module *module, CK_SLOT_ID slot_id, size_t number,
                        uint32_t session_max, struct token *ret_token)
{
    *ret_token = (struct token){.calls = module->calls,
                                .slot_id = slot_id,
                                .number = (uint32_t)number,
                                .session_max = session_max,
                                .session_lock = PTHREAD_MUTEX_INITIALIZER,
                                .session_given = PTHREAD_COND_INITIALIZER};
    CK_RV rv = token_init(ret_token);
    if (rv != CKR_OK)
        log_warning("the token in slot %lu is left out: %s (0x%lx)", slot_id, ckr_name(rv), rv);
    return rv;
}

int token_list_new(const struct module *module, uint32_t session_max, struct token **ret_tokens,
                   size_t *ret_count)
{
    /* Room for those that come later; memory that is not touched costs nothing. */
    struct token *tokens = calloc(WORKER_TOKENS_MAX + 1, sizeof(*tokens));
    size_t count = 0;

    if (!tokens)
        return -ENOMEM;
    for (unsigned int i = 0; i < module->slot_count && count < WORKER_TOKENS_MAX; i++) {
        PKCS11_SLOT *slot = &module->slots[i];

        if (slot->token && slot->token->initialized &&
            token_make(module, PKCS11_get_slotid_from_slot(slot), count, session_max,
                       &tokens[count]) == CKR_OK)
            count++;
    }
    *ret_tokens = tokens;
    *ret_count = count;
    return 0;
}

/* Counts a session before it is opened, so that all threads together keep to the limit. */
static bool token_reserve_session(struct token *token)
{
    uint32_t count = atomic_load(&token->session_count);

    do {
        if (token->session_max > 0 && count >= token->session_max)
            return false;
    } while (!atomic_compare_exchange_weak(&token->session_count, &count, count + 1));
    return true;
}

CK_RV token_open_session(struct token *token, CK_SESSION_HANDLE *ret_session)
{
    *ret_session = CK_INVALID_HANDLE;
    if (!token_reserve_session(token))
        return CKR_SESSION_COUNT;
    CK_RV rv =
        token->calls->C_OpenSession(token->slot_id, CKF_SERIAL_SESSION, NULL, NULL, ret_session);
    if (rv == CKR_OK) {
        atomic_fetch_add(&token->session_opened, 1);
    } else {
        *ret_session = CK_INVALID_HANDLE;
        atomic_fetch_sub(&token->session_count, 1);
    }
    return rv;
}

CK_SESSION_HANDLE token_close_session(struct token *token, CK_SESSION_HANDLE session)
{
    if (session != CK_INVALID_HANDLE) {
        (void)token->calls->C_CloseSession(session);
        atomic_fetch_sub(&token->session_count, 1);
    }
    return CK_INVALID_HANDLE;
}

/* HSMs drop sessions that were idle for long. */
static bool token_has_session(const struct token *token)
{
    CK_SESSION_INFO info = {0};

    return token->session != CK_INVALID_HANDLE &&
           ckr_classify(token->calls->C_GetSessionInfo(token->session, &info)) !=
               CKR_CLASS_STALE_HANDLE;
}

static CK_RV token_read_mechanisms(struct token *token)
{
    CK_ULONG count = TOKEN_MECHANISMS_MAX;
    _cleanup_free_ CK_MECHANISM_TYPE *types = calloc(count, sizeof(*types));

    if (!types)
        return CKR_HOST_MEMORY;
    /* Not asked for their number first: it may be a lie, or change. */
    CK_RV rv = token->calls->C_GetMechanismList(token->slot_id, types, &count);
    if (rv != CKR_OK)
        return rv;
    for (CK_ULONG i = 0; i < count && i < TOKEN_MECHANISMS_MAX; i++)
        token->mechanisms |= mechanism_flags_of_type(types[i]);
    return CKR_OK;
}

CK_RV token_prepare(struct token *token)
{
    CK_RV rv = CKR_OK;

    if (!token_has_session(token)) {
        CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
        token->session = token_close_session(token, token->session);
        rv = token_open_session(token, &session);
        token->session = session;
    }
    if (rv == CKR_OK && token->mechanisms == 0)
        rv = token_read_mechanisms(token);
    return rv;
}

CK_RV token_refresh(struct token *token)
{
    CK_TOKEN_INFO info = {0};
    CK_RV rv = token->calls->C_GetTokenInfo(token->slot_id, &info);

    if (rv == CKR_OK)
        token->info = info;
    return rv;
}

uint32_t token_flags(const struct token *token)
{
    uint32_t flags = 0;

    for (size_t i = 0; i < ARRAY_SIZE(token_flag_table); i++)
        if (token->info.flags & token_flag_table[i].ck)
            flags |= token_flag_table[i].flag;
    if (token->hardware)
        flags |= WORKER_TOKEN_HARDWARE;
    if (token->logged_in)
        flags |= WORKER_TOKEN_LOGGED_IN;
    return flags;
}

bool token_needs_login(const struct token *token)
{
    return (token->info.flags & CKF_LOGIN_REQUIRED) && !token->logged_in;
}

struct token *token_list_add(const struct module *module, CK_SLOT_ID slot_id, uint32_t session_max,
                             struct token *tokens, size_t *count)
{
    struct token *token = &tokens[*count];

    if (*count == WORKER_TOKENS_MAX)
        return NULL;
    CK_RV rv = token_make(module, slot_id, *count, session_max, token);
    if (rv != CKR_OK || !(token->info.flags & CKF_TOKEN_INITIALIZED))
        return NULL;
    (*count)++;
    return token;
}
