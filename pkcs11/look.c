/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens that came and went; see look.h. Calls the module directly: PKCS11_update_slots() crashes
 * in libp11 0.4.12. */
#include "pkcs11/look.h"

#include "common/escape.h"
#include "common/log.h"
#include "pkcs11/ckr.h"
#include "pkcs11/inventory.h"
#include "pkcs11/session.h"

#define LOOK_SLOTS_MAX 4096u /* a module that names more is not believed */
#define LOOK_TRIES_MAX 4     /* a slot may come between the two calls */

static CK_RV look_list_slots(const struct worker *worker, CK_SLOT_ID **ret_slots,
                             CK_ULONG *ret_count)
{
    CK_RV rv = CKR_BUFFER_TOO_SMALL;

    for (int i = 0; i < LOOK_TRIES_MAX && rv == CKR_BUFFER_TOO_SMALL; i++) {
        CK_ULONG count = 0;
        /* Without a buffer some modules look for new readers, and with one they do not. */
        rv = worker->module.calls->C_GetSlotList(CK_TRUE, NULL, &count);
        if (rv != CKR_OK || count > LOOK_SLOTS_MAX)
            return rv == CKR_OK ? CKR_GENERAL_ERROR : rv;
        _cleanup_free_ CK_SLOT_ID *slots = calloc(count + 1, sizeof(*slots));
        if (!slots)
            return CKR_HOST_MEMORY;
        rv = worker->module.calls->C_GetSlotList(CK_TRUE, slots, &count);
        if (rv == CKR_OK) {
            *ret_slots = TAKE_PTR(slots);
            *ret_count = count;
        }
    }
    return rv;
}

static bool look_is_listed(CK_SLOT_ID slot_id, const CK_SLOT_ID *slots, CK_ULONG count)
{
    for (CK_ULONG i = 0; i < count; i++)
        if (slots[i] == slot_id)
            return true;
    return false;
}

/* The session is alive, and as logged in as we believe. */
static bool look_has_session(const struct token *token)
{
    CK_SESSION_INFO info = {0};

    if (token->session == CK_INVALID_HANDLE ||
        token->calls->C_GetSessionInfo(token->session, &info) != CKR_OK)
        return false;
    return !token->logged_in || info.state == CKS_RO_USER_FUNCTIONS ||
           info.state == CKS_RW_USER_FUNCTIONS;
}

/* What C_GetTokenInfo says alone is not to be trusted: it may be what was there before. */
static bool look_is_same(const struct token *token)
{
    CK_TOKEN_INFO info = {0};
    struct text label;
    struct text serial;

    if (token->calls->C_GetTokenInfo(token->slot_id, &info) != CKR_OK)
        return false;
    text_set_padded(&label, info.label, sizeof(info.label));
    text_set_padded(&serial, info.serialNumber, sizeof(info.serialNumber));
    return wire_span_is_equal(text_span(&label), text_span(&token->label)) &&
           wire_span_is_equal(text_span(&serial), text_span(&token->serial)) &&
           look_has_session(token);
}

static void look_drop(struct worker *worker, struct token *token)
{
    sessions_close_all(worker, token);
    token->session = token_close_session(token, token->session);
    token->logged_in = false;
    token->readable = false;
    keyring_hide(&worker->keys, token->number);
}

static bool look_has_token(const struct worker *worker, CK_SLOT_ID slot_id)
{
    for (size_t i = 0; i < worker->token_count; i++)
        if (worker->tokens[i].readable && worker->tokens[i].slot_id == slot_id)
            return true;
    return false;
}

static void look_add(struct worker *worker, CK_SLOT_ID slot_id)
{
    struct token *token = token_list_add(&worker->module, slot_id, worker->session_max,
                                         worker->tokens, &worker->token_count);
    char label[PROTOCOL_NAME_MAX];

    if (!token)
        return;
    CK_RV rv = inventory_read(worker, token);
    token->readable = rv == CKR_OK;
    if (rv != CKR_OK)
        log_warning("the token %s cannot be read: %s (0x%lx)",
                    escape_text(text_span(&token->label), label, sizeof(label)), ckr_name(rv), rv);
}

static CK_RV look_run(struct worker *worker)
{
    _cleanup_free_ CK_SLOT_ID *slots = NULL;
    CK_ULONG count = 0;

    CK_RV rv = look_list_slots(worker, &slots, &count);
    if (rv != CKR_OK)
        return rv;
    for (size_t i = 0; i < worker->token_count; i++) {
        struct token *token = &worker->tokens[i];
        if (token->readable &&
            !(look_is_listed(token->slot_id, slots, count) && look_is_same(token)))
            look_drop(worker, token);
    }
    for (CK_ULONG i = 0; i < count; i++)
        if (!look_has_token(worker, slots[i]))
            look_add(worker, slots[i]);
    return CKR_OK;
}

int look_handle(struct worker *worker, struct wire_writer *writer)
{
    (void)pthread_rwlock_wrlock(&worker->lock);
    CK_RV rv = look_run(worker);
    int r = rv == CKR_OK ? inventory_send(worker, writer) : -EIO;
    (void)pthread_rwlock_unlock(&worker->lock);
    if (rv != CKR_OK)
        log_error("the module does not list its slots: %s (0x%lx)", ckr_name(rv), rv);
    return r;
}
