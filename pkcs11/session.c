/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions come and go by atomic exchange: a signature takes no lock for them as long as the token
 * gives enough; see session.h. Who waits says so before it looks a last time, and who gives looks
 * for waiting ones after it has given, both sequentially consistent: nobody sleeps over a session.
 */
#include "pkcs11/session.h"

#include "common/clock.h"

/* A token that gives no more sessions is not asked again for so long. */
#define SESSION_FULL_MS 1000u

static CK_SESSION_HANDLE session_steal(struct signer *signer, const struct token *token)
{
    return atomic_exchange(&signer->sessions[token->number], CK_INVALID_HANDLE);
}

/* One that no signer uses now. */
static CK_SESSION_HANDLE session_steal_any(struct worker *worker, const struct token *token)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    for (size_t i = 0; session == CK_INVALID_HANDLE && i < worker->signer_count; i++)
        session = session_steal(&worker->signers[i], token);
    return session;
}

/* After something was given back, or closed. */
static void session_tell(struct token *token)
{
    if (atomic_load(&token->session_waiting) == 0)
        return;
    (void)pthread_mutex_lock(&token->session_lock);
    token->session_turn++;
    (void)pthread_cond_broadcast(&token->session_given);
    (void)pthread_mutex_unlock(&token->session_lock);
}

static void session_close_handle(struct token *token, CK_SESSION_HANDLE handle)
{
    if (handle == CK_INVALID_HANDLE)
        return;
    (void)token_close_session(token, handle);
    atomic_store(&token->full_until_ms, 0);
    session_tell(token);
}

/* An HSM may count the sessions with all of its tokens together. */
static bool session_close_others(struct worker *worker, const struct token *token)
{
    bool any = false;

    for (size_t i = 0; i < worker->token_count; i++) {
        CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
        if (i == token->number)
            continue;
        while ((session = session_steal_any(worker, &worker->tokens[i])) != CK_INVALID_HANDLE) {
            session_close_handle(&worker->tokens[i], session);
            any = true;
        }
    }
    return any;
}

/* @ret_was_asked: set when the answer is not the one of a moment ago. */
static CK_RV session_open(struct worker *worker, struct token *token, CK_SESSION_HANDLE *ret_handle,
                          bool *ret_was_asked)
{
    uint64_t now_ms = clock_monotonic_ms();

    *ret_handle = CK_INVALID_HANDLE;
    /* With none at all there is nothing to wait for, and it is asked in any case. */
    if (atomic_load(&token->full_until_ms) > now_ms && atomic_load(&token->session_count) > 0)
        return CKR_SESSION_COUNT;
    *ret_was_asked = true;
    CK_RV rv = token_open_session(token, ret_handle);
    if (rv == CKR_SESSION_COUNT && session_close_others(worker, token))
        rv = token_open_session(token, ret_handle);
    if (rv == CKR_SESSION_COUNT)
        atomic_store(&token->full_until_ms, now_ms + SESSION_FULL_MS);
    else if (rv != CKR_OK)
        session_tell(token); /* others may wait for the place that was reserved */
    return rv;
}

/* CKR_SESSION_COUNT: there is none now. */
static CK_RV session_try(struct signer *signer, struct token *token, struct session *ret_session,
                         bool *ret_was_asked)
{
    struct session session = {.handle = session_steal(signer, token)};
    CK_RV rv = CKR_OK;

    *ret_was_asked = false;
    if (session.handle == CK_INVALID_HANDLE)
        rv = session_open(signer->worker, token, &session.handle, ret_was_asked);
    if (rv == CKR_SESSION_COUNT) {
        session.handle = session_steal_any(signer->worker, token);
        if (session.handle == CK_INVALID_HANDLE) {
            session.handle = atomic_exchange(&token->session, CK_INVALID_HANDLE);
            session.is_reading = true;
        }
        rv = session.handle == CK_INVALID_HANDLE ? CKR_SESSION_COUNT : CKR_OK;
    }
    if (rv == CKR_OK)
        *ret_session = session;
    return rv;
}

/* How the sessions of this process stood before a try. */
struct session_view {
    uint64_t turn;
    uint32_t opened;
    bool had_none;
};

/* With the mutex held. What was opened is read first: one that is opened and closed between the two
 * must show. */
static struct session_view session_look(const struct token *token)
{
    struct session_view view = {.turn = token->session_turn,
                                .opened = atomic_load(&token->session_opened)};

    view.had_none = atomic_load(&token->session_count) == 0;
    return view;
}

/*
 * With the mutex held, after a try that failed. While the module was asked a place was reserved,
 * and others may have begun to wait for it. Returns true when there is nothing to wait for: this
 * process had no session before, has none now, and nobody had one in between.
 */
static bool session_wait(struct token *token, const struct session_view *before, bool was_asked)
{
    uint64_t turn = before->turn;
    bool is_hopeless = before->had_none && token->session_turn == turn &&
                       atomic_load(&token->session_count) == 0 &&
                       atomic_load(&token->session_opened) == before->opened;

    if (was_asked) {
        turn += token->session_turn == turn;
        token->session_turn++;
        (void)pthread_cond_broadcast(&token->session_given);
    }
    while (!is_hopeless && token->session_turn == turn)
        (void)pthread_cond_wait(&token->session_given, &token->session_lock);
    return is_hopeless;
}

CK_RV session_take(struct signer *signer, struct token *token, struct session *ret_session)
{
    bool was_asked = false;
    CK_RV rv = session_try(signer, token, ret_session, &was_asked);

    if (rv != CKR_SESSION_COUNT)
        return rv;
    (void)pthread_mutex_lock(&token->session_lock);
    atomic_fetch_add(&token->session_waiting, 1);
    for (bool is_over = false; !is_over;) {
        const struct session_view before = session_look(token);
        /* Not under the mutex, which session_tell() takes. */
        (void)pthread_mutex_unlock(&token->session_lock);
        rv = session_try(signer, token, ret_session, &was_asked);
        (void)pthread_mutex_lock(&token->session_lock);
        is_over = rv != CKR_SESSION_COUNT || session_wait(token, &before, was_asked);
    }
    atomic_fetch_sub(&token->session_waiting, 1);
    (void)pthread_mutex_unlock(&token->session_lock);
    return rv;
}

static void session_put_reading(struct token *token, struct session *session)
{
    atomic_store(&token->session, session->handle);
    *session = (struct session){.handle = CK_INVALID_HANDLE};
    session_tell(token);
}

void session_put(struct signer *signer, struct token *token, struct session *session)
{
    if (session->is_reading) {
        session_put_reading(token, session);
        return;
    }
    if (session->handle != CK_INVALID_HANDLE)
        atomic_store(&signer->sessions[token->number], session->handle);
    *session = (struct session){.handle = CK_INVALID_HANDLE};
    session_tell(token);
}

void session_end(struct token *token, struct session *session)
{
    if (session->is_reading)
        session_put_reading(token, session);
    else
        session_close(token, session);
}

void session_close(struct token *token, struct session *session)
{
    CK_SESSION_HANDLE handle = session->handle;

    *session = (struct session){.handle = CK_INVALID_HANDLE};
    session_close_handle(token, handle);
}

void session_close_own(struct signer *signer, struct token *token)
{
    session_close_handle(token, session_steal(signer, token));
}

void sessions_close_all(struct worker *worker, struct token *token)
{
    for (size_t i = 0; i < worker->signer_count; i++)
        session_close_own(&worker->signers[i], token);
}

CK_RV session_prepare(struct worker *worker, struct token *token)
{
    CK_RV rv = token_prepare(token);

    if (rv == CKR_SESSION_COUNT && session_close_others(worker, token))
        rv = token_prepare(token);
    /* It may be the last one, with the login: it is not closed for another. */
    while (rv == CKR_SESSION_COUNT) {
        CK_SESSION_HANDLE session = session_steal_any(worker, token);
        if (session == CK_INVALID_HANDLE)
            return rv;
        atomic_store(&token->session, session);
        rv = token_prepare(token);
    }
    return rv;
}
