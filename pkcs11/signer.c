/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One signature; see signer.h. Signing goes to the module's own functions: libp11 would hide the
 * mechanism and the answer, and does not know Ed25519.
 */
#include "pkcs11/signer.h"

#include <string.h>

#include "common/der_ecdsa.h"
#include "common/escape.h"
#include "common/log.h"
#include "common/secret.h"
#include "pkcs11/ckr.h"
#include "pkcs11/inventory.h"
#include "pkcs11/login.h"
#include "pkcs11/mechanism.h"
#include "pkcs11/session.h"

/* One request on its way. */
struct signing {
    const struct worker_sign *msg;
    const struct scheme *scheme;
    struct key *key;
    struct token *token;
    bool needs_login;         /* C_Login(CKU_CONTEXT_SPECIFIC) for this one signature */
    const struct secret *pin; /* for that; NULL: it is typed at the reader */
    struct session session;
    CK_OBJECT_HANDLE handle; /* of the private key */
    bool found_again;        /* it is not the one that the key has */
    bool has_learned;        /* that the key can do less than the core was told */
    struct mechanism mechanism;
    CK_ULONG raw_len;
    struct worker_reply reply;
};

int signer_init(struct signer *signer, struct worker *worker)
{
    *signer = (struct signer){.worker = worker};
    wire_writer_init(&signer->writer, LINK_PACKET_MAX);
    /* for tokens that come later, too */
    signer->sessions = calloc(WORKER_TOKENS_MAX, sizeof(*signer->sessions));
    signer->packet = malloc(LINK_PACKET_MAX);
    return signer->sessions && signer->packet ? 0 : -ENOMEM;
}

static void signer_answer(struct signing *signing, enum worker_result result, const char *text)
{
    signing->reply.result = result;
    signing->reply.text = wire_span_from_text(text);
}

/*
 * The token says that nobody is logged in. Where we logged in, it forgot: a reset, or another
 * program. From C_Sign with an always-authenticate key it is about the context PIN alone.
 */
static bool signer_is_logged_out(const struct signing *signing, const char *function)
{
    return signing->token->logged_in &&
           !(signing->key->always_authenticate && strcmp(function, "C_Sign") == 0);
}

static void signer_answer_rv(struct signer *signer, struct signing *signing, const char *function,
                             CK_RV rv)
{
    char text[CKR_TEXT_MAX];
    const char *tries = "";
    enum worker_result result = ckr_result(rv);

    if (result == WORKER_E_LOCKED && signer_is_logged_out(signing, function))
        result = WORKER_E_STATE_LOST;
    /* A context login holds the lock alone, so the token may be asked again. */
    if (signing->needs_login && (result == WORKER_E_PIN || result == WORKER_E_PIN_BLOCKED) &&
        token_refresh(signing->token) == CKR_OK) {
        signing->reply.token_flags = token_flags(signing->token);
        tries = login_tries_text(signing->reply.token_flags);
    }
    signing->reply.ck_rv = (uint32_t)rv;
    if (result == WORKER_E_PIN)
        (void)snprintf(signer->text, sizeof(signer->text), "the PIN was refused%s", tries);
    else if (result == WORKER_E_UNSUPPORTED)
        (void)snprintf(
            signer->text, sizeof(signer->text),
            "the token does not sign %s with this key: %s; `mtls list` shows what is left",
            signing->scheme->name, ckr_text(function, rv, text));
    else
        (void)snprintf(signer->text, sizeof(signer->text), "%s%s", ckr_text(function, rv, text),
                       tries);
    signer_answer(signing, result, signer->text);
}

/* The mechanism for the scheme: 0, else the request is answered. */
static int signer_prepare(struct signing *signing)
{
    uint32_t offered = signing->token->mechanisms &
                       ~atomic_load_explicit(&signing->key->refused, memory_order_relaxed);
    int r = mechanism_prepare(signing->scheme, signing->key->public_key.bits, offered,
                              signing->msg->data, &signing->mechanism);

    if (r == MECHANISM_E_DATA)
        signer_answer(signing, WORKER_E_BAD_REQUEST, "the data is no digest of the scheme's hash");
    else if (r == MECHANISM_E_UNSUPPORTED)
        signer_answer(signing, WORKER_E_UNSUPPORTED, "the token has no mechanism for the scheme");
    else if (r)
        signer_answer(signing, WORKER_E_MODULE, "the padding could not be made: no memory");
    return r ? 1 : 0;
}

/* The request against the key: 0 when it can go to the token, else it is answered. */
static int signer_check(struct signer *signer, struct signing *signing)
{
    const struct worker_sign *msg = signing->msg;

    signing->key = keyring_get(&signer->worker->keys, msg->key);
    signing->scheme = scheme_find(msg->scheme);
    if (!signing->key || !signing->key->present) {
        signer_answer(signing, WORKER_E_BAD_REQUEST, "no such key");
        return 1;
    }
    if (!signing->scheme || !scheme_fits_key(signing->scheme, signing->key->public_key.type)) {
        signer_answer(signing, WORKER_E_BAD_REQUEST, "the scheme does not fit the key");
        return 1;
    }
    signing->token = &signer->worker->tokens[signing->key->token];
    if (!key_is_usable(signing->key)) {
        bool locked = token_needs_login(signing->token);
        signer_answer(signing, locked ? WORKER_E_LOCKED : WORKER_E_BAD_REQUEST,
                      locked ? "the token wants a login first" : "the private key is not there");
        return 1;
    }
    return signer_prepare(signing);
}

/* Finds the private key again, by CKA_ID and label; a valid signature has to prove that it is. */
static CK_RV signer_find_key(struct signing *signing)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    struct object_name *name = &signing->key->name;
    CK_ATTRIBUTE match[3] = {{CKA_CLASS, &class, sizeof(class)}};
    CK_ULONG match_count = 1;
    _cleanup_free_ CK_OBJECT_HANDLE *handles = NULL;
    size_t count = 0;

    if (name->id_len > 0)
        match[match_count++] = (CK_ATTRIBUTE){CKA_ID, name->id, name->id_len};
    if (name->label_len > 0)
        match[match_count++] = (CK_ATTRIBUTE){CKA_LABEL, name->label, name->label_len};
    CK_RV rv =
        object_find(signing->token, signing->session.handle, match, match_count, &handles, &count);
    if (rv != CKR_OK)
        return rv;
    /* Without a name, or with a name that fits several, it might be any of them. */
    if (match_count == 1 || count != 1)
        return CKR_KEY_HANDLE_INVALID;
    signing->handle = handles[0];
    signing->found_again = true;
    return CKR_OK;
}

/* Calls the module; *ret_function tells which call gave the answer. */
static CK_RV signer_call(struct signer *signer, struct signing *signing, const char **ret_function)
{
    const CK_FUNCTION_LIST *calls = signing->token->calls;
    CK_SESSION_HANDLE *session = &signing->session.handle;
    CK_RV rv;

    if (*session == CK_INVALID_HANDLE) {
        *ret_function = "C_OpenSession";
        rv = session_take(signer, signing->token, &signing->session);
        if (rv != CKR_OK)
            return rv;
    }
    *ret_function = "C_SignInit";
    rv = calls->C_SignInit(*session, &signing->mechanism.ck, signing->handle);
    if (rv != CKR_OK)
        return rv;
    if (signing->needs_login) {
        const struct secret *pin = signing->pin;
        *ret_function = "C_Login";
        /* The parameter is not const in the interface; the module only reads it. */
        rv = calls->C_Login(*session, CKU_CONTEXT_SPECIFIC,
                            pin ? (CK_UTF8CHAR *)(uintptr_t)pin->data : NULL, pin ? pin->len : 0);
        if (rv != CKR_OK)
            return rv;
    }
    *ret_function = "C_Sign";
    signing->raw_len = sizeof(signer->raw);
    return calls->C_Sign(*session, (CK_BYTE *)(uintptr_t)signing->mechanism.input.data,
                         signing->mechanism.input.len, signer->raw, &signing->raw_len);
}

/*
 * Modules leave a failed operation active; only closing the session is sure to end it. One that is
 * stale is seldom alone: a token that has dropped it has dropped those that were idle for longer.
 */
static void signer_end(struct signer *signer, struct signing *signing, CK_RV rv)
{
    bool is_stale = ckr_classify(rv) == CKR_CLASS_STALE_HANDLE;

    if (is_stale)
        sessions_close_all(signer->worker, signing->token);
    if (is_stale || rv == CKR_OPERATION_ACTIVE)
        session_close(signing->token, &signing->session);
    else
        session_end(signing->token, &signing->session);
}

/*
 * A second call after a first that left no signature behind. With a context PIN there is none: it
 * may have been spent.
 */
static CK_RV signer_call_again(struct signer *signer, struct signing *signing, CK_RV rv,
                               const char **ret_function)
{
    bool is_stale = ckr_classify(rv) == CKR_CLASS_STALE_HANDLE;

    if ((!is_stale && rv != CKR_OPERATION_ACTIVE) || signing->needs_login)
        return rv;
    CK_RV again = session_take(signer, signing->token, &signing->session);
    if (again == CKR_OK && is_stale)
        again = signer_find_key(signing);
    return again == CKR_OK ? signer_call(signer, signing, ret_function) : rv;
}

/*
 * A module that offers a mechanism and then refuses it for this key is not asked for it again.
 * Returns true when there is another one for the scheme, and it is prepared.
 */
static bool signer_learn(struct signing *signing, CK_RV rv)
{
    CK_MECHANISM_TYPE type = signing->mechanism.ck.mechanism;
    uint32_t refused = mechanism_refused_by(rv, signing->mechanism.flag);
    char label[PROTOCOL_NAME_MAX];

    if (refused == 0)
        return false;
    uint32_t before =
        atomic_fetch_or_explicit(&signing->key->refused, refused, memory_order_relaxed);
    bool has_other = signer_prepare(signing) == 0;
    if ((before & refused) == refused)
        return has_other; /* another thread was first */
    signing->has_learned = true;
    log_warning("token \"%s\": the module answered %s to mechanism 0x%lx, though it lists it%s",
                escape_text(text_span(&signing->token->label), label, sizeof(label)), ckr_name(rv),
                type, has_other ? "; another one is used from now on" : "");
    return has_other;
}

/* Has the token sign; 0 with the raw signature, else the request is answered. */
static int signer_call_token(struct signer *signer, struct signing *signing)
{
    const char *function = "";

    signing->handle = atomic_load_explicit(&signing->key->handle, memory_order_relaxed);
    /* From here on the token may have seen the request; the core looks at this after a crash. */
    atomic_store_explicit(&signer->worker->ledger->slots[signing->msg->slot], WORKER_SLOT_SIGNING,
                          memory_order_release);
    CK_RV rv = signer_call(signer, signing, &function);

    if (rv != CKR_OK) {
        signer_end(signer, signing, rv);
        rv = signer_call_again(signer, signing, rv, &function);
    }
    while (rv != CKR_OK && signer_learn(signing, rv)) {
        /* A context PIN that has gone to the token may be spent. */
        if (signing->needs_login && strcmp(function, "C_SignInit") != 0)
            break;
        signer_end(signer, signing, rv);
        rv = signer_call(signer, signing, &function);
    }
    if (rv == CKR_OK)
        return 0;
    signer_end(signer, signing, rv);
    signer_answer_rv(signer, signing, function, rv);
    return 1;
}

/* The raw signature's form: what leaves here has exactly the length and form of its kind. */
static int signer_convert(struct signer *signer, const struct signing *signing, size_t *ret_len)
{
    const struct public_key *key = &signing->key->public_key;
    size_t len = signing->raw_len;

    switch (key->type) {
    case KEY_TYPE_EC:
        if (len > sizeof(signer->raw))
            return DER_ECDSA_E_INVALID;
        return der_ecdsa_from_raw(key->bits, (struct wire_span){signer->raw, len},
                                  signer->signature, ret_len);
    case KEY_TYPE_ED25519:
        if (len != 64)
            return 1;
        break;
    case KEY_TYPE_RSA:
    case KEY_TYPE_RSA_PSS:
        if (len != (key->bits + 7) / 8)
            return 1;
        break;
    }
    memcpy(signer->signature, signer->raw, len);
    *ret_len = len;
    return 0;
}

static bool signer_must_verify(const struct signer *signer, const struct signing *signing)
{
    const struct key *key = signing->key;
    bool is_first = !atomic_load_explicit(&key->verified, memory_order_relaxed);

    if (signing->mechanism.flag == MECHANISM_RSA_X_509)
        return true; /* the padding is ours, too */
    switch (signer->worker->verify) {
    case VERIFY_ALWAYS:
        return true;
    case VERIFY_NEVER:
        return signing->found_again || (key->provisional && is_first);
    case VERIFY_AUTO:
        break;
    }
    return is_first || signing->found_again || signing->token->hardware ||
           key->public_key.type == KEY_TYPE_RSA || key->public_key.type == KEY_TYPE_RSA_PSS;
}

/* A key that was found again and is another one: the inventory is not that of the token any more.
 */
static void signer_answer_invalid(struct signing *signing)
{
    if (signing->found_again)
        signer_answer(signing, WORKER_E_STATE_LOST, "the token has another key under this name");
    else
        signer_answer(signing, WORKER_E_BAD_SIGNATURE,
                      "the module's signature is not valid; it was withheld");
}

/* Brings the signature into its form and verifies it. */
static void signer_finish(struct signer *signer, struct signing *signing)
{
    size_t len = 0;

    int converted = signer_convert(signer, signing, &len);
    if (converted)
        session_end(signing->token, &signing->session);
    session_put(signer, signing->token, &signing->session);
    if (converted) {
        signer_answer(signing, WORKER_E_BAD_SIGNATURE,
                      "the module's signature has not the form of one; it was withheld");
        return;
    }
    struct wire_span signature = {signer->signature, len};
    if (signer_must_verify(signer, signing)) {
        int r = verify_signature(&signer->verifier, &signing->key->public_key, signing->scheme,
                                 signing->msg->data, signature);
        if (r < 0)
            signer_answer(signing, WORKER_E_MODULE,
                          "the signature could not be verified: no memory");
        else if (r > 0)
            signer_answer_invalid(signing);
        if (r)
            return;
        if (signing->found_again)
            atomic_store_explicit(&signing->key->handle, signing->handle, memory_order_relaxed);
        atomic_store_explicit(&signing->key->verified, true, memory_order_relaxed);
    }
    signing->reply.signature = signature;
}

static void signer_sign(struct signer *signer, struct signing *signing)
{
    (void)pthread_rwlock_rdlock(&signer->worker->lock);
    if (signer_check(signer, signing) == 0) {
        if (signing->key->always_authenticate)
            signer_answer(signing, WORKER_E_LOCKED, "the key wants its PIN for every signature");
        else if (signer_call_token(signer, signing) == 0)
            signer_finish(signer, signing);
    }
    (void)pthread_rwlock_unlock(&signer->worker->lock);
}

/*
 * What a source gave, and no person now, does not spend the last tries; a person who was not told
 * of the last one does not spend that. A PIN that is blocked has none to lose, and OpenSC says so
 * for a while after it was unblocked.
 */
static int signer_check_tries(struct signer *signer, struct signing *signing)
{
    if (!signing->needs_login)
        return 0;
    CK_RV rv = token_refresh(signing->token);
    if (rv != CKR_OK) {
        signer_answer_rv(signer, signing, "C_GetTokenInfo", rv);
        return 1;
    }
    signing->reply.token_flags = token_flags(signing->token);
    uint32_t flags = signing->reply.token_flags & ~(uint32_t)WORKER_TOKEN_PIN_LOCKED;
    bool is_person = signing->msg->tries != WORKER_TRIES_SAFE;
    if (signing->msg->tries == WORKER_TRIES_ALL ||
        !(is_person ? flags & WORKER_TOKEN_PIN_FINAL_TRY : login_is_risky(flags)))
        return 0;
    (void)snprintf(signer->text, sizeof(signer->text), "the PIN was not tried%s%s",
                   is_person ? "" : ", a person has to lock and unlock the token",
                   login_tries_text(flags));
    signer_answer(signing, WORKER_E_REFUSED, signer->text);
    return 1;
}

/* With a login for this one signature. Its session is not used for anything else. */
static void signer_sign_alone(struct signer *signer, struct signing *signing,
                              const struct secret *pin)
{
    (void)pthread_rwlock_wrlock(&signer->worker->lock);
    if (signer_check(signer, signing) == 0) {
        signing->needs_login = signing->key->always_authenticate;
        signing->pin = pin;
        session_close_own(signer, signing->token);
        if (signer_check_tries(signer, signing) == 0 && signer_call_token(signer, signing) == 0)
            signer_finish(signer, signing);
        session_close_own(signer, signing->token);
    }
    (void)pthread_rwlock_unlock(&signer->worker->lock);
}

static void signer_sign_with_pin(struct signer *signer, struct signing *signing, int pin_fd,
                                 unsigned int pin_ms)
{
    _cleanup_secret_ struct secret *pin = secret_new();
    int r = pin ? secret_read(pin, pin_fd, pin_ms) : -ENOMEM;

    if (r)
        signer_answer(signing, WORKER_E_PIN_SOURCE, secret_error_text(r));
    else
        signer_sign_alone(signer, signing, pin);
}

/* The core lists what keys can do. Inventories of several threads must not mix. */
static int signer_tell(struct signer *signer)
{
    (void)pthread_rwlock_wrlock(&signer->worker->lock);
    int r = inventory_send(signer->worker, &signer->writer);
    (void)pthread_rwlock_unlock(&signer->worker->lock);
    return r;
}

int signer_handle(struct signer *signer, const struct worker_sign *msg, int pin_fd,
                  unsigned int pin_ms)
{
    struct signing signing = {.msg = msg, .reply = {.seq = msg->seq, .result = WORKER_OK}};

    if (pin_fd >= 0)
        signer_sign_with_pin(signer, &signing, pin_fd, pin_ms);
    else if (msg->keypad)
        signer_sign_alone(signer, &signing, NULL);
    else
        signer_sign(signer, &signing);
    if (signing.has_learned) {
        int r = signer_tell(signer);
        if (r)
            return r;
    }
    wire_writer_reset(&signer->writer);
    if (worker_reply_encode(&signer->writer, WORKER_SIGN_REPLY, &signing.reply))
        return -ENOMEM;
    return link_send(signer->worker->link, &signer->writer);
}
