/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures (provider-signature(7)) with keys of the agent: one shot, update/final, and of a
 * digest. The message is collected here and goes to the agent whole, in the call that returns the
 * signature and in no other: asking for a size or initialising again costs nothing.
 */
#ifndef MTLS_PROVIDER_SIGNATURE_H
#define MTLS_PROVIDER_SIGNATURE_H

#include <openssl/core.h>

#include "client/provider/agent_key.h"

#define SIGNATURE_MESSAGE_MAX (WIRE_FRAME_MAX - 1024u) /* a SIGN frame has room for more fields */

#define SIGNATURE_RSA_NAMES "RSA:rsaEncryption:1.2.840.113549.1.1.1"
#define SIGNATURE_ECDSA_NAMES "ECDSA"
#define SIGNATURE_ED25519_NAMES "ED25519:1.3.101.112"

struct signature {
    struct provider_context *context;
    struct agent_key *key; /* owned reference; NULL before the first init */
    enum hash_id hash;     /* HASH_NONE: none was named */
    enum hash_id mgf1_hash;
    enum scheme_padding padding;
    int salt_len; /* bytes, or OpenSSL's RSA_PSS_SALTLEN_* */
    struct wire_writer message;
};

/* One table for all types: which the signature is of, the key tells. */
extern const OSSL_DISPATCH signature_functions[];

/** signature_scheme() - what the parameters come to; NULL with an entry in the error queue. */
const struct scheme *signature_scheme(const struct signature *signature);

/* signature_params.c: provider-signature(7), "Common Signature parameters" */
void signature_reset_params(struct signature *signature);
int signature_set_digest(struct signature *signature, const char *name) _must_check_;
int signature_set_ctx_params(void *ctx, const OSSL_PARAM params[]);
int signature_get_ctx_params(void *ctx, OSSL_PARAM params[]);
const OSSL_PARAM *signature_settable_ctx_params(void *ctx, void *context);
const OSSL_PARAM *signature_gettable_ctx_params(void *ctx, void *context);

#endif
