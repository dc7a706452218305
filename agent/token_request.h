/* SPDX-License-Identifier: Apache-2.0 */
/* UNLOCK, LOCK and SET_PIN: find the token that is meant, hand the PIN's pipe on, answer. */
#ifndef MTLS_AGENT_TOKEN_REQUEST_H
#define MTLS_AGENT_TOKEN_REQUEST_H

#include "agent/connection.h"
#include "common/protocol.h"

/** token_request_unlock() - handle one UNLOCK. Return: 0, or -errno. */
int token_request_unlock(struct connection *connection,
                         const struct protocol_token_request *message) _must_check_;

/** token_request_set_pin() - handle one SET_PIN. Return: 0, or -errno. */
int token_request_set_pin(struct connection *connection,
                          const struct protocol_set_pin *message) _must_check_;

/** token_request_lock() - handle one LOCK. Return: 0, or -errno. */
int token_request_lock(struct connection *connection,
                       const struct protocol_token_request *message) _must_check_;

/** token_request_succeed() - the login ended well: answer and free. */
void token_request_succeed(struct request *base);

/** token_request_fail() - answer with an error and free. */
void token_request_fail(struct request *base, enum protocol_error_code code, const char *text);

#endif
