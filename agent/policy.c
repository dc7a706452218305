/* SPDX-License-Identifier: Apache-2.0 */
/* The decision, one rule after the other; see policy.h. */
#include "agent/policy.h"

#include "agent/tls_check.h"

static enum policy_decision policy_refuse(const char **ret_reason, const char *reason)
{
    *ret_reason = reason;
    return POLICY_REFUSE;
}

/* The key could, its token cannot: what it can instead is said as well. */
static enum policy_decision policy_refuse_token(const struct scheme *scheme,
                                                const char **ret_reason)
{
    if (scheme->padding == PADDING_PSS && scheme->key_type == KEY_TYPE_RSA)
        return policy_refuse(ret_reason,
                             "the key's token can do neither RSA-PSS (CKM_RSA_PKCS_PSS) nor raw "
                             "RSA (CKM_RSA_X_509), so this key is for TLS 1.2 with PKCS#1 v1.5 "
                             "only, and not for TLS 1.3; limit the program to that, or use "
                             "another key");
    return policy_refuse(ret_reason, "the key's token has no mechanism for this signature scheme; "
                                     "`mtls list` shows what the key can do");
}

static enum policy_decision policy_decide_tls13(const struct policy_question *question,
                                                const struct scheme *scheme,
                                                const char **ret_reason)
{
    const char *detail = NULL;

    if (!scheme_fits_tls13(scheme, question->key_type, question->key_bits))
        return policy_refuse(ret_reason, "TLS 1.3 does not allow this signature scheme with this "
                                         "key");
    if (tls_check_tls13(question->content, &detail))
        return policy_refuse(ret_reason, detail);
    return POLICY_ALLOW;
}

static enum policy_decision policy_decide_tls12(const struct policy_question *question,
                                                const char **ret_reason)
{
    const char *detail = NULL;

    if (tls_check_tls12(question->content, &detail))
        return policy_refuse(ret_reason, detail);
    return POLICY_ALLOW;
}

static enum policy_decision policy_decide_digest(const struct policy_question *question,
                                                 const struct scheme *scheme,
                                                 const char **ret_reason)
{
    if (question->key_policy != KEY_POLICY_DIGEST) {
        *ret_reason = "a bare digest cannot be checked to be TLS, and `sign = digest` is not set";
        return POLICY_REFUSE_DIGEST;
    }
    if (scheme->hash != HASH_NONE && question->content.len != hash_len(scheme->hash))
        return policy_refuse(ret_reason, "the digest has not the length of the scheme's hash");
    return POLICY_ALLOW;
}

enum policy_decision policy_decide(const struct policy_question *question, const char **ret_reason)
{
    const struct scheme *scheme = scheme_find(question->scheme);

    if (!question->peer_is_served)
        return policy_refuse(ret_reason, "this user is not served");
    if (!scheme)
        return policy_refuse(ret_reason, "the signature scheme is unknown or too weak");
    if (!scheme_fits_key(scheme, question->key_type))
        return policy_refuse(ret_reason, "the signature scheme is not for a key of this type");
    if (!scheme_list_has(question->schemes, question->scheme_count, scheme->code))
        return policy_refuse_token(scheme, ret_reason);
    switch (question->kind) {
    case SIGN_KIND_TLS13:
        return policy_decide_tls13(question, scheme, ret_reason);
    case SIGN_KIND_TLS12:
        return policy_decide_tls12(question, ret_reason);
    case SIGN_KIND_DIGEST:
        return policy_decide_digest(question, scheme, ret_reason);
    default:
        return policy_refuse(ret_reason, "this kind of signature is not known to this agent");
    }
}
