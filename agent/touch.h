/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures that take longer than a token needs by itself: it may be waiting for a finger. PKCS#11
 * has no word for that, so it is told by the time. Whoever subscribed is told, and so is a person
 * at a desktop, until the signature ends.
 */
#ifndef MTLS_AGENT_TOUCH_H
#define MTLS_AGENT_TOUCH_H

#include "agent/list.h"
#include "agent/sign_request.h"

struct agent;
struct worker;

/* How fast each key of a hardware token has been; embedded in the agent. */
struct touch_memory {
    struct list keys;
    size_t count;
};

void touch_memory_init(struct touch_memory *memory);
void touch_memory_deinit(struct touch_memory *memory);

/** touch_check() - tell of signatures that take too long now. For the tick of deadlines. */
void touch_check(struct agent *agent);

/**
 * touch_note_reply() - a request is answered by its worker
 * @was_signed: its time counts as one that the key is able to keep
 */
void touch_note_reply(struct worker *worker, struct sign_request *request, bool was_signed);

/** touch_end() - the token does not have the request any more; often there is nothing to tell. */
void touch_end(struct sign_request *request);

#endif
