/* SPDX-License-Identifier: Apache-2.0 */
/* LIST: which keys a selector names, page by page. */
#ifndef MTLS_AGENT_LIST_REQUEST_H
#define MTLS_AGENT_LIST_REQUEST_H

#include "agent/connection.h"

/** list_request_answer() - Return: 0, or -errno. */
int list_request_answer(struct connection *connection,
                        const struct protocol_list *message) _must_check_;

#endif
