/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoders; see decoder.h. A decoder returns 1 when others may try as well, also when it found
 * nothing; 0 stops the decoding, and stands for a reference that is ours but leads to no key.
 */
#include "client/provider/decoder.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>
#include <string.h>

#include "client/provider/agent_key.h"
#include "client/provider/key_reference.h"
#include "client/provider/lookup.h"

#define DECODER_TRY_OTHERS 1
#define DECODER_STOP 0
#define DECODER_LINE_MAX 256u
#define DECODER_DER_MAX (64u * 1024u)

/* There is nothing to keep between calls: the provider's own context serves. */
static void *decoder_new(void *context)
{
    return context;
}

static void decoder_free(void *ctx)
{
    (void)ctx;
}

/* A reference stands for a private key. Saying no to the others keeps us out of the decoding of
 * every certificate's public key, which programs with a long list of CAs do a hundred times. */
static int decoder_does_selection(void *context, int selection)
{
    (void)context;
    return selection == 0 || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

/* Called, without a look whether it is there, when OpenSSL chose a key management that is not ours:
 * there is nothing to export, as that one could not sign. */
static int decoder_export_object(void *ctx, const void *reference, size_t reference_size,
                                 OSSL_CALLBACK *callback, void *arg)
{
    (void)reference;
    (void)reference_size;
    (void)callback;
    (void)arg;
    return provider_raise(ctx, PROVIDER_R_STATE,
                          "Activate `default` before `mtls-agent`, and exclude neither by a "
                          "property query.");
}

/* One more line of the input, or part of one that is longer than the buffer. */
static size_t decoder_get_line(const struct provider_context *context, OSSL_CORE_BIO *input,
                               char line[DECODER_LINE_MAX])
{
    int len = context->bio_gets(input, line, DECODER_LINE_MAX);

    return len > 0 ? (size_t)len : 0;
}

static bool decoder_starts_with(const char *line, size_t len, const char *text)
{
    return len >= strlen(text) && memcmp(line, text, strlen(text)) == 0;
}

/* The next PEM block, whole; what does not fit is read but not kept, which leaves a block that
 * does not parse. Its END line is the last thing read: a file may hold several blocks. */
static void decoder_read_block(const struct provider_context *context, OSSL_CORE_BIO *input,
                               struct wire_writer *block)
{
    char line[DECODER_LINE_MAX];
    size_t len = 0;

    while ((len = decoder_get_line(context, input, line)) > 0) {
        if (block->len == 0 && !decoder_starts_with(line, len, "-----BEGIN "))
            continue;
        for (size_t i = 0; i < len; i++)
            wire_put_u8(block, (uint8_t)line[i]);
        if (decoder_starts_with(line, len, "-----END "))
            return;
    }
}

/* The one key that the URI names, as its description. */
static int decoder_resolve(struct provider_context *context, const char *uri,
                           enum mtls_agent_key_type *ret_type, struct wire_span *ret_der)
{
    _cleanup_(cleanup_mtls_agent_keys) struct mtls_agent_keys *keys = NULL;

    if (!lookup_keys(context, uri, true, &keys))
        return DECODER_STOP;
    const struct mtls_agent_key *key = mtls_agent_keys_get(keys, 0);
    if (!key || agent_key_describe(key, ret_der))
        return provider_raise(context, PROVIDER_R_MEMORY, "No memory.");
    *ret_type = key->type;
    return 1;
}

static int decoder_hand_on(enum mtls_agent_key_type type, struct wire_span der,
                           OSSL_CALLBACK *callback, void *arg)
{
    char structure[] = DECODER_STRUCTURE;
    char *name = (char *)(uintptr_t)agent_key_type_name((enum key_type)type);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, name, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE, structure, 0),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, (void *)(uintptr_t)der.data,
                                          der.len),
        OSSL_PARAM_construct_end(),
    };

    return callback(params, arg);
}

static int decoder_pem_decode(void *ctx, OSSL_CORE_BIO *input, int selection,
                              OSSL_CALLBACK *callback, void *arg,
                              OSSL_PASSPHRASE_CALLBACK *passphrase_callback, void *passphrase_arg)
{
    struct provider_context *context = ctx;
    _cleanup_(cleanup_wire_writer) struct wire_writer block = {.max = KEY_REFERENCE_MAX + 1};
    _cleanup_free_ char *uri = NULL;
    enum mtls_agent_key_type type = MTLS_AGENT_KEY_RSA;
    struct wire_span der = {0};

    (void)selection;
    (void)passphrase_callback;
    (void)passphrase_arg;
    decoder_read_block(context, input, &block);
    int r = key_reference_parse_pem((const char *)block.data, block.len, &uri);
    if (r == KEY_REFERENCE_E_OTHER)
        return DECODER_TRY_OTHERS;
    if (r)
        return provider_raise(context, PROVIDER_R_REFERENCE,
                              "The key reference is damaged: write it again with `mtls key-ref`.");
    if (!decoder_resolve(context, uri, &type, &der))
        return DECODER_STOP;
    r = decoder_hand_on(type, der, callback, arg);
    free((void *)(uintptr_t)der.data);
    return r;
}

static void decoder_read_all(const struct provider_context *context, OSSL_CORE_BIO *input,
                             struct wire_writer *der)
{
    size_t len = 0;
    uint8_t bytes[1024];

    while (!der->failed && context->bio_read_ex(input, bytes, sizeof(bytes), &len) && len > 0)
        for (size_t i = 0; i < len; i++)
            wire_put_u8(der, bytes[i]);
}

static int decoder_decode(enum key_type type, void *ctx, OSSL_CORE_BIO *input,
                          OSSL_CALLBACK *callback, void *arg)
{
    struct provider_context *context = ctx;
    _cleanup_(cleanup_wire_writer) struct wire_writer der = {.max = DECODER_DER_MAX};
    _cleanup_(cleanup_agent_key) struct agent_key *key = NULL;
    int object_type = OSSL_OBJECT_PKEY;

    decoder_read_all(context, input, &der);
    if (der.failed || agent_key_from_description(context, context->agent,
                                                 (struct wire_span){der.data, der.len}, &key))
        return DECODER_TRY_OTHERS;
    if (key->public_key.type != type)
        return DECODER_TRY_OTHERS;
    char *name = (char *)(uintptr_t)agent_key_type_name(type);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &object_type),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, name, 0),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &key,
                                          AGENT_KEY_REFERENCE_LEN),
        OSSL_PARAM_construct_end(),
    };
    return callback(params, arg);
}

#define FUNCTION(id, function)                             \
    {                                                      \
        OSSL_FUNC_DECODER_##id, (void (*)(void))(function) \
    }

#define DEFINE_DECODER(name, type)                                                          \
    static int decoder_##name##_decode(                                                     \
        void *ctx, OSSL_CORE_BIO *input, int selection, OSSL_CALLBACK *callback, void *arg, \
        OSSL_PASSPHRASE_CALLBACK *passphrase_callback, void *passphrase_arg)                \
    {                                                                                       \
        (void)selection;                                                                    \
        (void)passphrase_callback;                                                          \
        (void)passphrase_arg;                                                               \
        return decoder_decode(type, ctx, input, callback, arg);                             \
    }                                                                                       \
    const OSSL_DISPATCH decoder_##name##_functions[] = {                                    \
        FUNCTION(NEWCTX, decoder_new),                                                      \
        FUNCTION(FREECTX, decoder_free),                                                    \
        FUNCTION(DOES_SELECTION, decoder_does_selection),                                   \
        FUNCTION(EXPORT_OBJECT, decoder_export_object),                                     \
        FUNCTION(DECODE, decoder_##name##_decode),                                          \
        {0, NULL},                                                                          \
    };

DEFINE_DECODER(rsa, KEY_TYPE_RSA)
DEFINE_DECODER(rsa_pss, KEY_TYPE_RSA_PSS)
DEFINE_DECODER(ec, KEY_TYPE_EC)
DEFINE_DECODER(ed25519, KEY_TYPE_ED25519)

const OSSL_DISPATCH decoder_pem_functions[] = {
    FUNCTION(NEWCTX, decoder_new),
    FUNCTION(FREECTX, decoder_free),
    FUNCTION(DOES_SELECTION, decoder_does_selection),
    FUNCTION(DECODE, decoder_pem_decode),
    {0, NULL},
};
