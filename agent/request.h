/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every request that is answered later has in common: its id, and its connection while that
 * lives. One id is in flight once per connection.
 */
#ifndef MTLS_AGENT_REQUEST_H
#define MTLS_AGENT_REQUEST_H

#include <stdint.h>

#include "agent/list.h"

struct connection;
struct request;

/* The connection is gone or the client left: the request is detached already. */
typedef void (*request_cancel_fn)(struct request *request);

struct request {
    struct list link;              /* in its connection's requests */
    struct connection *connection; /* NULL: gone */
    uint32_t id;
    request_cancel_fn cancel;
};

#endif
