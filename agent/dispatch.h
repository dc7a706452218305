/* SPDX-License-Identifier: Apache-2.0 */
/* From a frame to the function that handles it: one table row per message type. */
#ifndef MTLS_AGENT_DISPATCH_H
#define MTLS_AGENT_DISPATCH_H

#include "common/frame.h"

struct connection;

/**
 * dispatch_frame() - handle one frame of a client
 *
 * A frame that is not of the protocol's form is answered with an ERROR of id 0, after which the
 * connection closes.
 */
void dispatch_frame(struct connection *connection, const struct frame *frame);

#endif
