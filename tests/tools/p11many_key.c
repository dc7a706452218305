/* SPDX-License-Identifier: Apache-2.0 */
/* Keys from numbers; see p11many_key.h. */
#include "p11many_key.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <string.h>

#include "common/der_ecdsa.h"

#define POINT_LEN 65u

static EC_GROUP *group;
/* The certificate of key 1; those of the others differ in the point and the last bytes of the
 * serial number. */
static uint8_t template[MANY_VALUE_MAX];
static size_t template_len;
static size_t template_point;
static size_t template_serial;

static int many_key_point(unsigned long number, uint8_t point[static POINT_LEN])
{
    BIGNUM *scalar = BN_new();
    EC_POINT *product = EC_POINT_new(group);
    bool is_done = scalar && product && BN_set_word(scalar, number) &&
                   EC_POINT_mul(group, product, scalar, NULL, NULL, NULL) &&
                   EC_POINT_point2oct(group, product, POINT_CONVERSION_UNCOMPRESSED, point,
                                      POINT_LEN, NULL) == POINT_LEN;

    EC_POINT_free(product);
    BN_free(scalar);
    return is_done ? 0 : -EINVAL;
}

static OSSL_PARAM *many_key_params(const BIGNUM *scalar, const uint8_t *point)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;

    if (build &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, SN_X9_62_prime256v1,
                                        0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, POINT_LEN) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, scalar))
        params = OSSL_PARAM_BLD_to_param(build);
    OSSL_PARAM_BLD_free(build);
    return params;
}

static EVP_PKEY *many_key_new(unsigned long number)
{
    uint8_t point[POINT_LEN];
    EVP_PKEY *key = NULL;
    BIGNUM *scalar = BN_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM *params = NULL;

    if (scalar && context && BN_set_word(scalar, number) && many_key_point(number, point) == 0)
        params = many_key_params(scalar, point);
    if (params && EVP_PKEY_fromdata_init(context) == 1 &&
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, params) != 1)
        key = NULL;
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(context);
    BN_free(scalar);
    return key;
}

static bool many_key_fill_cert(X509 *cert, EVP_PKEY *key)
{
    static const unsigned char issuer[] = "A CA elsewhere";
    static const unsigned char subject[] = "One of many";
    X509_NAME *issuer_name = X509_get_issuer_name(cert);
    X509_NAME *subject_name = X509_get_subject_name(cert);

    return X509_set_version(cert, X509_VERSION_3) &&
           ASN1_INTEGER_set(X509_get_serialNumber(cert), 0x11111111) &&
           X509_NAME_add_entry_by_txt(issuer_name, "CN", MBSTRING_ASC, issuer, -1, -1, 0) &&
           X509_NAME_add_entry_by_txt(subject_name, "CN", MBSTRING_ASC, subject, -1, -1, 0) &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -3600) &&
           X509_gmtime_adj(X509_getm_notAfter(cert), 365L * 24 * 3600) &&
           X509_set_pubkey(cert, key) && X509_sign(cert, key, EVP_sha256());
}

static int many_key_set_template(void)
{
    static const uint8_t serial[] = {0x11, 0x11, 0x11, 0x11};
    uint8_t point[POINT_LEN];
    EVP_PKEY *key = many_key_new(1);
    X509 *cert = X509_new();
    unsigned char *at = template;
    int len = -1;

    if (key && cert && many_key_fill_cert(cert, key) && many_key_point(1, point) == 0)
        len = i2d_X509(cert, NULL);
    if (len > 0 && len <= (int)sizeof(template))
        template_len = (size_t)i2d_X509(cert, &at);
    X509_free(cert);
    EVP_PKEY_free(key);
    if (template_len == 0)
        return -EINVAL;
    const uint8_t *place = memmem(template, template_len, point, POINT_LEN);
    const uint8_t *number = memmem(template, template_len, serial, sizeof(serial));
    if (!place || !number)
        return -EINVAL;
    template_point = (size_t)(place - template);
    template_serial = (size_t)(number - template);
    return 0;
}

int many_key_setup(void)
{
    if (!group)
        group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    return group && (template_len > 0 || many_key_set_template() == 0) ? 0 : -EINVAL;
}

long many_key_get_params(uint8_t value[static MANY_VALUE_MAX])
{
    static const uint8_t prime256v1[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};

    memcpy(value, prime256v1, sizeof(prime256v1));
    return sizeof(prime256v1);
}

long many_key_get_point(unsigned long number, uint8_t value[static MANY_VALUE_MAX])
{
    value[0] = V_ASN1_OCTET_STRING;
    value[1] = POINT_LEN;
    return many_key_point(number, value + 2) ? -1 : (long)POINT_LEN + 2;
}

long many_key_get_cert(unsigned long number, uint8_t value[static MANY_VALUE_MAX])
{
    memcpy(value, template, template_len);
    for (size_t i = 1; i < 4; i++)
        value[template_serial + i] = (uint8_t)(number >> 8 * (3 - i));
    return many_key_point(number, value + template_point) ? -1 : (long)template_len;
}

int many_key_sign(unsigned long number, const uint8_t *digest, size_t len,
                  uint8_t ret_signature[static MANY_SIGNATURE_LEN])
{
    uint8_t der[DER_ECDSA_MAX];
    uint8_t raw[DER_ECDSA_RAW_MAX];
    size_t der_len = sizeof(der);
    size_t raw_len = 0;
    EVP_PKEY *key = many_key_new(number);
    EVP_PKEY_CTX *context = key ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
    bool is_done = context && EVP_PKEY_sign_init(context) == 1 &&
                   EVP_PKEY_sign(context, der, &der_len, digest, len) == 1 &&
                   der_ecdsa_to_raw(256, (struct wire_span){der, der_len}, raw, &raw_len) == 0 &&
                   raw_len == MANY_SIGNATURE_LEN;

    if (is_done)
        memcpy(ret_signature, raw, MANY_SIGNATURE_LEN);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(key);
    return is_done ? 0 : -EINVAL;
}
