/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters of a signature, and the TLS scheme that they come to; see signature.h. They may come
 * in any order and before the digest is known, so they are only judged together, by
 * signature_scheme().
 */
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <string.h>

#include "client/provider/algorithm_id.h"
#include "client/provider/digest.h"
#include "client/provider/signature.h"

static bool signature_is_rsa(const struct signature *signature)
{
    enum key_type type = signature->key->public_key.type;

    return type == KEY_TYPE_RSA || type == KEY_TYPE_RSA_PSS;
}

void signature_reset_params(struct signature *signature)
{
    enum key_type type = signature->key->public_key.type;

    signature->hash = HASH_NONE;
    signature->mgf1_hash = HASH_NONE;
    signature->salt_len = RSA_PSS_SALTLEN_DIGEST;
    signature->padding = type == KEY_TYPE_RSA       ? PADDING_PKCS1
                         : type == KEY_TYPE_RSA_PSS ? PADDING_PSS
                                                    : PADDING_NONE;
}

int signature_set_digest(struct signature *signature, const char *name)
{
    const struct public_key *key = &signature->key->public_key;
    enum hash_id hash = digest_from_name(name);

    if (key->type == KEY_TYPE_ED25519)
        return *name == '\0' ? 1
                             : provider_raise(signature->context, PROVIDER_R_DIGEST,
                                              "Ed25519 takes no digest, not even %s.", name);
    if (hash == HASH_NONE)
        return provider_raise(signature->context, PROVIDER_R_DIGEST,
                              "%s is not among SHA256, SHA384 and SHA512.", name);
    if (key->pss_hash != HASH_NONE && key->pss_hash != hash)
        return provider_raise(signature->context, PROVIDER_R_DIGEST,
                              "This RSA-PSS key is for %s alone.", digest_name(key->pss_hash));
    signature->hash = hash;
    return 1;
}

static bool signature_salt_fits(const struct signature *signature)
{
    int salt_len = signature->salt_len;

    /* OpenSSL 3.1's "auto-digestmax" is the digest's length wherever that fits. */
    return salt_len == RSA_PSS_SALTLEN_DIGEST || salt_len == -4 ||
           salt_len == (int)hash_len(signature->hash);
}

const struct scheme *signature_scheme(const struct signature *signature)
{
    const struct public_key *key = &signature->key->public_key;
    bool is_pss = signature->padding == PADDING_PSS;
    uint32_t codes[SCHEMES_MAX];
    size_t count = scheme_list_for_key(key->type, key->bits, codes);

    if (is_pss && !signature_salt_fits(signature)) {
        provider_raise(signature->context, PROVIDER_R_SALT,
                       "Only salts as long as the digest are supported, as in TLS.");
        return NULL;
    }
    if (is_pss && signature->mgf1_hash != HASH_NONE && signature->mgf1_hash != signature->hash) {
        provider_raise(signature->context, PROVIDER_R_DIGEST,
                       "Only MGF1 with the digest of the signature is supported, as in TLS.");
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        const struct scheme *scheme = scheme_find(codes[i]);
        if (scheme && scheme->hash == signature->hash && scheme->padding == signature->padding)
            return scheme;
    }
    provider_raise(signature->context, PROVIDER_R_PADDING,
                   "No TLS signature scheme fits the key, the padding and the digest.");
    return NULL;
}

static int signature_set_padding(struct signature *signature, const OSSL_PARAM *param)
{
    const char *name = "";
    int number = 0;

    if (param->data_type == OSSL_PARAM_UTF8_STRING) {
        if (!OSSL_PARAM_get_utf8_string_ptr(param, &name))
            return 0;
    } else if (!OSSL_PARAM_get_int(param, &number)) {
        return 0;
    }
    if (number == RSA_PKCS1_PSS_PADDING || strcmp(name, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0) {
        signature->padding = PADDING_PSS;
        return 1;
    }
    bool is_pkcs1 =
        number == RSA_PKCS1_PADDING || strcmp(name, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0;
    if (is_pkcs1 && signature->key->public_key.type == KEY_TYPE_RSA) {
        signature->padding = PADDING_PKCS1;
        return 1;
    }
    return provider_raise(signature->context, PROVIDER_R_PADDING, "The key signs with PSS%s alone.",
                          signature->key->public_key.type == KEY_TYPE_RSA ? " and PKCS#1 v1.5"
                                                                          : "");
}

static int signature_set_salt(struct signature *signature, const OSSL_PARAM *param)
{
    static const struct {
        const char *name;
        int salt_len;
    } names[] = {
        {OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST, RSA_PSS_SALTLEN_DIGEST},
        {OSSL_PKEY_RSA_PSS_SALT_LEN_MAX, RSA_PSS_SALTLEN_MAX},
        {OSSL_PKEY_RSA_PSS_SALT_LEN_AUTO, RSA_PSS_SALTLEN_AUTO},
        {"auto-digestmax", -4},
    };
    const char *name = NULL;
    char *end = NULL;

    if (param->data_type != OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_get_int(param, &signature->salt_len);
    if (!OSSL_PARAM_get_utf8_string_ptr(param, &name))
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(names[i].name, name) == 0) {
            signature->salt_len = names[i].salt_len;
            return 1;
        }
    }
    long salt_len = strtol(name, &end, 10);
    if (end == name || *end || salt_len < 0 || salt_len > 1024)
        return provider_raise(signature->context, PROVIDER_R_SALT, "\"%s\" is no salt length.",
                              name);
    signature->salt_len = (int)salt_len;
    return 1;
}

static int signature_set_mgf1(struct signature *signature, const OSSL_PARAM *param)
{
    const char *name = NULL;

    if (!OSSL_PARAM_get_utf8_string_ptr(param, &name))
        return 0;
    signature->mgf1_hash = digest_from_name(name);
    return signature->mgf1_hash != HASH_NONE
               ? 1
               : provider_raise(signature->context, PROVIDER_R_DIGEST,
                                "%s is not among SHA256, SHA384 and SHA512.", name);
}

int signature_set_ctx_params(void *ctx, const OSSL_PARAM params[])
{
    struct signature *signature = ctx;

    if (!params)
        return 1;
    if (!signature || !signature->key)
        return 0;
    const OSSL_PARAM *digest = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_DIGEST);
    const char *name = NULL;
    if (digest &&
        (!OSSL_PARAM_get_utf8_string_ptr(digest, &name) || !signature_set_digest(signature, name)))
        return 0;
    if (!signature_is_rsa(signature))
        return 1;
    const OSSL_PARAM *padding = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
    const OSSL_PARAM *salt = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
    const OSSL_PARAM *mgf1 = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_MGF1_DIGEST);
    return (!padding || signature_set_padding(signature, padding)) &&
           (!salt || signature_set_salt(signature, salt)) &&
           (!mgf1 || signature_set_mgf1(signature, mgf1));
}

static int signature_get_padding(const struct signature *signature, OSSL_PARAM *param)
{
    bool is_pss = signature->padding == PADDING_PSS;

    if (param->data_type == OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_set_utf8_string(param, is_pss ? OSSL_PKEY_RSA_PAD_MODE_PSS
                                                        : OSSL_PKEY_RSA_PAD_MODE_PKCSV15);
    return OSSL_PARAM_set_int(param, is_pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING);
}

static int signature_get_salt(const struct signature *signature, OSSL_PARAM *param)
{
    char text[16];

    if (param->data_type != OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_set_int(param, signature->salt_len);
    if (signature->salt_len < 0)
        return OSSL_PARAM_set_utf8_string(param, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST);
    (void)snprintf(text, sizeof(text), "%d", signature->salt_len);
    return OSSL_PARAM_set_utf8_string(param, text);
}

int signature_get_ctx_params(void *ctx, OSSL_PARAM params[])
{
    struct signature *signature = ctx;

    if (!signature || !signature->key)
        return 0;
    enum hash_id mgf1_hash = signature->mgf1_hash ? signature->mgf1_hash : signature->hash;
    OSSL_PARAM *id = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_ALGORITHM_ID);
    OSSL_PARAM *digest = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_DIGEST);
    OSSL_PARAM *padding = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
    OSSL_PARAM *salt = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
    OSSL_PARAM *mgf1 = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_MGF1_DIGEST);

    if (id) {
        const struct scheme *scheme = signature_scheme(signature);
        struct wire_span der = scheme ? algorithm_id_of_scheme(scheme) : (struct wire_span){0};
        if (der.len == 0 || !OSSL_PARAM_set_octet_string(id, der.data, der.len))
            return 0;
    }
    return (!digest || OSSL_PARAM_set_utf8_string(digest, digest_name(signature->hash))) &&
           (!padding || signature_get_padding(signature, padding)) &&
           (!salt || signature_get_salt(signature, salt)) &&
           (!mgf1 || OSSL_PARAM_set_utf8_string(mgf1, digest_name(mgf1_hash)));
}

#define RSA_PARAMS                                                         \
    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),        \
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),      \
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0), \
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0)

/* OpenSSL asks before there is a key, too; the list of RSA has all. */
const OSSL_PARAM *signature_settable_ctx_params(void *ctx, void *context)
{
    static const OSSL_PARAM rsa[] = {RSA_PARAMS, OSSL_PARAM_END};
    static const OSSL_PARAM others[] = {
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_END,
    };
    const struct signature *signature = ctx;

    (void)context;
    return signature && signature->key && !signature_is_rsa(signature) ? others : rsa;
}

const OSSL_PARAM *signature_gettable_ctx_params(void *ctx, void *context)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
        RSA_PARAMS,
        OSSL_PARAM_END,
    };

    (void)ctx;
    (void)context;
    return params;
}
