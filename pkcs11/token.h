/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token that was there when the worker looked. Its number is its place in the list and never
 * changes. Slots without a token and tokens that were never initialised are not in the list.
 */
#ifndef MTLS_PKCS11_TOKEN_H
#define MTLS_PKCS11_TOKEN_H

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
    CK_SESSION_HANDLE session; /* for reading objects and the login; CK_INVALID_HANDLE: none */
    struct text label;
    struct text serial;
    struct text manufacturer;
    struct text model;
    struct text slot; /* the slot's description: over PC/SC the name of the reader */
};

/**
 * token_list_new() - the tokens of a module
 * @ret_tokens: filled; lives as long as the process
 * @ret_count:  filled; at most WORKER_TOKENS_MAX
 *
 * Return: 0, or -ENOMEM.
 */
int token_list_new(const struct module *module, struct token **ret_tokens,
                   size_t *ret_count) _must_check_;

/** token_open_session() - a read-only session. Return: the module's CK_RV. */
CK_RV token_open_session(const struct token *token, CK_SESSION_HANDLE *ret_session) _must_check_;

/** token_close_session() - close, whatever the module says. Return: CK_INVALID_HANDLE. */
CK_SESSION_HANDLE token_close_session(const struct token *token, CK_SESSION_HANDLE session);

/** token_prepare() - the reading session and the mechanisms. Return: the module's CK_RV. */
CK_RV token_prepare(struct token *token) _must_check_;

/** token_refresh() - ask for the token's flags again. Return: the module's CK_RV. */
CK_RV token_refresh(struct token *token) _must_check_;

/** token_flags() - enum worker_token_flags as last known. */
uint32_t token_flags(const struct token *token);

/** token_needs_login() - private objects are not visible yet. */
bool token_needs_login(const struct token *token);

/**
 * token_list_add() - a token that came later
 * @tokens:     of token_list_new(), which leaves room for WORKER_TOKENS_MAX
 * @count:      of them; raised
 *
 * Return: the token, not yet readable; NULL: there is none that can be used, or no room.
 */
struct token *token_list_add(const struct module *module, CK_SLOT_ID slot_id, struct token *tokens,
                             size_t *count);

#endif
