/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys as OpenSSL parameters, in and out; see public_key.h. Names are those of the default
 * provider (provider-keymgmt(7), EVP_PKEY-RSA(7), EVP_PKEY-EC(7), EVP_PKEY-ED25519(7)). */
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <string.h>

#include "client/provider/digest.h"
#include "client/provider/public_key.h"

#define ENCODING_NAMED_CURVE "named_curve"
#define FORMAT_UNCOMPRESSED "uncompressed"
#define FIELD_PRIME "prime-field"

static bool public_key_has_param(const OSSL_PARAM params[], const char *name)
{
    return OSSL_PARAM_locate_const(params, name) != NULL;
}

static int public_key_import_rsa(const OSSL_PARAM params[], struct public_key *key)
{
    const OSSL_PARAM *n = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_N);
    const OSSL_PARAM *e = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_E);

    if (!n || !e || public_key_has_param(params, OSSL_PKEY_PARAM_RSA_D) ||
        !OSSL_PARAM_get_BN(n, &key->n) || !OSSL_PARAM_get_BN(e, &key->e))
        return PUBLIC_KEY_E_UNSUPPORTED;
    key->bits = (unsigned int)BN_num_bits(key->n);
    return key->bits > PUBLIC_KEY_RSA_BITS_MAX ? PUBLIC_KEY_E_UNSUPPORTED : 0;
}

static int public_key_import_point(const OSSL_PARAM params[], struct public_key *key)
{
    const OSSL_PARAM *point = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PUB_KEY);
    void *room = key->point;

    if (!point || public_key_has_param(params, OSSL_PKEY_PARAM_PRIV_KEY) ||
        !OSSL_PARAM_get_octet_string(point, &room, sizeof(key->point), &key->point_len) ||
        key->point_len == 0)
        return PUBLIC_KEY_E_UNSUPPORTED;
    return 0;
}

static int public_key_import_ec(const OSSL_PARAM params[], struct public_key *key)
{
    const OSSL_PARAM *group = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_GROUP_NAME);
    const char *name = NULL;

    if (!group || !OSSL_PARAM_get_utf8_string_ptr(group, &name) ||
        public_key_import_point(params, key))
        return PUBLIC_KEY_E_UNSUPPORTED;
    key->curve = curve_from_name(name);
    if (!key->curve)
        return PUBLIC_KEY_E_UNSUPPORTED;
    bool is_whole = key->point[0] == 4 && key->point_len == 1 + 2 * key->curve->field_len;
    bool is_compressed =
        (key->point[0] == 2 || key->point[0] == 3) && key->point_len == 1 + key->curve->field_len;
    if (!is_whole && !is_compressed)
        return PUBLIC_KEY_E_UNSUPPORTED;
    key->bits = key->curve->bits;
    return 0;
}

static int public_key_import_ed25519(const OSSL_PARAM params[], struct public_key *key)
{
    if (public_key_import_point(params, key) || key->point_len != PUBLIC_KEY_ED25519_LEN)
        return PUBLIC_KEY_E_UNSUPPORTED;
    key->bits = 256;
    return 0;
}

int public_key_import(enum key_type type, const OSSL_PARAM params[], struct public_key *ret_key)
{
    struct public_key key = {.type = type};
    int r = PUBLIC_KEY_E_UNSUPPORTED;

    if (type == KEY_TYPE_RSA || type == KEY_TYPE_RSA_PSS)
        r = public_key_import_rsa(params, &key);
    else if (type == KEY_TYPE_EC)
        r = public_key_import_ec(params, &key);
    else if (type == KEY_TYPE_ED25519)
        r = public_key_import_ed25519(params, &key);
    if (r) {
        public_key_deinit(&key);
        return r;
    }
    *ret_key = key;
    return 0;
}

const OSSL_PARAM *public_key_import_types(enum key_type type)
{
    static const OSSL_PARAM rsa[] = {
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
        OSSL_PARAM_END,
    };
    static const OSSL_PARAM ec[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
        OSSL_PARAM_END,
    };
    static const OSSL_PARAM ed25519[] = {
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
        OSSL_PARAM_END,
    };

    if (type == KEY_TYPE_EC)
        return ec;
    return type == KEY_TYPE_ED25519 ? ed25519 : rsa;
}

/* What restricts an RSA-PSS key goes along with it. */
static int public_key_push_pss(const struct public_key *key, OSSL_PARAM_BLD *builder)
{
    const char *hash = digest_name(key->pss_hash);

    if (key->pss_hash == HASH_NONE)
        return 1;
    return OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_RSA_DIGEST, hash, 0) &&
           OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_RSA_MASKGENFUNC, "MGF1", 0) &&
           OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_RSA_MGF1_DIGEST, hash, 0) &&
           OSSL_PARAM_BLD_push_int(builder, OSSL_PKEY_PARAM_RSA_PSS_SALTLEN, key->pss_salt_len);
}

static int public_key_push(const struct public_key *key, OSSL_PARAM_BLD *builder)
{
    switch (key->type) {
    case KEY_TYPE_RSA:
    case KEY_TYPE_RSA_PSS:
        return OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, key->n) &&
               OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, key->e) &&
               public_key_push_pss(key, builder);
    case KEY_TYPE_EC:
        return OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME,
                                               key->curve->name, 0) &&
               OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, key->point,
                                                key->point_len);
    case KEY_TYPE_ED25519:
        return OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, key->point,
                                                key->point_len);
    }
    return 0;
}

int public_key_export(const struct public_key *key, OSSL_CALLBACK *callback, void *arg)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    int done = 0;

    if (builder && public_key_push(key, builder))
        params = OSSL_PARAM_BLD_to_param(builder);
    if (params)
        done = callback(params, arg);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    return done;
}

static int public_key_security_bits(const struct public_key *key)
{
    switch (key->type) {
    case KEY_TYPE_RSA:
    case KEY_TYPE_RSA_PSS:
        return BN_security_bits((int)key->bits, -1);
    case KEY_TYPE_EC:
        return key->bits >= 512 ? 256 : (int)key->bits / 2;
    case KEY_TYPE_ED25519:
        return 128;
    }
    return 0;
}

/* Setters that leave alone what was not asked for. */
static int public_key_set_int(OSSL_PARAM params[], const char *name, int value)
{
    OSSL_PARAM *param = OSSL_PARAM_locate(params, name);

    return !param || OSSL_PARAM_set_int(param, value);
}

static int public_key_set_text(OSSL_PARAM params[], const char *name, const char *value)
{
    OSSL_PARAM *param = OSSL_PARAM_locate(params, name);

    return !param || OSSL_PARAM_set_utf8_string(param, value);
}

static int public_key_set_bytes(OSSL_PARAM params[], const char *name, const uint8_t *data,
                                size_t len)
{
    OSSL_PARAM *param = OSSL_PARAM_locate(params, name);

    return !param || OSSL_PARAM_set_octet_string(param, data, len);
}

static int public_key_set_number(OSSL_PARAM params[], const char *name, const BIGNUM *value)
{
    OSSL_PARAM *param = OSSL_PARAM_locate(params, name);

    return !param || OSSL_PARAM_set_BN(param, value);
}

static int public_key_get_rsa_params(const struct public_key *key, OSSL_PARAM params[])
{
    enum hash_id hash = key->pss_hash == HASH_NONE ? HASH_SHA256 : key->pss_hash;
    const char *name = key->pss_hash == HASH_NONE ? OSSL_PKEY_PARAM_DEFAULT_DIGEST
                                                  : OSSL_PKEY_PARAM_MANDATORY_DIGEST;

    return public_key_set_number(params, OSSL_PKEY_PARAM_RSA_N, key->n) &&
           public_key_set_number(params, OSSL_PKEY_PARAM_RSA_E, key->e) &&
           public_key_set_text(params, name, digest_name(hash));
}

static int public_key_set_coordinate(OSSL_PARAM params[], const char *name, const uint8_t *data,
                                     size_t len)
{
    OSSL_PARAM *param = OSSL_PARAM_locate(params, name);

    if (!param)
        return 1;
    BIGNUM *number = BN_bin2bn(data, (int)len, NULL);
    int done = number && OSSL_PARAM_set_BN(param, number);
    BN_free(number);
    return done;
}

static int public_key_get_ec_params(const struct public_key *key, OSSL_PARAM params[])
{
    size_t field_len = key->curve->field_len;

    if (key->point[0] == 4 &&
        (!public_key_set_coordinate(params, OSSL_PKEY_PARAM_EC_PUB_X, key->point + 1, field_len) ||
         !public_key_set_coordinate(params, OSSL_PKEY_PARAM_EC_PUB_Y, key->point + 1 + field_len,
                                    field_len)))
        return 0;
    return public_key_set_text(params, OSSL_PKEY_PARAM_GROUP_NAME, key->curve->name) &&
           public_key_set_text(params, OSSL_PKEY_PARAM_EC_ENCODING, ENCODING_NAMED_CURVE) &&
           public_key_set_text(params, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                               FORMAT_UNCOMPRESSED) &&
           public_key_set_text(params, OSSL_PKEY_PARAM_EC_FIELD_TYPE, FIELD_PRIME) &&
           public_key_set_int(params, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, 0) &&
           public_key_set_text(params, OSSL_PKEY_PARAM_DEFAULT_DIGEST, "SHA256") &&
           public_key_set_bytes(params, OSSL_PKEY_PARAM_PUB_KEY, key->point, key->point_len) &&
           public_key_set_bytes(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, key->point,
                                key->point_len);
}

static int public_key_get_ed25519_params(const struct public_key *key, OSSL_PARAM params[])
{
    /* No digest may be named with this key: the signature covers the message itself. */
    return public_key_set_text(params, OSSL_PKEY_PARAM_MANDATORY_DIGEST, "") &&
           public_key_set_bytes(params, OSSL_PKEY_PARAM_PUB_KEY, key->point, key->point_len) &&
           public_key_set_bytes(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, key->point,
                                key->point_len);
}

int public_key_get_params(const struct public_key *key, OSSL_PARAM params[])
{
    if (key->bits == 0)
        return 0;
    if (!public_key_set_int(params, OSSL_PKEY_PARAM_BITS, (int)key->bits) ||
        !public_key_set_int(params, OSSL_PKEY_PARAM_SECURITY_BITS, public_key_security_bits(key)) ||
        !public_key_set_int(params, OSSL_PKEY_PARAM_MAX_SIZE, (int)public_key_signature_max(key)))
        return 0;
    if (key->type == KEY_TYPE_EC)
        return public_key_get_ec_params(key, params);
    if (key->type == KEY_TYPE_ED25519)
        return public_key_get_ed25519_params(key, params);
    return public_key_get_rsa_params(key, params);
}

#define COMMON_PARAMS                                                    \
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),                          \
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),             \
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),                  \
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0), \
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0)
#define POINT_PARAMS                                           \
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0), \
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0)

const OSSL_PARAM *public_key_gettable_params(enum key_type type)
{
    static const OSSL_PARAM rsa[] = {
        COMMON_PARAMS,
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
        OSSL_PARAM_END,
    };
    static const OSSL_PARAM ec[] = {
        COMMON_PARAMS,
        POINT_PARAMS,
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_ENCODING, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_FIELD_TYPE, NULL, 0),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, NULL),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_PUB_X, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_PUB_Y, NULL, 0),
        OSSL_PARAM_END,
    };
    static const OSSL_PARAM ed25519[] = {
        COMMON_PARAMS,
        POINT_PARAMS,
        OSSL_PARAM_END,
    };

    if (type == KEY_TYPE_EC)
        return ec;
    return type == KEY_TYPE_ED25519 ? ed25519 : rsa;
}
