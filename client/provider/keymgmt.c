/* SPDX-License-Identifier: Apache-2.0 */
/* Key management; see keymgmt.h. Functions return OpenSSL's 1 for success and 0 for failure. */
#include "client/provider/keymgmt.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>

#include "client/provider/agent_key.h"

static void keymgmt_free(void *keydata)
{
    (void)agent_key_unref(keydata);
}

static int keymgmt_has(const void *keydata, int selection)
{
    const struct agent_key *key = keydata;

    if (!key)
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) && !agent_key_is_private(key))
        return 0;
    if ((selection & (OSSL_KEYMGMT_SELECT_PUBLIC_KEY | OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS)) &&
        key->public_key.bits == 0)
        return 0;
    return 1;
}

static int keymgmt_match(const void *keydata1, const void *keydata2, int selection)
{
    const struct agent_key *a = keydata1;
    const struct agent_key *b = keydata2;

    if (selection & OSSL_KEYMGMT_SELECT_KEYPAIR)
        return public_key_is_equal(&a->public_key, &b->public_key);
    return a->public_key.curve == b->public_key.curve;
}

static int keymgmt_validate(const void *keydata, int selection, int checktype)
{
    (void)checktype;
    return keymgmt_has(keydata, selection);
}

static void *keymgmt_load(enum key_type type, const void *reference, size_t reference_size)
{
    struct agent_key **key = (struct agent_key **)(uintptr_t)reference;

    if (!key || reference_size != AGENT_KEY_REFERENCE_LEN || !*key ||
        (*key)->public_key.type != type)
        return NULL;
    return TAKE_PTR(*key);
}

static void *keymgmt_dup(const void *keydata, int selection)
{
    /* The only thing written is the reference count. */
    struct agent_key *key = (struct agent_key *)(uintptr_t)keydata;

    if (!(selection & OSSL_KEYMGMT_SELECT_KEYPAIR))
        return NULL;
    if (agent_key_is_private(key) && !(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY))
        return agent_key_new_public(key);
    return agent_key_ref(key);
}

/* A key of libmtls-agent, by the handle of its agent. */
static int keymgmt_import_description(struct agent_key *key, const OSSL_PARAM *agent,
                                      const OSSL_PARAM *description)
{
    const void *handle = NULL;
    const void *data = NULL;
    size_t len = 0;
    _cleanup_(cleanup_agent_key) struct agent_key *made = NULL;

    if (!OSSL_PARAM_get_octet_ptr(agent, &handle, &len) || !handle ||
        !OSSL_PARAM_get_octet_string_ptr(description, &data, &len))
        return 0;
    int r = agent_key_from_description(key->context, (struct mtls_agent *)(uintptr_t)handle,
                                       (struct wire_span){data, len}, &made);
    if (r || made->public_key.type != key->public_key.type)
        return provider_raise(key->context, PROVIDER_R_KEY, "Keys of this form are not known.");
    key->agent = made->agent;
    memcpy(key->hash, made->hash, sizeof(key->hash));
    key->public_key = made->public_key;
    made->public_key = (struct public_key){0};
    return 1;
}

static int keymgmt_import(void *keydata, int selection, const OSSL_PARAM params[])
{
    struct agent_key *key = keydata;
    const OSSL_PARAM *agent = OSSL_PARAM_locate_const(params, KEYMGMT_PARAM_AGENT);
    const OSSL_PARAM *description = OSSL_PARAM_locate_const(params, KEYMGMT_PARAM_KEY);

    if (!key || key->public_key.bits != 0 || !(selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY))
        return 0;
    if (key->context->is_library && agent && description)
        return keymgmt_import_description(key, agent, description);
    return public_key_import(key->public_key.type, params, &key->public_key) == 0;
}

static int keymgmt_export(void *keydata, int selection, OSSL_CALLBACK *callback, void *arg)
{
    const struct agent_key *key = keydata;

    if (!key || key->public_key.bits == 0)
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) && agent_key_is_private(key))
        return 0;
    if (!(selection & (OSSL_KEYMGMT_SELECT_PUBLIC_KEY | OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS)))
        return 0;
    return public_key_export(&key->public_key, callback, arg);
}

static int keymgmt_get_params(void *keydata, OSSL_PARAM params[])
{
    const struct agent_key *key = keydata;

    return key ? public_key_get_params(&key->public_key, params) : 0;
}

/* RSA-PSS keys sign with RSA, EC keys with ECDSA; Ed25519 has one name for both. */
static const char *keymgmt_operation_name(enum key_type type)
{
    if (type == KEY_TYPE_EC)
        return "ECDSA";
    return type == KEY_TYPE_ED25519 ? "ED25519" : "RSA";
}

#define FUNCTION(id, function)                             \
    {                                                      \
        OSSL_FUNC_KEYMGMT_##id, (void (*)(void))(function) \
    }

/* The functions of one type are the ones above, but for those that have no key to ask. */
#define DEFINE_KEYMGMT(name, type)                                                                \
    static void *keymgmt_##name##_new(void *context)                                              \
    {                                                                                             \
        return agent_key_new(context, type);                                                      \
    }                                                                                             \
    static void *keymgmt_##name##_load(const void *reference, size_t size)                        \
    {                                                                                             \
        return keymgmt_load(type, reference, size);                                               \
    }                                                                                             \
    static const char *keymgmt_##name##_operation_name(int operation)                             \
    {                                                                                             \
        (void)operation;                                                                          \
        return keymgmt_operation_name(type);                                                      \
    }                                                                                             \
    static const OSSL_PARAM *keymgmt_##name##_types(int selection)                                \
    {                                                                                             \
        return selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY ? public_key_import_types(type) : NULL; \
    }                                                                                             \
    static const OSSL_PARAM *keymgmt_##name##_gettable_params(void *context)                      \
    {                                                                                             \
        (void)context;                                                                            \
        return public_key_gettable_params(type);                                                  \
    }                                                                                             \
    const OSSL_DISPATCH keymgmt_##name##_functions[] = {                                          \
        FUNCTION(NEW, keymgmt_##name##_new),                                                      \
        FUNCTION(FREE, keymgmt_free),                                                             \
        FUNCTION(LOAD, keymgmt_##name##_load),                                                    \
        FUNCTION(HAS, keymgmt_has),                                                               \
        FUNCTION(MATCH, keymgmt_match),                                                           \
        FUNCTION(VALIDATE, keymgmt_validate),                                                     \
        FUNCTION(DUP, keymgmt_dup),                                                               \
        FUNCTION(IMPORT, keymgmt_import),                                                         \
        FUNCTION(IMPORT_TYPES, keymgmt_##name##_types),                                           \
        FUNCTION(EXPORT, keymgmt_export),                                                         \
        FUNCTION(EXPORT_TYPES, keymgmt_##name##_types),                                           \
        FUNCTION(GET_PARAMS, keymgmt_get_params),                                                 \
        FUNCTION(GETTABLE_PARAMS, keymgmt_##name##_gettable_params),                              \
        FUNCTION(QUERY_OPERATION_NAME, keymgmt_##name##_operation_name),                          \
        {0, NULL},                                                                                \
    };

DEFINE_KEYMGMT(rsa, KEY_TYPE_RSA)
DEFINE_KEYMGMT(rsa_pss, KEY_TYPE_RSA_PSS)
DEFINE_KEYMGMT(ec, KEY_TYPE_EC)
DEFINE_KEYMGMT(ed25519, KEY_TYPE_ED25519)
