/* SPDX-License-Identifier: Apache-2.0 */
/* Verification with OpenSSL; see verify.h. */
#include "pkcs11/verify.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

const EVP_MD *verify_get_md(enum hash_id hash)
{
    switch (hash) {
    case HASH_SHA256:
        return EVP_sha256();
    case HASH_SHA384:
        return EVP_sha384();
    case HASH_SHA512:
        return EVP_sha512();
    case HASH_NONE:
        break;
    }
    return NULL;
}

static bool verify_set_padding(EVP_PKEY_CTX *ctx, const struct scheme *scheme)
{
    const EVP_MD *md = verify_get_md(scheme->hash);

    switch (scheme->padding) {
    case PADDING_NONE:
        return EVP_PKEY_CTX_set_signature_md(ctx, md) > 0;
    case PADDING_PKCS1:
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
               EVP_PKEY_CTX_set_signature_md(ctx, md) > 0;
    case PADDING_PSS:
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
               EVP_PKEY_CTX_set_signature_md(ctx, md) > 0 &&
               EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) > 0 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0;
    }
    return false;
}

void verifier_deinit(struct verifier *verifier)
{
    EVP_PKEY_CTX_free(verifier->ctx);
    *verifier = (struct verifier){0};
}

static int verifier_prepare(struct verifier *verifier, const struct public_key *key,
                            const struct scheme *scheme)
{
    if (verifier->ctx && verifier->scheme == scheme &&
        EVP_PKEY_CTX_get0_pkey(verifier->ctx) == key->pkey)
        return 0;
    verifier_deinit(verifier);
    verifier->ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
    verifier->scheme = scheme;
    if (!verifier->ctx)
        return -ENOMEM;
    return EVP_PKEY_verify_init(verifier->ctx) > 0 && verify_set_padding(verifier->ctx, scheme)
               ? 0
               : VERIFY_E_BAD;
}

static int verify_digest(struct verifier *verifier, const struct public_key *key,
                         const struct scheme *scheme, struct wire_span data,
                         struct wire_span signature)
{
    int r = verifier_prepare(verifier, key, scheme);

    if (r == 0 &&
        EVP_PKEY_verify(verifier->ctx, signature.data, signature.len, data.data, data.len) != 1)
        r = VERIFY_E_BAD;
    if (r)
        verifier_deinit(verifier); /* a failure is no state to go on from */
    return r;
}

static int verify_message(const struct public_key *key, struct wire_span data,
                          struct wire_span signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int r = VERIFY_E_BAD;

    if (!ctx)
        return -ENOMEM;
    if (EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key->pkey) > 0 &&
        EVP_DigestVerify(ctx, signature.data, signature.len, data.data, data.len) == 1)
        r = 0;
    EVP_MD_CTX_free(ctx);
    return r;
}

int verify_signature(struct verifier *verifier, const struct public_key *key,
                     const struct scheme *scheme, struct wire_span data, struct wire_span signature)
{
    int r = scheme->hash == HASH_NONE ? verify_message(key, data, signature)
                                      : verify_digest(verifier, key, scheme, data, signature);

    if (r)
        ERR_clear_error();
    return r;
}
