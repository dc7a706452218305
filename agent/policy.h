/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one function that decides whether a key may be used, for every path. What has no rule is
 * refused.
 */
#ifndef MTLS_AGENT_POLICY_H
#define MTLS_AGENT_POLICY_H

#include <stdbool.h>

#include "common/protocol.h"

enum policy_decision {
    POLICY_REFUSE = 0,
    POLICY_ALLOW = 1,
    POLICY_REFUSE_DIGEST = 2, /* `sign = digest` would allow it */
};

/* What is asked for. Everything borrowed. */
struct policy_question {
    bool peer_is_served; /* own uid, or one of the configured users */
    enum key_policy key_policy;
    enum key_type key_type;
    unsigned int key_bits;
    const uint32_t *schemes; /* that the key's token can make */
    size_t scheme_count;
    uint32_t kind;   /* enum sign_kind, as the client sent it */
    uint32_t scheme; /* TLS SignatureScheme, as the client sent it */
    struct wire_span content;
};

/**
 * policy_decide() - allow or refuse one signature
 * @ret_reason: filled with a static sentence that says what to change, when refused
 *
 * The content is checked here, so that no path can forget it: an allowed tls13 or tls12 request has
 * the form that RFC 8446 section 4.4.3 or RFC 5246 section 7.4.8 gives it.
 * Return: the decision.
 */
enum policy_decision policy_decide(const struct policy_question *question,
                                   const char **ret_reason) _must_check_;

#endif
