/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Login and logout; see login.h. Both go to the module's own functions: libp11 would keep a copy of
 * the PIN, and wait for ever where the token has no session left.
 */
#include "pkcs11/login.h"

#include "common/secret.h"
#include "pkcs11/ckr.h"
#include "pkcs11/inventory.h"
#include "pkcs11/session.h"

/* How a login or logout went; the sentence is for a person. */
struct login_outcome {
    enum worker_result result;
    CK_RV rv;
    char text[PROTOCOL_TEXT_MAX];
};

bool login_is_risky(uint32_t flags)
{
    return flags &
           (WORKER_TOKEN_PIN_COUNT_LOW | WORKER_TOKEN_PIN_FINAL_TRY | WORKER_TOKEN_PIN_LOCKED);
}

const char *login_tries_text(uint32_t flags)
{
    if (flags & WORKER_TOKEN_PIN_LOCKED)
        return "; the PIN is blocked";
    if (flags & WORKER_TOKEN_PIN_FINAL_TRY)
        return "; one last try is left";
    if (flags & WORKER_TOKEN_PIN_COUNT_LOW)
        return "; few tries are left";
    return "";
}

static void login_set_outcome(struct login_outcome *outcome, enum worker_result result, CK_RV rv,
                              const char *text, const char *detail)
{
    outcome->result = result;
    outcome->rv = rv;
    (void)snprintf(outcome->text, sizeof(outcome->text), "%s%s", text, detail);
}

static void login_set_failure(struct login_outcome *outcome, const char *function, CK_RV rv)
{
    char text[CKR_TEXT_MAX];

    login_set_outcome(outcome, ckr_result(rv), rv, ckr_text(function, rv, text), "");
}

/* The module's no to a PIN, with what the token says about it now. */
static void login_set_refusal(struct login_outcome *outcome, struct token *token, CK_RV rv)
{
    (void)!token_refresh(token); /* then the flags stay as they were */
    uint32_t flags = token_flags(token);
    enum worker_result result = ckr_result(rv);

    if (result == WORKER_E_PIN && (flags & WORKER_TOKEN_PIN_LOCKED))
        result = WORKER_E_PIN_BLOCKED;
    if (result == WORKER_E_PIN_BLOCKED)
        login_set_outcome(outcome, result, rv, "the PIN is blocked: no tries are left", "");
    else if (rv == CKR_PIN_EXPIRED)
        login_set_outcome(
            outcome, result, rv,
            "the PIN has expired; change it first, with the tool of the token's maker", "");
    else if (rv == CKR_USER_PIN_NOT_INITIALIZED)
        login_set_outcome(outcome, result, rv,
                          "the token has no PIN yet; set one first, with the tool of its maker",
                          "");
    else if (result == WORKER_E_PIN)
        login_set_outcome(outcome, result, rv, "the PIN was refused", login_tries_text(flags));
    else
        login_set_failure(outcome, "C_Login", rv);
}

/* The one place where a user PIN meets a token. @pin: NULL: it is typed at the reader. */
static void login_once(struct worker *worker, struct token *token, const struct secret *pin,
                       struct login_outcome *outcome)
{
    atomic_store_explicit(&worker->ledger->login, WORKER_LOGIN_CALLED, memory_order_release);
    /* The parameter is not const in the interface; the module only reads it. */
    CK_RV rv =
        token->calls->C_Login(token->session, CKU_USER,
                              pin ? (CK_UTF8CHAR *)(uintptr_t)pin->data : NULL, pin ? pin->len : 0);

    if (rv != CKR_OK && rv != CKR_USER_ALREADY_LOGGED_IN) {
        login_set_refusal(outcome, token, rv);
        return;
    }
    atomic_store_explicit(&worker->ledger->login, WORKER_LOGIN_TAKEN, memory_order_release);
    token->logged_in = true;
    rv = inventory_read(worker, token);
    if (rv != CKR_OK)
        login_set_outcome(outcome, WORKER_E_STATE_LOST, rv,
                          "the token cannot be read after the login: ", ckr_name(rv));
}

static void login_try(struct worker *worker, const struct worker_login *msg, struct token *token,
                      const struct secret *pin, struct login_outcome *outcome)
{
    CK_RV rv = token_refresh(token);

    if (rv != CKR_OK) {
        login_set_failure(outcome, "C_GetTokenInfo", rv);
        return;
    }
    if (token->logged_in)
        return;
    rv = session_prepare(worker, token);
    if (rv != CKR_OK) {
        login_set_failure(outcome, "C_OpenSession", rv);
        return;
    }
    uint32_t flags = token_flags(token);
    if (msg->tries == WORKER_TRIES_SAFE && login_is_risky(flags)) {
        login_set_outcome(outcome, WORKER_E_REFUSED, CKR_OK,
                          "the PIN was not tried, a person has to unlock the token",
                          login_tries_text(flags));
        return;
    }
    if (msg->tries == WORKER_TRIES_BUT_LAST && (flags & WORKER_TOKEN_PIN_FINAL_TRY)) {
        login_set_outcome(outcome, WORKER_E_REFUSED, CKR_OK, "the PIN was not tried yet",
                          login_tries_text(flags));
        return;
    }
    login_once(worker, token, pin, outcome);
}

/* On success the new inventory, then the reply in any case. */
static int login_answer(struct worker *worker, uint32_t seq, const struct token *token,
                        const struct login_outcome *outcome, struct wire_writer *writer)
{
    const struct worker_reply reply = {
        .seq = seq,
        .result = outcome->result,
        .ck_rv = (uint32_t)outcome->rv,
        .token_flags = token ? token_flags(token) : 0,
        .text = wire_span_from_text(outcome->text),
    };

    if (outcome->result == WORKER_OK) {
        int r = inventory_send(worker, writer);
        if (r)
            return r;
    }
    wire_writer_reset(writer);
    if (worker_reply_encode(writer, WORKER_LOGIN_REPLY, &reply))
        return -ENOMEM;
    return link_send(worker->link, writer);
}

/* Reads the PIN, before any lock is held; false with the outcome when there is none. */
static bool login_read_pin(const struct token *token, int pin_fd, unsigned int pin_ms,
                           struct secret *pin, struct login_outcome *outcome)
{
    if (!token || pin_fd < 0) {
        login_set_outcome(outcome, WORKER_E_BAD_REQUEST, CKR_OK,
                          token ? "no PIN came with the login" : "no such token", "");
        return false;
    }
    int r = pin ? secret_read(pin, pin_fd, pin_ms) : -ENOMEM;
    if (r)
        login_set_outcome(outcome, WORKER_E_PIN_SOURCE, CKR_OK, secret_error_text(r), "");
    return r == 0;
}

int login_handle(struct worker *worker, const struct worker_login *msg, int pin_fd,
                 unsigned int pin_ms, struct wire_writer *writer)
{
    _cleanup_secret_ struct secret *pin = secret_new();
    struct login_outcome outcome = {.result = WORKER_OK};
    struct token *token = worker_get_token(worker, msg->token);
    bool is_keypad = token && msg->keypad;
    bool have_pin = is_keypad || login_read_pin(token, pin_fd, pin_ms, pin, &outcome);

    (void)pthread_rwlock_wrlock(&worker->lock);
    if (have_pin)
        login_try(worker, msg, token, is_keypad ? NULL : pin, &outcome);
    int r = login_answer(worker, msg->seq, token, &outcome, writer);
    (void)pthread_rwlock_unlock(&worker->lock);
    return r;
}

static void logout_run(struct worker *worker, struct token *token, struct login_outcome *outcome)
{
    sessions_close_all(worker, token);
    if (token->logged_in) {
        CK_RV rv = token->calls->C_Logout(token->session);
        /* A token that says it is logged out already is what we want; or it has dropped the
         * session, the last one, and with it the login. */
        if (rv != CKR_OK && rv != CKR_USER_NOT_LOGGED_IN &&
            ckr_classify(rv) != CKR_CLASS_STALE_HANDLE) {
            login_set_failure(outcome, "C_Logout", rv);
            return;
        }
        token->logged_in = false;
    }
    CK_RV rv = inventory_read(worker, token);
    if (rv != CKR_OK)
        login_set_outcome(outcome, WORKER_E_STATE_LOST, rv,
                          "the token cannot be read after the logout: ", ckr_name(rv));
}

int logout_handle(struct worker *worker, const struct worker_logout *msg,
                  struct wire_writer *writer)
{
    struct login_outcome outcome = {.result = WORKER_OK};
    struct token *token = worker_get_token(worker, msg->token);

    (void)pthread_rwlock_wrlock(&worker->lock);
    if (token)
        logout_run(worker, token, &outcome);
    else
        login_set_outcome(&outcome, WORKER_E_BAD_REQUEST, CKR_OK, "no such token", "");
    int r = login_answer(worker, msg->seq, token, &outcome, writer);
    (void)pthread_rwlock_unlock(&worker->lock);
    return r;
}
