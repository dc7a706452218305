/* SPDX-License-Identifier: Apache-2.0 */
/* Making signatures; see signature.h. Functions return OpenSSL's 1 for success and 0 for failure.
 */
#include "client/provider/signature.h"

#include <openssl/core_dispatch.h>
#include <string.h>

#include "client/lib/tls_message.h"
#include "client/provider/digest.h"

static void *signature_new(void *context, const char *properties)
{
    struct signature *signature = calloc(1, sizeof(*signature));

    (void)properties;
    if (!signature)
        return NULL;
    signature->context = context;
    wire_writer_init(&signature->message, SIGNATURE_MESSAGE_MAX);
    return signature;
}

static void signature_free(void *ctx)
{
    struct signature *signature = ctx;

    if (!signature)
        return;
    (void)agent_key_unref(signature->key);
    wire_writer_deinit(&signature->message);
    free(signature);
}

static int signature_append(struct signature *signature, const void *data, size_t len)
{
    struct wire_writer *message = &signature->message;
    const uint8_t *at = data;

    if (len > SIGNATURE_MESSAGE_MAX - message->len)
        return provider_raise(signature->context, PROVIDER_R_MESSAGE,
                              "The message is longer than %u bytes: no TLS handshake is.",
                              SIGNATURE_MESSAGE_MAX);
    for (size_t i = 0; i < len; i++)
        wire_put_u8(message, at[i]);
    return message->failed ? provider_raise(signature->context, PROVIDER_R_MEMORY, "No memory.")
                           : 1;
}

static void *signature_dup(void *ctx)
{
    const struct signature *from = ctx;
    struct signature *copy = signature_new(from->context, NULL);

    if (!copy)
        return NULL;
    struct wire_writer message = copy->message;
    *copy = *from;
    copy->message = message;
    if (copy->key)
        copy->key = agent_key_ref(copy->key);
    if (!signature_append(copy, from->message.data, from->message.len)) {
        signature_free(copy);
        return NULL;
    }
    return copy;
}

/* Common part of both inits. A key of another type forgets the parameters, anything else keeps
 * them: a program may set them before it initialises again. */
static int signature_init(struct signature *signature, struct agent_key *key,
                          const OSSL_PARAM params[])
{
    wire_writer_reset(&signature->message);
    if (key) {
        bool is_same_type =
            signature->key && signature->key->public_key.type == key->public_key.type;
        struct agent_key *old = signature->key;
        signature->key = agent_key_ref(key);
        (void)agent_key_unref(old);
        if (!is_same_type)
            signature_reset_params(signature);
    }
    if (!signature->key)
        return provider_raise(signature->context, PROVIDER_R_STATE, "No key was given.");
    if (!agent_key_is_private(signature->key))
        return provider_raise(signature->context, PROVIDER_R_KEY, "This is a public key.");
    return signature_set_ctx_params(signature, params);
}

static int signature_digest_sign_init(void *ctx, const char *digest, void *key,
                                      const OSSL_PARAM params[])
{
    struct signature *signature = ctx;

    if (!signature || !signature_init(signature, key, NULL))
        return 0;
    const struct public_key *public_key = &signature->key->public_key;
    if (digest && *digest) {
        if (!signature_set_digest(signature, digest))
            return 0;
    } else if (public_key->type != KEY_TYPE_ED25519 && signature->hash == HASH_NONE) {
        signature->hash = public_key->pss_hash ? public_key->pss_hash : HASH_SHA256;
    }
    return signature_set_ctx_params(signature, params);
}

static int signature_digest_sign_update(void *ctx, const unsigned char *data, size_t len)
{
    struct signature *signature = ctx;

    return signature && signature->key ? signature_append(signature, data, len) : 0;
}

static int signature_get_size(const struct signature *signature, size_t *ret_len)
{
    if (!signature || !signature->key)
        return 0;
    *ret_len = public_key_signature_max(&signature->key->public_key);
    return 1;
}

/* The one place from which the agent is asked to sign. */
static int signature_ask(struct signature *signature, const struct scheme *scheme,
                         enum mtls_agent_kind kind, struct wire_span content, unsigned char *sig,
                         size_t *sig_len, size_t sig_size)
{
    const struct agent_key *key = signature->key;
    struct mtls_agent_error error = {0};

    /* Refused before the agent is asked: a touch of a token is not spent on it. */
    if (sig_size < public_key_signature_max(&key->public_key))
        return provider_raise(signature->context, PROVIDER_R_BUFFER,
                              "The signature needs %zu bytes of room.",
                              public_key_signature_max(&key->public_key));
    int saved_errno = errno;
    int r = mtls_agent_sign(key->agent, key->hash, scheme->code, kind, content.data, content.len,
                            sig, sig_size, sig_len, &error);
    /* Some programs take errno for the reason; the reason is in OpenSSL's queue. */
    errno = saved_errno;
    if (r)
        return provider_raise_agent(signature->context, &error);
    return 1;
}

static int signature_of_message(struct signature *signature, struct wire_span message,
                                unsigned char *sig, size_t *sig_len, size_t sig_size)
{
    const struct scheme *scheme = signature_scheme(signature);
    enum mtls_agent_kind kind = tls_message_kind(message);
    uint8_t digest[DIGEST_LEN_MAX];

    if (!scheme)
        return 0;
    if (message.len > SIGNATURE_MESSAGE_MAX)
        return provider_raise(signature->context, PROVIDER_R_MESSAGE,
                              "The message is longer than %u bytes: no TLS handshake is.",
                              SIGNATURE_MESSAGE_MAX);
    if (kind == MTLS_AGENT_DIGEST && scheme->hash != HASH_NONE) {
        if (!digest_compute(signature->context, scheme->hash, message, digest))
            return 0;
        message = (struct wire_span){digest, hash_len(scheme->hash)};
    }
    return signature_ask(signature, scheme, kind, message, sig, sig_len, sig_size);
}

static int signature_digest_sign_final(void *ctx, unsigned char *sig, size_t *sig_len,
                                       size_t sig_size)
{
    struct signature *signature = ctx;

    if (!sig)
        return signature_get_size(signature, sig_len);
    if (!signature || !signature->key)
        return 0;
    struct wire_span message = {signature->message.data, signature->message.len};
    return signature_of_message(signature, message, sig, sig_len, sig_size);
}

static int signature_digest_sign(void *ctx, unsigned char *sig, size_t *sig_len, size_t sig_size,
                                 const unsigned char *data, size_t len)
{
    struct signature *signature = ctx;

    if (!sig)
        return signature_get_size(signature, sig_len);
    if (!signature || !signature->key)
        return 0;
    return signature_of_message(signature, (struct wire_span){data, len}, sig, sig_len, sig_size);
}

static int signature_sign_init(void *ctx, void *key, const OSSL_PARAM params[])
{
    return ctx ? signature_init(ctx, key, params) : 0;
}

/* Of a digest that the program made. Its length tells the hash where none was named. */
static int signature_sign(void *ctx, unsigned char *sig, size_t *sig_len, size_t sig_size,
                          const unsigned char *digest, size_t len)
{
    struct signature *signature = ctx;

    if (!sig)
        return signature_get_size(signature, sig_len);
    if (!signature || !signature->key)
        return 0;
    enum key_type type = signature->key->public_key.type;
    enum hash_id named = signature->hash;
    if (type == KEY_TYPE_EC && named == HASH_NONE)
        signature->hash = digest_from_len(len);
    const struct scheme *scheme = signature_scheme(signature);
    signature->hash = named;
    if (!scheme)
        return 0;
    if (scheme->hash != HASH_NONE && hash_len(scheme->hash) != len)
        return provider_raise(signature->context, PROVIDER_R_MESSAGE,
                              "%zu bytes are no digest of %s.", len, digest_name(scheme->hash));
    return signature_ask(signature, scheme, MTLS_AGENT_DIGEST, (struct wire_span){digest, len}, sig,
                         sig_len, sig_size);
}

#define FUNCTION(id, function)                               \
    {                                                        \
        OSSL_FUNC_SIGNATURE_##id, (void (*)(void))(function) \
    }

const OSSL_DISPATCH signature_functions[] = {
    FUNCTION(NEWCTX, signature_new),
    FUNCTION(FREECTX, signature_free),
    FUNCTION(DUPCTX, signature_dup),
    FUNCTION(SIGN_INIT, signature_sign_init),
    FUNCTION(SIGN, signature_sign),
    FUNCTION(DIGEST_SIGN_INIT, signature_digest_sign_init),
    FUNCTION(DIGEST_SIGN_UPDATE, signature_digest_sign_update),
    FUNCTION(DIGEST_SIGN_FINAL, signature_digest_sign_final),
    FUNCTION(DIGEST_SIGN, signature_digest_sign),
    FUNCTION(GET_CTX_PARAMS, signature_get_ctx_params),
    FUNCTION(GETTABLE_CTX_PARAMS, signature_gettable_ctx_params),
    FUNCTION(SET_CTX_PARAMS, signature_set_ctx_params),
    FUNCTION(SETTABLE_CTX_PARAMS, signature_settable_ctx_params),
    {0, NULL},
};
