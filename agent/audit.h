/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record per use of a key, allowed or not: to the journal with structured fields, or as JSON
 * lines to a file, or into the log. Never blocks on a reader, never carries a secret.
 */
#ifndef MTLS_AGENT_AUDIT_H
#define MTLS_AGENT_AUDIT_H

#include <stdint.h>

#include "agent/config.h"
#include "agent/peer.h"

struct audit;

/* Everything borrowed. */
struct audit_record {
    struct peer *peer;
    const char *key_name;
    const uint8_t *key_hash; /* PROTOCOL_KEY_HASH_LEN bytes */
    uint32_t kind;           /* as the client sent it */
    const char *scheme;      /* name */
    uint32_t error_code;     /* enum protocol_error_code; 0: signed */
    const char *reason;      /* sentence, or "" */
    uint64_t taken_us;       /* from request to answer */
    bool client_is_gone;     /* it left before the answer */
};

/**
 * audit_new() - open where records go
 *
 * Return: 0, 1 when the file cannot be opened (logged as an error), or -errno.
 */
int audit_new(const struct config *config, struct audit **ret_audit) _must_check_;
struct audit *audit_free(struct audit *audit);

void audit_write(struct audit *audit, const struct audit_record *record);

#endif
