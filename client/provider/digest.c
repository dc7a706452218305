/* SPDX-License-Identifier: Apache-2.0 */
/* Digests by name, and hashing; see digest.h. */
#include "client/provider/digest.h"

#include <openssl/evp.h>
#include <strings.h>

static const struct digest_row {
    enum hash_id hash;
    const char *names[4]; /* the first is the one that is given out */
} digest_table[] = {
    {HASH_SHA256, {"SHA256", "SHA2-256", "SHA-256", "2.16.840.1.101.3.4.2.1"}},
    {HASH_SHA384, {"SHA384", "SHA2-384", "SHA-384", "2.16.840.1.101.3.4.2.2"}},
    {HASH_SHA512, {"SHA512", "SHA2-512", "SHA-512", "2.16.840.1.101.3.4.2.3"}},
};

enum hash_id digest_from_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(digest_table); i++)
        for (size_t j = 0; j < ARRAY_SIZE(digest_table[i].names); j++)
            if (strcasecmp(digest_table[i].names[j], name) == 0)
                return digest_table[i].hash;
    return HASH_NONE;
}

enum hash_id digest_from_len(size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(digest_table); i++)
        if (hash_len(digest_table[i].hash) == len)
            return digest_table[i].hash;
    return HASH_NONE;
}

const char *digest_name(enum hash_id hash)
{
    for (size_t i = 0; i < ARRAY_SIZE(digest_table); i++)
        if (digest_table[i].hash == hash)
            return digest_table[i].names[0];
    return "";
}

/* A library context of our own. Of two threads that come first together one gives way. */
static OSSL_LIB_CTX *digest_library(struct provider_context *context)
{
    OSSL_LIB_CTX *library = atomic_load(&context->hashing);

    if (library)
        return library;
    OSSL_LIB_CTX *fresh = OSSL_LIB_CTX_new();
    if (!fresh || atomic_compare_exchange_strong(&context->hashing, &library, fresh))
        return fresh;
    OSSL_LIB_CTX_free(fresh);
    return library;
}

int digest_compute(struct provider_context *context, enum hash_id hash, struct wire_span message,
                   uint8_t digest[DIGEST_LEN_MAX])
{
    OSSL_LIB_CTX *library = digest_library(context);
    EVP_MD *md = library ? EVP_MD_fetch(library, digest_name(hash), NULL) : NULL;
    int done = md && EVP_Digest(message.data, message.len, digest, NULL, md, NULL);

    EVP_MD_free(md);
    return done ? 1 : provider_raise(context, PROVIDER_R_DIGEST, "%s failed", digest_name(hash));
}
