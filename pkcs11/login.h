/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging in and out. A PIN is tried once, never again after a refusal, and not at all when the
 * token says that tries are low and no person typed it now.
 */
#ifndef MTLS_PKCS11_LOGIN_H
#define MTLS_PKCS11_LOGIN_H

#include "pkcs11/worker.h"

/* How long a PIN for one signature may take to come through its pipe; the core's own limit. */
#define LOGIN_CONTEXT_TIMEOUT_MS 120000u

/**
 * login_handle() - LOGIN: read the PIN, log in, read the token anew, tell the core all
 * @pin_fd:     read end of the PIN's pipe, or -1; borrowed
 * @pin_ms:     how long reading the PIN may take
 * @writer:     for the messages to the core
 *
 * Return: 0 when the core was answered, else -errno.
 */
int login_handle(struct worker *worker, const struct worker_login *msg, int pin_fd,
                 unsigned int pin_ms, struct wire_writer *writer) _must_check_;

/** logout_handle() - LOGOUT: the same way back. Return: as login_handle(). */
int logout_handle(struct worker *worker, const struct worker_logout *msg,
                  struct wire_writer *writer) _must_check_;

/**
 * login_tries_text() - what a token's flags say about the tries left
 * @flags:      enum worker_token_flags
 *
 * Return: a sentence fragment that begins with ";", or "".
 */
const char *login_tries_text(uint32_t flags);

/** login_is_risky() - the flags say that a refused PIN could cost the token. */
bool login_is_risky(uint32_t flags);

#endif
