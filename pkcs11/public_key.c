/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys from attributes and certificates; see public_key.h. */
#include "pkcs11/public_key.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <string.h>

#define PUBLIC_KEY_ED25519_LEN 32u
#define PUBLIC_KEY_ED25519_BITS 255u /* docs/protocol.md section 5.2 */
#define PUBLIC_KEY_TAG_SEQUENCE 0x30
#define PUBLIC_KEY_NUMBER_MAX (PUBLIC_KEY_RSA_BITS_MAX / 8)

static void cleanup_pkey(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

static void cleanup_pkey_ctx(EVP_PKEY_CTX **ctx)
{
    EVP_PKEY_CTX_free(*ctx);
}

static void cleanup_bn(BIGNUM **number)
{
    BN_free(*number);
}

static void cleanup_builder(OSSL_PARAM_BLD **builder)
{
    OSSL_PARAM_BLD_free(*builder);
}

static void cleanup_params(OSSL_PARAM **params)
{
    OSSL_PARAM_free(*params);
}

static void cleanup_md_ctx(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

/* What CKA_EC_PARAMS may hold for the curves that the project knows. */
static const struct public_key_curve {
    enum key_type type;
    unsigned int bits;
    const char *group; /* OpenSSL's name */
    const char *params;
    size_t params_len;
} public_key_curves[] = {
#define CURVE(type, bits, group, params)              \
    {                                                 \
        type, bits, group, params, sizeof(params) - 1 \
    }
    CURVE(KEY_TYPE_EC, 256, "prime256v1", "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"),
    CURVE(KEY_TYPE_EC, 384, "secp384r1", "\x06\x05\x2b\x81\x04\x00\x22"),
    CURVE(KEY_TYPE_EC, 521, "secp521r1", "\x06\x05\x2b\x81\x04\x00\x23"),
    /* RFC 8410's OID, the older one of GnuPG, and the PrintableString of PKCS #11 v3.0. */
    CURVE(KEY_TYPE_ED25519, PUBLIC_KEY_ED25519_BITS, NULL, "\x06\x03\x2b\x65\x70"),
    CURVE(KEY_TYPE_ED25519, PUBLIC_KEY_ED25519_BITS, NULL,
          "\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01"),
    CURVE(KEY_TYPE_ED25519, PUBLIC_KEY_ED25519_BITS, NULL,
          "\x13\x0c"
          "edwards25519"),
#undef CURVE
};

/*
 * Parameters spelled out are of one of our curves when every one of them is that curve's, generator
 * and cofactor included. The key is built on the named curve afterwards.
 */
static const struct public_key_curve *public_key_find_explicit(struct wire_span params)
{
    const unsigned char *at = params.data;
    EC_GROUP *group = d2i_ECPKParameters(NULL, &at, (long)params.len);
    int nid = group && at == params.data + params.len ? EC_GROUP_check_named_curve(group, 0, NULL)
                                                      : NID_undef;

    EC_GROUP_free(group);
    ERR_clear_error();
    for (size_t i = 0; nid != NID_undef && i < ARRAY_SIZE(public_key_curves); i++)
        if (public_key_curves[i].group && OBJ_sn2nid(public_key_curves[i].group) == nid)
            return &public_key_curves[i];
    return NULL;
}

static const struct public_key_curve *public_key_find_curve(struct wire_span params)
{
    for (size_t i = 0; i < ARRAY_SIZE(public_key_curves); i++) {
        const struct public_key_curve *curve = &public_key_curves[i];
        if (params.len == curve->params_len && memcmp(params.data, curve->params, params.len) == 0)
            return curve;
    }
    return params.len > 0 && params.data[0] == PUBLIC_KEY_TAG_SEQUENCE
               ? public_key_find_explicit(params)
               : NULL;
}

int public_key_curve(struct wire_span params, enum key_type *ret_type, unsigned int *ret_bits)
{
    const struct public_key_curve *curve = public_key_find_curve(params);

    if (!curve)
        return PUBLIC_KEY_E_UNSUPPORTED;
    *ret_type = curve->type;
    *ret_bits = curve->bits;
    return 0;
}

void public_key_deinit(struct public_key *key)
{
    EVP_PKEY_free(key->pkey);
    free((void *)(uintptr_t)key->spki.data);
    *key = (struct public_key){0};
}

int public_key_copy(const struct public_key *key, struct public_key *ret_key)
{
    uint8_t *spki = malloc(key->spki.len);

    if (!spki)
        return -ENOMEM;
    memcpy(spki, key->spki.data, key->spki.len);
    (void)EVP_PKEY_up_ref(key->pkey);
    *ret_key = *key;
    ret_key->spki.data = spki;
    return 0;
}

bool public_key_is_same(const struct public_key *a, const struct public_key *b)
{
    return memcmp(a->fingerprint, b->fingerprint, sizeof(a->fingerprint)) == 0;
}

uint32_t public_key_hash(const struct public_key *key)
{
    uint32_t hash = 0;

    memcpy(&hash, key->fingerprint, sizeof(hash));
    return hash;
}

static int public_key_classify_ec(const EVP_PKEY *pkey, struct public_key *key)
{
    char group[32] = "";
    int is_explicit = 0;

    (void)EVP_PKEY_get_int_param(pkey, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                                 &is_explicit);
    if (is_explicit || !EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group,
                                                       sizeof(group), NULL))
        return PUBLIC_KEY_E_UNSUPPORTED;
    for (size_t i = 0; i < ARRAY_SIZE(public_key_curves); i++) {
        if (!public_key_curves[i].group || strcmp(public_key_curves[i].group, group) != 0)
            continue;
        key->type = KEY_TYPE_EC;
        key->bits = public_key_curves[i].bits;
        return 0;
    }
    return PUBLIC_KEY_E_UNSUPPORTED;
}

static int public_key_classify(const EVP_PKEY *pkey, struct public_key *key)
{
    int bits = EVP_PKEY_get_bits(pkey);

    if (EVP_PKEY_is_a(pkey, "EC"))
        return public_key_classify_ec(pkey, key);
    if (EVP_PKEY_is_a(pkey, "ED25519")) {
        key->type = KEY_TYPE_ED25519;
        key->bits = PUBLIC_KEY_ED25519_BITS;
        return 0;
    }
    bool is_pss = EVP_PKEY_is_a(pkey, "RSA-PSS");
    if ((!is_pss && !EVP_PKEY_is_a(pkey, "RSA")) || bits < (int)PUBLIC_KEY_RSA_BITS_MIN ||
        bits > (int)PUBLIC_KEY_RSA_BITS_MAX)
        return PUBLIC_KEY_E_UNSUPPORTED;
    key->type = is_pss ? KEY_TYPE_RSA_PSS : KEY_TYPE_RSA;
    key->bits = (unsigned int)bits;
    return 0;
}

static bool public_key_hash_number(EVP_MD_CTX *ctx, const EVP_PKEY *pkey, const char *param)
{
    _cleanup_(cleanup_bn) BIGNUM *number = NULL;
    uint8_t bytes[PUBLIC_KEY_NUMBER_MAX];

    if (!EVP_PKEY_get_bn_param(pkey, param, &number))
        return false;
    int len = BN_num_bytes(number);
    if (len < 0 || (size_t)len > sizeof(bytes) || BN_bn2bin(number, bytes) != len)
        return false;
    /* The lengths are part of it, so that two numbers cannot run into each other. */
    return EVP_DigestUpdate(ctx, &len, sizeof(len)) && EVP_DigestUpdate(ctx, bytes, (size_t)len);
}

static int public_key_set_fingerprint(struct public_key *key)
{
    _cleanup_(cleanup_md_ctx) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t kind = key->type == KEY_TYPE_RSA_PSS ? KEY_TYPE_RSA : key->type;
    uint8_t raw[PUBLIC_KEY_ED25519_LEN];
    size_t raw_len = sizeof(raw);
    bool done;

    if (!ctx || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) || !EVP_DigestUpdate(ctx, &kind, 1) ||
        !EVP_DigestUpdate(ctx, &key->bits, sizeof(key->bits)))
        return -ENOMEM;
    if (kind == KEY_TYPE_ED25519)
        done = EVP_PKEY_get_raw_public_key(key->pkey, raw, &raw_len) &&
               EVP_DigestUpdate(ctx, raw, raw_len);
    else if (kind == KEY_TYPE_EC)
        done = public_key_hash_number(ctx, key->pkey, OSSL_PKEY_PARAM_EC_PUB_X) &&
               public_key_hash_number(ctx, key->pkey, OSSL_PKEY_PARAM_EC_PUB_Y);
    else
        done = public_key_hash_number(ctx, key->pkey, OSSL_PKEY_PARAM_RSA_N) &&
               public_key_hash_number(ctx, key->pkey, OSSL_PKEY_PARAM_RSA_E);
    if (!done)
        return PUBLIC_KEY_E_UNSUPPORTED;
    return EVP_DigestFinal_ex(ctx, key->fingerprint, NULL) ? 0 : -ENOMEM;
}

/* Takes @pkey and the malloc()ed @spki, which may be NULL: then it is encoded here. */
static int public_key_build(EVP_PKEY *pkey, struct wire_span spki, struct public_key *ret_key)
{
    struct public_key key = {.pkey = pkey, .spki = spki};
    int r = public_key_classify(pkey, &key);

    if (r == 0)
        r = public_key_set_fingerprint(&key);
    if (r == 0 && !key.spki.data) {
        unsigned char *der = NULL;
        int len = i2d_PUBKEY(pkey, &der);

        if (len > 0) {
            uint8_t *copy = malloc((size_t)len);
            if (copy)
                key.spki = (struct wire_span){memcpy(copy, der, (size_t)len), (size_t)len};
        }
        OPENSSL_free(der);
        r = key.spki.data ? 0 : -ENOMEM;
    }
    if (r == 0 && key.spki.len > PROTOCOL_DER_MAX)
        r = PUBLIC_KEY_E_UNSUPPORTED;
    if (r) {
        public_key_deinit(&key);
        return r;
    }
    *ret_key = key;
    return 0;
}

int public_key_from_pkey(EVP_PKEY *pkey, struct public_key *ret_key)
{
    return public_key_build(pkey, (struct wire_span){0}, ret_key);
}

int public_key_from_x509(X509 *x509, struct public_key *ret_key)
{
    EVP_PKEY *pkey = X509_get_pubkey(x509);
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), NULL);

    if (!pkey)
        return PUBLIC_KEY_E_UNSUPPORTED;
    uint8_t *spki = len > 0 ? malloc((size_t)len) : NULL;
    if (!spki) {
        EVP_PKEY_free(pkey);
        return -ENOMEM;
    }
    unsigned char *at = spki;
    (void)i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &at);
    return public_key_build(pkey, (struct wire_span){spki, (size_t)len}, ret_key);
}

/* A key of the given kind from parameters. */
static int public_key_from_params(const char *kind, OSSL_PARAM_BLD *builder,
                                  struct public_key *ret_key)
{
    _cleanup_(cleanup_params) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    _cleanup_(cleanup_pkey_ctx) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    _cleanup_(cleanup_pkey) EVP_PKEY *pkey = NULL;

    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) <= 0)
        return -ENOMEM;
    if (EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        return PUBLIC_KEY_E_UNSUPPORTED;
    return public_key_from_pkey(TAKE_PTR(pkey), ret_key);
}

int public_key_from_rsa(struct wire_span modulus, struct wire_span exponent,
                        struct public_key *ret_key)
{
    if (modulus.len == 0 || modulus.len > PUBLIC_KEY_NUMBER_MAX + 1 || exponent.len == 0 ||
        exponent.len > PUBLIC_KEY_NUMBER_MAX)
        return PUBLIC_KEY_E_UNSUPPORTED;
    _cleanup_(cleanup_bn) BIGNUM *n = BN_bin2bn(modulus.data, (int)modulus.len, NULL);
    _cleanup_(cleanup_bn) BIGNUM *e = BN_bin2bn(exponent.data, (int)exponent.len, NULL);
    _cleanup_(cleanup_builder) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (!n || !e || !builder)
        return -ENOMEM;
    if (BN_is_zero(n) || BN_is_zero(e))
        return PUBLIC_KEY_E_UNSUPPORTED;
    if (!OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) ||
        !OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e))
        return -ENOMEM;
    return public_key_from_params("RSA", builder, ret_key);
}

/* Strips the DER OCTET STRING from a point of @len bytes; a bare point of @len bytes stays. */
static struct wire_span public_key_unwrap_point(struct wire_span point, size_t len)
{
    size_t header = len > 127 ? 3 : 2;

    if (point.len == len)
        return point;
    if (point.len != len + header || point.data[0] != 0x04 || point.data[header - 1] != len ||
        (header == 3 && point.data[1] != 0x81))
        return (struct wire_span){0};
    return (struct wire_span){point.data + header, len};
}

static int public_key_from_ed25519(struct wire_span point, struct public_key *ret_key)
{
    struct wire_span raw = public_key_unwrap_point(point, PUBLIC_KEY_ED25519_LEN);

    if (raw.len == 0)
        return PUBLIC_KEY_E_UNSUPPORTED;
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw.data, raw.len);
    return pkey ? public_key_from_pkey(pkey, ret_key) : -ENOMEM;
}

int public_key_from_ec(struct wire_span params, struct wire_span point, struct public_key *ret_key)
{
    const struct public_key_curve *curve = public_key_find_curve(params);

    if (!curve)
        return PUBLIC_KEY_E_UNSUPPORTED;
    if (curve->type == KEY_TYPE_ED25519)
        return public_key_from_ed25519(point, ret_key);
    size_t field = (curve->bits + 7) / 8;
    struct wire_span raw = public_key_unwrap_point(point, 2 * field + 1);
    if (raw.len == 0)
        raw = public_key_unwrap_point(point, field + 1);
    if (raw.len == 0)
        return PUBLIC_KEY_E_UNSUPPORTED;
    _cleanup_(cleanup_builder) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (!builder ||
        !OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0) ||
        !OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, raw.data, raw.len))
        return -ENOMEM;
    return public_key_from_params("EC", builder, ret_key);
}
