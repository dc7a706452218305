/* SPDX-License-Identifier: Apache-2.0 */
/* The table of signature schemes; see scheme.h. Order is preference within one key. */
#include "common/scheme.h"

static const struct scheme scheme_table[] = {
    {SCHEME_ECDSA_SHA256, "ecdsa_secp256r1_sha256", KEY_TYPE_EC, HASH_SHA256, PADDING_NONE, 256,
     true},
    {SCHEME_ECDSA_SHA384, "ecdsa_secp384r1_sha384", KEY_TYPE_EC, HASH_SHA384, PADDING_NONE, 384,
     true},
    {SCHEME_ECDSA_SHA512, "ecdsa_secp521r1_sha512", KEY_TYPE_EC, HASH_SHA512, PADDING_NONE, 521,
     true},
    {SCHEME_ED25519, "ed25519", KEY_TYPE_ED25519, HASH_NONE, PADDING_NONE, 0, true},
    {SCHEME_RSA_PSS_RSAE_SHA256, "rsa_pss_rsae_sha256", KEY_TYPE_RSA, HASH_SHA256, PADDING_PSS, 0,
     true},
    {SCHEME_RSA_PSS_RSAE_SHA384, "rsa_pss_rsae_sha384", KEY_TYPE_RSA, HASH_SHA384, PADDING_PSS, 0,
     true},
    {SCHEME_RSA_PSS_RSAE_SHA512, "rsa_pss_rsae_sha512", KEY_TYPE_RSA, HASH_SHA512, PADDING_PSS, 0,
     true},
    {SCHEME_RSA_PSS_PSS_SHA256, "rsa_pss_pss_sha256", KEY_TYPE_RSA_PSS, HASH_SHA256, PADDING_PSS, 0,
     true},
    {SCHEME_RSA_PSS_PSS_SHA384, "rsa_pss_pss_sha384", KEY_TYPE_RSA_PSS, HASH_SHA384, PADDING_PSS, 0,
     true},
    {SCHEME_RSA_PSS_PSS_SHA512, "rsa_pss_pss_sha512", KEY_TYPE_RSA_PSS, HASH_SHA512, PADDING_PSS, 0,
     true},
    {SCHEME_RSA_PKCS1_SHA256, "rsa_pkcs1_sha256", KEY_TYPE_RSA, HASH_SHA256, PADDING_PKCS1, 0,
     false},
    {SCHEME_RSA_PKCS1_SHA384, "rsa_pkcs1_sha384", KEY_TYPE_RSA, HASH_SHA384, PADDING_PKCS1, 0,
     false},
    {SCHEME_RSA_PKCS1_SHA512, "rsa_pkcs1_sha512", KEY_TYPE_RSA, HASH_SHA512, PADDING_PKCS1, 0,
     false},
};

#define SCHEME_COUNT (sizeof(scheme_table) / sizeof(scheme_table[0]))

_Static_assert(SCHEME_COUNT <= SCHEMES_MAX, "one key's schemes must fit");

const struct scheme *scheme_find(uint32_t code)
{
    for (size_t i = 0; i < SCHEME_COUNT; i++)
        if (scheme_table[i].code == code)
            return &scheme_table[i];
    return NULL;
}

bool scheme_fits_key(const struct scheme *scheme, enum key_type type)
{
    return scheme->key_type == type;
}

bool scheme_fits_tls13(const struct scheme *scheme, enum key_type type, unsigned int bits)
{
    if (!scheme->in_tls13 || !scheme_fits_key(scheme, type))
        return false;
    return scheme->tls13_bits == 0 || scheme->tls13_bits == bits;
}

size_t scheme_list_for_key(enum key_type type, unsigned int bits, uint32_t ret_codes[SCHEMES_MAX])
{
    size_t count = 0;

    /* Two passes put the EC key's own TLS 1.3 scheme first. */
    for (size_t i = 0; i < SCHEME_COUNT; i++)
        if (scheme_fits_tls13(&scheme_table[i], type, bits))
            ret_codes[count++] = scheme_table[i].code;
    for (size_t i = 0; i < SCHEME_COUNT; i++)
        if (scheme_fits_key(&scheme_table[i], type) &&
            !scheme_fits_tls13(&scheme_table[i], type, bits))
            ret_codes[count++] = scheme_table[i].code;
    return count;
}

bool scheme_list_has(const uint32_t *codes, size_t count, uint32_t code)
{
    for (size_t i = 0; i < count; i++)
        if (codes[i] == code)
            return true;
    return false;
}

bool scheme_list_fits_tls13(const uint16_t *codes, size_t count, enum key_type type,
                            unsigned int bits)
{
    for (size_t i = 0; i < count; i++) {
        const struct scheme *scheme = scheme_find(codes[i]);
        if (scheme && scheme_fits_tls13(scheme, type, bits))
            return true;
    }
    return false;
}

size_t hash_len(enum hash_id hash)
{
    switch (hash) {
    case HASH_SHA256:
        return 32;
    case HASH_SHA384:
        return 48;
    case HASH_SHA512:
        return 64;
    case HASH_NONE:
        break;
    }
    return 0;
}

const char *key_type_name(uint32_t type)
{
    switch (type) {
    case KEY_TYPE_RSA:
        return "RSA";
    case KEY_TYPE_RSA_PSS:
        return "RSA-PSS";
    case KEY_TYPE_EC:
        return "EC";
    case KEY_TYPE_ED25519:
        return "Ed25519";
    default:
        return NULL;
    }
}
