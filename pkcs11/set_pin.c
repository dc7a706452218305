/* SPDX-License-Identifier: Apache-2.0 */
/*
 * C_SetPIN and C_InitPIN; see set_pin.h. Spec: PKCS #11 v2.40 sections 5.5 and 5.6: both want a
 * read/write session; C_SetPIN is for the user's PIN when nobody or the user is logged in,
 * C_InitPIN wants the security officer (SO), for whom no read-only session may be open.
 */
#include "pkcs11/set_pin.h"

#include <stdarg.h>
#include <string.h>

#include "common/secret.h"
#include "pkcs11/ckr.h"
#include "pkcs11/login.h"
#include "pkcs11/session.h"

/* One change on its way. */
struct set_pin {
    struct worker *worker;
    struct token *token;
    const struct secret *old;
    const struct secret *fresh;
    CK_SESSION_HANDLE session;
    enum worker_result result;
    CK_RV rv;
    char text[PROTOCOL_TEXT_MAX];
};

/*
 * What a module cannot do, people have tools for; found by words in manufacturer or model. Where
 * the security officer has no PUK (ykcs11: the management key; OpenSC with PIV cards: nothing), the
 * PUK would be tried against another secret.
 */
static const struct set_pin_tool {
    const char *word;
    const char *tool;
    bool takes_no_puk;
} set_pin_tools[] = {
    {"Yubico", "ykman piv access change-pin, or ykman piv access unblock-pin", true},
    {"YubiKey", "ykman piv access change-pin, or ykman piv access unblock-pin", true},
    {"piv_II", "the tool of the card's maker, or pkcs15-tool --change-pin or --unblock-pin", true},
    {"OpenPGP", "gpg --change-pin", false},
    {"Nitrokey", "nitropy, or gpg --change-pin", false},
    {"Infineon", "tpm2_ptool changepin", false},
    {"IBM", "tpm2_ptool changepin", false},
    {"SoftHSM", "pkcs11-tool --change-pin", false},
};
static const struct set_pin_tool set_pin_any_tool = {"", "the tool of the token's maker", false};

static const struct set_pin_tool *set_pin_find_tool(const struct token *token)
{
    for (size_t i = 0; i < ARRAY_SIZE(set_pin_tools); i++) {
        const char *word = set_pin_tools[i].word;
        if (memmem(token->info.manufacturerID, sizeof(token->info.manufacturerID), word,
                   strlen(word)) ||
            memmem(token->info.model, sizeof(token->info.model), word, strlen(word)))
            return &set_pin_tools[i];
    }
    return &set_pin_any_tool;
}

_printf_(4, 5) static void set_pin_end(struct set_pin *set, enum worker_result result, CK_RV rv,
                                       const char *format, ...)
{
    va_list args;

    set->result = result;
    set->rv = rv;
    va_start(args, format);
    (void)vsnprintf(set->text, sizeof(set->text), format, args);
    va_end(args);
}

/* The module's no. @what: which of the two it was given with: "PIN", "PUK". */
static void set_pin_refuse(struct set_pin *set, const char *function, const char *what, CK_RV rv)
{
    enum worker_result result = ckr_result(rv);
    char text[CKR_TEXT_MAX];

    (void)!token_refresh(set->token); /* then the flags stay as they were */
    if (rv == CKR_PIN_LEN_RANGE || rv == CKR_PIN_INVALID)
        set_pin_end(set, WORKER_E_PIN, rv, "the token does not take a PIN of this form");
    else if (rv == CKR_PIN_LOCKED)
        set_pin_end(set, WORKER_E_PIN_BLOCKED, rv, "the %s is blocked: no tries are left", what);
    else if (result == WORKER_E_PIN)
        set_pin_end(set, result, rv, "the %s was refused%s", what,
                    strcmp(what, "PIN") == 0 ? login_tries_text(token_flags(set->token)) : "");
    else if (result == WORKER_E_UNSUPPORTED || rv == CKR_FUNCTION_REJECTED ||
             rv == CKR_TOKEN_WRITE_PROTECTED)
        set_pin_end(set, WORKER_E_UNSUPPORTED, rv, "%s; use %s", ckr_text(function, rv, text),
                    set_pin_find_tool(set->token)->tool);
    else
        set_pin_end(set, result, rv, "%s", ckr_text(function, rv, text));
}

/* What the token says it takes; 0 and "no information" say nothing. */
static bool set_pin_fits(struct set_pin *set)
{
    CK_ULONG min = set->token->info.ulMinPinLen;
    CK_ULONG max = set->token->info.ulMaxPinLen;
    bool has_max = max > 0 && max != CK_UNAVAILABLE_INFORMATION && max >= min;
    bool has_min = min != CK_UNAVAILABLE_INFORMATION && min <= SECRET_MAX;

    if ((!has_min || set->fresh->len >= min) && (!has_max || set->fresh->len <= max))
        return true;
    set_pin_end(set, WORKER_E_PIN_SOURCE, CKR_OK,
                "the new PIN has %zu bytes, and the token takes from %lu to %lu; nothing was tried",
                set->fresh->len, has_min ? min : 1, has_max ? max : (CK_ULONG)SECRET_MAX);
    return false;
}

/* From here on a try may be spent; and the deadline of the module runs. */
static void set_pin_mark_call(struct set_pin *set)
{
    atomic_store_explicit(&set->worker->ledger->login, WORKER_LOGIN_CALLED, memory_order_release);
}

/* The parameters are not const in the interface; the module only reads them. */
static CK_UTF8CHAR *set_pin_data(const struct secret *pin)
{
    return (CK_UTF8CHAR *)(uintptr_t)pin->data;
}

static CK_RV set_pin_login(struct set_pin *set, CK_USER_TYPE user)
{
    return set->token->calls->C_Login(set->session, user, set_pin_data(set->old), set->old->len);
}

static CK_RV set_pin_call(struct set_pin *set)
{
    return set->token->calls->C_SetPIN(set->session, set_pin_data(set->old), set->old->len,
                                       set_pin_data(set->fresh), set->fresh->len);
}

/* Some modules want the user logged in first; one that says so has tried nothing. */
static void set_pin_change(struct set_pin *set)
{
    const char *function = "C_SetPIN";

    if (set->token->info.flags & CKF_USER_PIN_LOCKED) {
        set_pin_end(set, WORKER_E_PIN_BLOCKED, CKR_OK,
                    "the PIN is blocked; unblock it with its PUK: mtls pin unblock");
        return;
    }
    set_pin_mark_call(set);
    CK_RV rv = set_pin_call(set);
    if (rv == CKR_USER_NOT_LOGGED_IN && !set->token->logged_in) {
        function = "C_Login";
        rv = set_pin_login(set, CKU_USER);
        if (rv == CKR_OK) {
            function = "C_SetPIN";
            rv = set_pin_call(set);
            (void)set->token->calls->C_Logout(set->session);
        }
    }
    if (rv != CKR_OK)
        set_pin_refuse(set, function, "PIN", rv);
}

/* The user and its sessions go first: beside them the security officer is not let in. */
static void set_pin_unblock(struct set_pin *set)
{
    CK_FUNCTION_LIST *calls = set->token->calls;

    if (set->token->logged_in)
        (void)calls->C_Logout(set->session);
    set->token->logged_in = false;
    if (set->token->info.flags & CKF_SO_PIN_LOCKED) {
        set_pin_end(set, WORKER_E_PIN_BLOCKED, CKR_OK, "the PUK is blocked: no tries are left");
        return;
    }
    set_pin_mark_call(set);
    CK_RV rv = set_pin_login(set, CKU_SO);
    if (rv != CKR_OK) {
        set_pin_refuse(set, "C_Login", "PUK", rv);
        return;
    }
    rv = calls->C_InitPIN(set->session, set_pin_data(set->fresh), set->fresh->len);
    (void)calls->C_Logout(set->session);
    if (rv != CKR_OK)
        set_pin_refuse(set, "C_InitPIN", "new PIN", rv);
}

/* Where the token has no room for one more session, the one for reading makes it: the login goes
 * with that. */
static CK_RV set_pin_open(struct set_pin *set)
{
    struct token *token = set->token;
    const CK_FLAGS flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
    bool is_full = token->session_max == 1;
    CK_RV rv = is_full
                   ? CKR_SESSION_COUNT
                   : token->calls->C_OpenSession(token->slot_id, flags, NULL, NULL, &set->session);

    if (rv != CKR_SESSION_COUNT || (!is_full && token->session == CK_INVALID_HANDLE))
        return rv;
    token->session = token_close_session(token, token->session);
    token->logged_in = false;
    return token->calls->C_OpenSession(token->slot_id, flags, NULL, NULL, &set->session);
}

static void set_pin_run(struct set_pin *set, enum worker_pin_change change)
{
    struct token *token = set->token;
    CK_RV rv = token_refresh(token);

    if (rv != CKR_OK) {
        set_pin_refuse(set, "C_GetTokenInfo", "PIN", rv);
        return;
    }
    if (token->info.flags & CKF_PROTECTED_AUTHENTICATION_PATH) {
        set_pin_end(set, WORKER_E_UNSUPPORTED, CKR_OK,
                    "the reader takes PINs from its own keypad alone; use %s",
                    set_pin_find_tool(token)->tool);
        return;
    }
    if (change == WORKER_PIN_UNBLOCK && set_pin_find_tool(token)->takes_no_puk) {
        set_pin_end(set, WORKER_E_UNSUPPORTED, CKR_OK,
                    "its module does not unblock PINs; nothing was tried. Use %s",
                    set_pin_find_tool(token)->tool);
        return;
    }
    if (!set_pin_fits(set))
        return;
    sessions_close_all(set->worker, token);
    if (change == WORKER_PIN_UNBLOCK)
        token->session = token_close_session(token, token->session);
    rv = set_pin_open(set);
    if (rv != CKR_OK) {
        token->logged_in &= token->session != CK_INVALID_HANDLE; /* it went with the last session */
        set_pin_refuse(set, "C_OpenSession", "PIN", rv);
        return;
    }
    if (change == WORKER_PIN_UNBLOCK)
        set_pin_unblock(set);
    else
        set_pin_change(set);
    (void)token->calls->C_CloseSession(set->session);
}

static bool set_pin_read(struct set_pin *set, int pin_fd, unsigned int pin_ms, struct secret *old,
                         struct secret *fresh)
{
    if (!set->token || pin_fd < 0) {
        set_pin_end(set, WORKER_E_BAD_REQUEST, CKR_OK,
                    set->token ? "no PINs came with the request" : "no such token");
        return false;
    }
    int r = old && fresh ? secret_read_pair(old, fresh, pin_fd, pin_ms) : -ENOMEM;
    if (r)
        set_pin_end(set, WORKER_E_PIN_SOURCE, CKR_OK, "%s; nothing was tried",
                    secret_error_text(r));
    return r == 0;
}

int set_pin_handle(struct worker *worker, const struct worker_set_pin *msg, int pin_fd,
                   unsigned int pin_ms, struct wire_writer *writer)
{
    _cleanup_secret_ struct secret *old = secret_new();
    _cleanup_secret_ struct secret *fresh = secret_new();
    struct set_pin set = {.worker = worker,
                          .token = worker_get_token(worker, msg->token),
                          .old = old,
                          .fresh = fresh,
                          .session = CK_INVALID_HANDLE,
                          .result = WORKER_OK};
    bool have_pins = set_pin_read(&set, pin_fd, pin_ms, old, fresh);

    (void)pthread_rwlock_wrlock(&worker->lock);
    if (have_pins)
        set_pin_run(&set, msg->change);
    const struct worker_reply reply = {
        .seq = msg->seq,
        .result = set.result,
        .ck_rv = (uint32_t)set.rv,
        .token_flags = set.token ? token_flags(set.token) : 0,
        .text = wire_span_from_text(set.text),
    };
    wire_writer_reset(writer);
    int r = worker_reply_encode(writer, WORKER_LOGIN_REPLY, &reply)
                ? -ENOMEM
                : link_send(worker->link, writer);
    (void)pthread_rwlock_unlock(&worker->lock);
    return r;
}
