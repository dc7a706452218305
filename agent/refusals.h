/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What policy refused lately, for `mtls status`: the last few refusals, each with its remedy. The
 * same again raises a count. Its memory is fixed, and noting one takes none. What must not be
 * forgotten is in the audit.
 */
#ifndef MTLS_AGENT_REFUSALS_H
#define MTLS_AGENT_REFUSALS_H

#include "agent/list.h"
#include "agent/peer.h"
#include "common/protocol.h"

#define REFUSALS_MAX PROTOCOL_REFUSALS_MAX

struct refusal {
    struct list link;
    uint64_t when_ms; /* monotonic; the last time */
    uint32_t count;
    uid_t uid;
    pid_t pid; /* of the last time */
    uint8_t kind;
    uint8_t key_hash[PROTOCOL_KEY_HASH_LEN];
    char program[PROTOCOL_SELECTOR_MAX + 1]; /* path, or "" */
    char key_name[PROTOCOL_NAME_MAX + 1];
    char text[PROTOCOL_TEXT_MAX + 1];
};

struct refusals {
    struct list latest_first; /* of those in use */
    struct list unused;
    struct refusal entries[REFUSALS_MAX];
};

/* What happened. Everything borrowed. */
struct refusal_event {
    const struct peer *peer;
    const char *key_name;
    const uint8_t *key_hash; /* PROTOCOL_KEY_HASH_LEN bytes */
    uint8_t kind;            /* as the client sent it */
    const char *text;        /* what it was told */
};

void refusals_init(struct refusals *refusals);

/**
 * refusals_note() - one more
 * @now_ms:     monotonic
 *
 * The same user, program, key, kind and text as before is counted there. Otherwise, when all are in
 * use, the user who has most of them loses the oldest: nobody pushes the others' out.
 */
void refusals_note(struct refusals *refusals, const struct refusal_event *event, uint64_t now_ms);

/**
 * refusal_is_visible() - whether a client may be told of it
 * @own_uid:    the agent's
 *
 * A user sees what their own programs were refused; the agent's user, who could read the audit and
 * change the policy, and root see all.
 */
bool refusal_is_visible(const struct refusal *refusal, uid_t own_uid, uid_t client_uid);

/** refusal_describe() - its entry in STATUS_REPLY; spans into it. */
void refusal_describe(const struct refusal *refusal, uint64_t now_ms,
                      struct protocol_status_refusal *ret_entry);

#endif
