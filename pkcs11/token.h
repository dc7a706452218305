/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token that was there when the worker looked. Its number is its place in the list and never
 * changes. Slots without a token and tokens that were never initialised are not in the list.
 */
#ifndef MTLS_PKCS11_TOKEN_H
#define MTLS_PKCS11_TOKEN_H

#include <pthread.h>
#include <stdatomic.h>

#include "pkcs11/module.h"
#include "pkcs11/text.h"

struct token {
    CK_FUNCTION_LIST *calls; /* of its module */
    CK_SLOT_ID slot_id;
    CK_TOKEN_INFO info; /* as last asked; see token_refresh() */
    uint32_t number;
    uint32_t mechanisms; /* enum mechanism_flags */
    bool hardware;
    bool logged_in;
    bool readable; /* its objects could be read at the start; else the core is not told of it */
    _Atomic CK_SESSION_HANDLE session; /* for reading objects and the login; CK_INVALID_HANDLE:
                                          none, or a signer has borrowed it */
    _Atomic uint32_t session_count;    /* that are open or being opened, @session among them */
    _Atomic uint32_t session_opened;   /* counts those that were */
    uint32_t session_max;              /* that may be; 0: as many as the module gives */
    /* Of session.c: */
    _Atomic uint64_t full_until_ms; /* when it may be asked for one more */
    pthread_mutex_t session_lock;
    pthread_cond_t session_given;
    uint64_t session_turn; /* counts what was given */
    atomic_uint session_waiting;
    struct text label;
    struct text serial;
    struct text manufacturer;
    struct text model;
    struct text slot; /* the slot's description: over PC/SC the name of the reader */
};

/**
 * token_list_new() - the tokens of a module
 * @session_max: sessions with each token; 0: as many as the module gives
 * @ret_tokens: filled; lives as long as the process
 * @ret_count:  filled; at most WORKER_TOKENS_MAX
 *
 * Return: 0, or -ENOMEM.
 */
int token_list_new(const struct module *module, uint32_t session_max, struct token **ret_tokens,
                   size_t *ret_count) _must_check_;

/**
 * token_open_session() - a read-only session
 *
 * Return: the module's CK_RV; CKR_SESSION_COUNT without asking it, when there may be no more.
 */
CK_RV token_open_session(struct token *token, CK_SESSION_HANDLE *ret_session) _must_check_;

/** token_close_session() - close, whatever the module says. Return: CK_INVALID_HANDLE. */
CK_SESSION_HANDLE token_close_session(struct token *token, CK_SESSION_HANDLE session);

/**
 * token_prepare() - the reading session, a new one if the token has dropped it, and the mechanisms
 *
 * Return: the module's CK_RV.
 */
CK_RV token_prepare(struct token *token) _must_check_;

/** token_refresh() - ask for the token's flags again. Return: the module's CK_RV. */
CK_RV token_refresh(struct token *token) _must_check_;

/** token_flags() - enum worker_token_flags as last known. */
uint32_t token_flags(const struct token *token);

/** token_needs_login() - private objects are not visible yet. */
bool token_needs_login(const struct token *token);

/**
 * token_list_add() - a token that came later
 * @session_max: as for token_list_new()
 * @tokens:     of token_list_new(), which leaves room for WORKER_TOKENS_MAX
 * @count:      of them; raised
 *
 * Return: the token, not yet readable; NULL: there is none that can be used, or no room.
 */
struct token *token_list_add(const struct module *module, CK_SLOT_ID slot_id, uint32_t session_max,
                             struct token *tokens, size_t *count);

#endif
