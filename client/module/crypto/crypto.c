/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PKCS#11 module's part for libcrypto: its start, and hashing; see crypto.h.
 * OPENSSL_init_crypto() is never called here: whether the configuration is loaded and what runs at
 * exit belongs to the program, and either may be decided once only in a process.
 */
#include "client/module/crypto/internal.h"

#include <openssl/provider.h>
#include <stdatomic.h>
#include <string.h>

static _Atomic(struct crypto_library *) crypto_library;

struct crypto_hash {
    EVP_MD_CTX *ctx;
    size_t len; /* of the digest */
};

static struct crypto_hash *crypto_hash_free(struct crypto_hash *state)
{
    if (!state)
        return NULL;
    EVP_MD_CTX_free(state->ctx);
    free(state);
    return NULL;
}

DEFINE_CLEANUP(struct crypto_hash *, crypto_hash, crypto_hash_free)

static struct crypto_hash *crypto_hash_new(enum hash_id hash)
{
    CRYPTO_KEEP_ERRORS();
    _cleanup_(cleanup_crypto_hash) struct crypto_hash *state = NULL;

    if (hash_len(hash) == 0)
        return NULL;
    state = calloc(1, sizeof(*state));
    if (!state)
        return NULL;
    state->len = hash_len(hash);
    state->ctx = EVP_MD_CTX_new();
    if (!state->ctx || !EVP_DigestInit_ex2(state->ctx, crypto_library_get()->md[hash], NULL))
        return NULL;
    return TAKE_PTR(state);
}

static int crypto_hash_update(struct crypto_hash *state, struct wire_span data)
{
    CRYPTO_KEEP_ERRORS();

    return EVP_DigestUpdate(state->ctx, data.data, data.len) ? 0 : -EIO;
}

static int crypto_hash_final(struct crypto_hash *state, uint8_t ret_digest[static DIGEST_LEN_MAX])
{
    CRYPTO_KEEP_ERRORS();
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;

    if (!EVP_DigestFinal_ex(state->ctx, digest, &len) || len != state->len)
        return -EIO;
    memcpy(ret_digest, digest, len);
    return 0;
}

static void crypto_library_free(struct crypto_library *library)
{
    for (size_t i = 0; i < CRYPTO_HASH_COUNT; i++)
        EVP_MD_free(library->md[i]);
    OSSL_LIB_CTX_free(library->context);
    free(library);
}

DEFINE_CLEANUP(struct crypto_library *, crypto_library, crypto_library_free)

static struct crypto_library *crypto_library_new(void)
{
    static const char *const names[CRYPTO_HASH_COUNT] = {
        [HASH_SHA256] = "SHA256", [HASH_SHA384] = "SHA384", [HASH_SHA512] = "SHA512"};
    _cleanup_(cleanup_crypto_library) struct crypto_library *library = calloc(1, sizeof(*library));

    if (!library)
        return NULL;
    library->context = OSSL_LIB_CTX_new();
    if (!library->context || !OSSL_PROVIDER_load(library->context, "default"))
        return NULL;
    for (size_t i = HASH_SHA256; i < CRYPTO_HASH_COUNT; i++) {
        library->md[i] = EVP_MD_fetch(library->context, names[i], NULL);
        if (!library->md[i])
            return NULL;
    }
    return TAKE_PTR(library);
}

const struct crypto_library *crypto_library_get(void)
{
    return atomic_load(&crypto_library);
}

/*
 * No lock: what the program's configuration loads may come back to the PKCS#11 module on this very
 * thread. Of two that come first together one gives way.
 */
static bool crypto_library_is_ready(void)
{
    CRYPTO_KEEP_ERRORS();
    struct crypto_library *other = NULL;

    if (atomic_load(&crypto_library))
        return true;
    _cleanup_(cleanup_crypto_library) struct crypto_library *fresh = crypto_library_new();
    if (fresh && atomic_compare_exchange_strong(&crypto_library, &other, fresh))
        (void)TAKE_PTR(fresh);
    return atomic_load(&crypto_library) != NULL;
}

const struct module_crypto *mtls_agent_module_crypto_0(void)
{
    static const struct module_crypto functions = {
        .hash_new = crypto_hash_new,
        .hash_update = crypto_hash_update,
        .hash_final = crypto_hash_final,
        .hash_free = crypto_hash_free,
        .verify = crypto_verify,
    };

    return crypto_library_is_ready() ? &functions : NULL;
}
