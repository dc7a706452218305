/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling the caller's struct mtls_agent_error: one sentence for a person, safe for a terminal.
 * Holds the table that translates the wire's error codes into the library's.
 */
#ifndef MTLS_CLIENT_ERROR_H
#define MTLS_CLIENT_ERROR_H

#include "client/lib/mtls-agent.h"
#include "common/protocol.h"

/**
 * client_error_set() - code and sentence
 * @error:      filled; NULL: only the code is wanted
 * @format:     untrusted arguments are escaped by the caller (common/escape.h)
 *
 * Return: @code, so that the call can stand in a return statement.
 */
int client_error_set(struct mtls_agent_error *error, enum mtls_agent_code code, const char *format,
                     ...) _printf_(3, 4);

/**
 * client_error_set_from_agent() - what an ERROR message says
 * @msg:        borrowed; its text is escaped here. A code that this version does not know counts as
 *              MTLS_AGENT_E_INTERNAL.
 *
 * Return: the code.
 */
int client_error_set_from_agent(struct mtls_agent_error *error, const struct protocol_error *msg);

/** client_error_set_memory() - MTLS_AGENT_E_MEMORY. Return: the code. */
int client_error_set_memory(struct mtls_agent_error *error);

#endif
