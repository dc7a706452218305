/* SPDX-License-Identifier: Apache-2.0 */
/* The self-test's message and its verification; see self_test.h. */
#include "client/cli/self_test.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define SELF_TEST_SPACES 64

DEFINE_CLEANUP(EVP_PKEY *, evp_pkey, EVP_PKEY_free)
DEFINE_CLEANUP(EVP_MD_CTX *, evp_md_ctx, EVP_MD_CTX_free)

static const char self_test_context[] = "TLS 1.3, client CertificateVerify";
static const char self_test_sentence[] = "mtls-agent self-test: this is no TLS handshake";

_Static_assert(SELF_TEST_SPACES + sizeof(self_test_context) + 32 == SELF_TEST_CONTENT_LEN,
               "the context's NUL is the zero byte of RFC 8446 section 4.4.3");

int self_test_content(uint8_t ret_content[static SELF_TEST_CONTENT_LEN])
{
    uint8_t *at = ret_content;

    memset(at, ' ', SELF_TEST_SPACES);
    at += SELF_TEST_SPACES;
    memcpy(at, self_test_context, sizeof(self_test_context));
    at += sizeof(self_test_context);
    if (!EVP_Digest(self_test_sentence, sizeof(self_test_sentence) - 1, at, NULL, EVP_sha256(),
                    NULL))
        return -ENOMEM;
    return 0;
}

static const char *self_test_digest_name(enum hash_id hash)
{
    switch (hash) {
    case HASH_SHA256:
        return "SHA256";
    case HASH_SHA384:
        return "SHA384";
    case HASH_SHA512:
        return "SHA512";
    case HASH_NONE:
        break;
    }
    return NULL;
}

static bool self_test_set_padding(EVP_PKEY_CTX *ctx, enum scheme_padding padding)
{
    switch (padding) {
    case PADDING_PSS:
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0;
    case PADDING_PKCS1:
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0;
    case PADDING_NONE:
        break;
    }
    return true;
}

int self_test_verify(struct mtls_agent_bytes spki, const struct scheme *scheme,
                     struct mtls_agent_bytes signature)
{
    const uint8_t *at = spki.data;
    _cleanup_(cleanup_evp_pkey) EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)spki.len);
    _cleanup_(cleanup_evp_md_ctx) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey_ctx = NULL;
    uint8_t content[SELF_TEST_CONTENT_LEN];

    int r = self_test_content(content);
    if (r)
        return r;
    if (!ctx)
        return -ENOMEM;
    if (!pkey ||
        !EVP_DigestVerifyInit_ex(ctx, &pkey_ctx, self_test_digest_name(scheme->hash), NULL, NULL,
                                 pkey, NULL) ||
        !self_test_set_padding(pkey_ctx, scheme->padding))
        return SELF_TEST_E_WRONG;
    if (EVP_DigestVerify(ctx, signature.data, signature.len, content, sizeof(content)) != 1)
        return SELF_TEST_E_WRONG;
    return 0;
}
