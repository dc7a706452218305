/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sessions that signatures are made in. Each signer keeps one of its own for each token, open
 * while it is idle. Where the token gives no more of them, another signer's idle one is taken over,
 * sessions with other tokens are closed, the one that objects are read in is borrowed, and in the
 * end signers wait for each other: no request fails for want of a session.
 *
 * All of it happens with worker.h's `lock` held, for reading or writing.
 */
#ifndef MTLS_PKCS11_SESSION_H
#define MTLS_PKCS11_SESSION_H

#include "pkcs11/signer.h"

/**
 * session_take() - a session to sign in
 * @ret_session: filled; session_put(), session_end() or session_close() it
 *
 * Waits while other signers have all that the token gives.
 * Return: the module's CK_RV; CKR_SESSION_COUNT when others than this process have them all.
 */
CK_RV session_take(struct signer *signer, struct token *token,
                   struct session *ret_session) _must_check_;

/** session_put() - keep it for the next signature; an empty one is fine. */
void session_put(struct signer *signer, struct token *token, struct session *session);

/**
 * session_end() - after a failure, which may have left something active in it
 *
 * Closes it; but that for reading is put back, as the login may end with it.
 */
void session_end(struct token *token, struct session *session);

/** session_close() - it is of no use any more, that for reading neither. */
void session_close(struct token *token, struct session *session);

/** session_close_own() - the signer's idle session with a token. */
void session_close_own(struct signer *signer, struct token *token);

/** sessions_close_all() - every signer's idle session with a token. */
void sessions_close_all(struct worker *worker, struct token *token);

/**
 * session_prepare() - token_prepare(), with a signer's session for reading when there is no other
 *
 * The lock is held for writing. Return: the module's CK_RV.
 */
CK_RV session_prepare(struct worker *worker, struct token *token) _must_check_;

#endif
