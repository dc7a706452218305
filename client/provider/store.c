/* SPDX-License-Identifier: Apache-2.0 */
/* The store loader; see store.h. Functions return OpenSSL's 1 for success and 0 for failure. */
#include "client/provider/store.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>
#include <openssl/store.h>
#include <strings.h>

#include "client/provider/agent_key.h"
#include "client/provider/key_reference.h"
#include "client/provider/lookup.h"

/* One pass over the keys: of each the key itself, then its certificates. */
struct store {
    struct provider_context *context;
    struct mtls_agent_keys *keys; /* owned */
    int expect;                   /* OSSL_STORE_INFO_*, or 0 for everything */
    size_t key_index;
    size_t part; /* 0: the key; n: certificate number n - 1 */
};

static int store_close(void *ctx)
{
    struct store *store = ctx;

    if (!store)
        return 1;
    store->keys = mtls_agent_keys_free(store->keys);
    free(store);
    return 1;
}

static void *store_open(void *context, const char *uri)
{
    struct store *store = calloc(1, sizeof(*store));
    bool names_all = strcasecmp(uri, KEY_URI_SCHEME) == 0;

    if (!store)
        return NULL;
    store->context = context;
    if (!lookup_keys(context, uri, !names_all, &store->keys)) {
        store_close(store);
        return NULL;
    }
    return store;
}

static int store_set_ctx_params(void *ctx, const OSSL_PARAM params[])
{
    struct store *store = ctx;
    const OSSL_PARAM *expect =
        params ? OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT) : NULL;

    return !expect || OSSL_PARAM_get_int(expect, &store->expect);
}

static const OSSL_PARAM *store_settable_ctx_params(void *context)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_STORE_PARAM_EXPECT, NULL),
        OSSL_PARAM_END,
    };

    (void)context;
    return params;
}

static bool store_is_expected(const struct store *store)
{
    switch (store->expect) {
    case 0:
        return true;
    case OSSL_STORE_INFO_PKEY:
    case OSSL_STORE_INFO_PUBKEY:
        return store->part == 0;
    case OSSL_STORE_INFO_CERT:
        return store->part > 0;
    default:
        return false;
    }
}

/* The key that holds the next object to hand out, or NULL at the end. */
static const struct mtls_agent_key *store_seek(struct store *store)
{
    const struct mtls_agent_key *key = NULL;

    while ((key = mtls_agent_keys_get(store->keys, store->key_index))) {
        if (store->part > key->cert_count) {
            store->key_index++;
            store->part = 0;
            continue;
        }
        if (store_is_expected(store))
            return key;
        store->part++;
    }
    return NULL;
}

static int store_eof(void *ctx)
{
    return store_seek(ctx) == NULL;
}

static int store_hand_out_key(struct store *store, const struct mtls_agent_key *key,
                              OSSL_CALLBACK *callback, void *arg)
{
    _cleanup_(cleanup_agent_key) struct agent_key *object = NULL;
    int type = OSSL_OBJECT_PKEY;

    if (agent_key_new_private(store->context, key, &object))
        return provider_raise(store->context, PROVIDER_R_KEY,
                              "The key is of a form that this provider does not know.");
    if (store->expect == OSSL_STORE_INFO_PUBKEY) {
        struct agent_key *public_half = agent_key_new_public(object);
        (void)agent_key_unref(object);
        object = public_half;
        if (!object)
            return provider_raise(store->context, PROVIDER_R_MEMORY, "No memory.");
    }
    char *name = (char *)(uintptr_t)agent_key_type_name(object->public_key.type);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, name, 0),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &object,
                                          AGENT_KEY_REFERENCE_LEN),
        OSSL_PARAM_construct_end(),
    };
    return callback(params, arg);
}

static int store_hand_out_cert(const struct mtls_agent_bytes *cert, OSSL_CALLBACK *callback,
                               void *arg)
{
    int type = OSSL_OBJECT_CERT;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, (void *)(uintptr_t)cert->data,
                                          cert->len),
        OSSL_PARAM_construct_end(),
    };

    return callback(params, arg);
}

static int store_load(void *ctx, OSSL_CALLBACK *callback, void *arg,
                      OSSL_PASSPHRASE_CALLBACK *passphrase_callback, void *passphrase_arg)
{
    struct store *store = ctx;
    const struct mtls_agent_key *key = store_seek(store);
    size_t part = store->part;

    (void)passphrase_callback;
    (void)passphrase_arg;
    if (!key)
        return 0;
    store->part++;
    if (part == 0)
        return store_hand_out_key(store, key, callback, arg);
    return store_hand_out_cert(&key->certs[part - 1], callback, arg);
}

#define FUNCTION(id, function)                           \
    {                                                    \
        OSSL_FUNC_STORE_##id, (void (*)(void))(function) \
    }

const OSSL_DISPATCH store_functions[] = {
    FUNCTION(OPEN, store_open),
    FUNCTION(SETTABLE_CTX_PARAMS, store_settable_ctx_params),
    FUNCTION(SET_CTX_PARAMS, store_set_ctx_params),
    FUNCTION(LOAD, store_load),
    FUNCTION(EOF, store_eof),
    FUNCTION(CLOSE, store_close),
    {0, NULL},
};
