/* SPDX-License-Identifier: Apache-2.0 */
/* Hashing with OpenSSL; see digest.h. */
#include "agent/digest.h"

#include <openssl/evp.h>

struct digester {
    EVP_MD_CTX *ctx;
    EVP_MD *md[HASH_SHA512 + 1];
};

static const char *const digester_names[] = {
    [HASH_SHA256] = "SHA256", [HASH_SHA384] = "SHA384", [HASH_SHA512] = "SHA512"};

struct digester *digester_free(struct digester *digester)
{
    if (!digester)
        return NULL;
    for (size_t i = HASH_SHA256; i < ARRAY_SIZE(digester->md); i++)
        EVP_MD_free(digester->md[i]);
    EVP_MD_CTX_free(digester->ctx);
    free(digester);
    return NULL;
}

struct digester *digester_new(void)
{
    _cleanup_(cleanup_digester) struct digester *digester = calloc(1, sizeof(*digester));

    if (!digester)
        return NULL;
    digester->ctx = EVP_MD_CTX_new();
    if (!digester->ctx)
        return NULL;
    for (size_t i = HASH_SHA256; i < ARRAY_SIZE(digester->md); i++) {
        digester->md[i] = EVP_MD_fetch(NULL, digester_names[i], NULL);
        if (!digester->md[i])
            return NULL;
    }
    return TAKE_PTR(digester);
}

int digester_hash(struct digester *digester, enum hash_id hash, struct wire_span message,
                  uint8_t ret_digest[static DIGEST_LEN_MAX])
{
    unsigned int len = 0;

    if (!EVP_DigestInit_ex2(digester->ctx, digester->md[hash], NULL) ||
        !EVP_DigestUpdate(digester->ctx, message.data, message.len) ||
        !EVP_DigestFinal_ex(digester->ctx, ret_digest, &len) || len != hash_len(hash))
        return -EIO;
    return 0;
}
