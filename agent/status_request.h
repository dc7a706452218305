/* SPDX-License-Identifier: Apache-2.0 */
/* STATUS: how the agent, its modules and its tokens are, and what it refused lately. */
#ifndef MTLS_AGENT_STATUS_REQUEST_H
#define MTLS_AGENT_STATUS_REQUEST_H

#include "agent/connection.h"

/** status_request_answer() - Return: 0, or -errno. */
int status_request_answer(struct connection *connection, uint32_t id) _must_check_;

#endif
