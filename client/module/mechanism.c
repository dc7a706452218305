/* SPDX-License-Identifier: Apache-2.0 */
/* The table of mechanisms; see mechanism.h. */
#include "client/module/mechanism.h"

#include <string.h>

#include "common/cleanup.h"

#define RSA_BITS_MIN 1024UL
#define RSA_BITS_MAX 16384UL
#define EC_BITS_MIN 256UL
#define EC_BITS_MAX 521UL
#define EDWARDS_BITS 255UL

static const struct mechanism mechanism_table[] = {
    {CKM_ECDSA, MECHANISM_EC, PADDING_NONE, HASH_NONE},
    {CKM_ECDSA_SHA256, MECHANISM_EC, PADDING_NONE, HASH_SHA256},
    {CKM_ECDSA_SHA384, MECHANISM_EC, PADDING_NONE, HASH_SHA384},
    {CKM_ECDSA_SHA512, MECHANISM_EC, PADDING_NONE, HASH_SHA512},
    {CKM_RSA_PKCS, MECHANISM_RSA, PADDING_PKCS1, HASH_NONE},
    {CKM_SHA256_RSA_PKCS, MECHANISM_RSA, PADDING_PKCS1, HASH_SHA256},
    {CKM_SHA384_RSA_PKCS, MECHANISM_RSA, PADDING_PKCS1, HASH_SHA384},
    {CKM_SHA512_RSA_PKCS, MECHANISM_RSA, PADDING_PKCS1, HASH_SHA512},
    {CKM_RSA_PKCS_PSS, MECHANISM_RSA, PADDING_PSS, HASH_NONE},
    {CKM_SHA256_RSA_PKCS_PSS, MECHANISM_RSA, PADDING_PSS, HASH_SHA256},
    {CKM_SHA384_RSA_PKCS_PSS, MECHANISM_RSA, PADDING_PSS, HASH_SHA384},
    {CKM_SHA512_RSA_PKCS_PSS, MECHANISM_RSA, PADDING_PSS, HASH_SHA512},
    {CKM_EDDSA, MECHANISM_EDWARDS, PADDING_NONE, HASH_NONE},
    {CKM_SHA256, MECHANISM_DIGEST, PADDING_NONE, HASH_SHA256},
    {CKM_SHA384, MECHANISM_DIGEST, PADDING_NONE, HASH_SHA384},
    {CKM_SHA512, MECHANISM_DIGEST, PADDING_NONE, HASH_SHA512},
};

static const struct {
    CK_MECHANISM_TYPE digest;
    CK_RSA_PKCS_MGF_TYPE mgf;
    enum hash_id hash;
} mechanism_pss_hashes[] = {
    {CKM_SHA256, CKG_MGF1_SHA256, HASH_SHA256},
    {CKM_SHA384, CKG_MGF1_SHA384, HASH_SHA384},
    {CKM_SHA512, CKG_MGF1_SHA512, HASH_SHA512},
};

/* PKCS #11 v3.0: the parameters of CKM_EDDSA, which the header of Debian 12 does not have. */
struct mechanism_eddsa_params {
    CK_BBOOL is_prehashed;
    CK_ULONG context_len;
    CK_BYTE *context;
};

static bool mechanism_is_on_slot(const struct mechanism *mechanism, bool is_edwards_slot)
{
    if (mechanism->family == MECHANISM_DIGEST)
        return true;
    return (mechanism->family == MECHANISM_EDWARDS) == is_edwards_slot;
}

const struct mechanism *mechanism_find(CK_MECHANISM_TYPE type, bool is_edwards_slot)
{
    for (size_t i = 0; i < ARRAY_SIZE(mechanism_table); i++)
        if (mechanism_table[i].type == type &&
            mechanism_is_on_slot(&mechanism_table[i], is_edwards_slot))
            return &mechanism_table[i];
    return NULL;
}

size_t mechanism_list(bool is_edwards_slot, bool has_pss, CK_MECHANISM_TYPE *types, size_t room)
{
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_SIZE(mechanism_table); i++) {
        if (!mechanism_is_on_slot(&mechanism_table[i], is_edwards_slot) ||
            (!has_pss && mechanism_table[i].padding == PADDING_PSS))
            continue;
        if (count < room)
            types[count] = mechanism_table[i].type;
        count++;
    }
    return count;
}

void mechanism_fill_info(const struct mechanism *mechanism, CK_MECHANISM_INFO *info)
{
    const CK_FLAGS signs = CKF_SIGN | CKF_VERIFY;

    switch (mechanism->family) {
    case MECHANISM_DIGEST:
        *info = (CK_MECHANISM_INFO){.flags = CKF_DIGEST};
        return;
    case MECHANISM_RSA:
        *info = (CK_MECHANISM_INFO){RSA_BITS_MIN, RSA_BITS_MAX, signs};
        return;
    case MECHANISM_EC:
        *info = (CK_MECHANISM_INFO){EC_BITS_MIN, EC_BITS_MAX,
                                    signs | CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS};
        return;
    case MECHANISM_EDWARDS:
        *info = (CK_MECHANISM_INFO){EDWARDS_BITS, EDWARDS_BITS, signs};
        return;
    }
}

static CK_RV mechanism_read_pss(const CK_MECHANISM *given, struct mechanism_use *use)
{
    CK_RSA_PKCS_PSS_PARAMS params;

    if (!given->pParameter || given->ulParameterLen != sizeof(params))
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&params, given->pParameter, sizeof(params));
    for (size_t i = 0; i < ARRAY_SIZE(mechanism_pss_hashes); i++)
        if (mechanism_pss_hashes[i].digest == params.hashAlg &&
            mechanism_pss_hashes[i].mgf == params.mgf &&
            (use->hash == HASH_NONE || use->hash == mechanism_pss_hashes[i].hash) &&
            params.sLen == hash_len(mechanism_pss_hashes[i].hash)) {
            use->hash = mechanism_pss_hashes[i].hash;
            use->salt_len = params.sLen;
            return CKR_OK;
        }
    return CKR_MECHANISM_PARAM_INVALID;
}

/* Pure Ed25519 (RFC 8032 section 5.1) is without parameters, or with those that say so. */
static CK_RV mechanism_read_eddsa(const CK_MECHANISM *given)
{
    struct mechanism_eddsa_params params;

    if (given->ulParameterLen == 0)
        return CKR_OK;
    if (!given->pParameter || given->ulParameterLen != sizeof(params))
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&params, given->pParameter, sizeof(params));
    return params.is_prehashed || params.context_len > 0 ? CKR_MECHANISM_PARAM_INVALID : CKR_OK;
}

CK_RV mechanism_read(const CK_MECHANISM *given, bool is_edwards_slot, struct mechanism_use *ret_use)
{
    struct mechanism_use use = {.mechanism = mechanism_find(given->mechanism, is_edwards_slot)};
    CK_RV rv = CKR_OK;

    if (!use.mechanism)
        return CKR_MECHANISM_INVALID;
    use.hash = use.mechanism->hash;
    if (use.mechanism->padding == PADDING_PSS)
        rv = mechanism_read_pss(given, &use);
    else if (use.mechanism->family == MECHANISM_EDWARDS)
        rv = mechanism_read_eddsa(given);
    else if (given->ulParameterLen > 0)
        rv = CKR_MECHANISM_PARAM_INVALID;
    if (rv == CKR_OK)
        *ret_use = use;
    return rv;
}

bool mechanism_fits_key(const struct mechanism *mechanism, enum key_type type)
{
    switch (type) {
    case KEY_TYPE_RSA:
        return mechanism->family == MECHANISM_RSA;
    case KEY_TYPE_RSA_PSS:
        return mechanism->family == MECHANISM_RSA && mechanism->padding == PADDING_PSS;
    case KEY_TYPE_EC:
        return mechanism->family == MECHANISM_EC;
    case KEY_TYPE_ED25519:
        return mechanism->family == MECHANISM_EDWARDS;
    }
    return false;
}

uint16_t mechanism_scheme(const struct mechanism *mechanism, enum hash_id hash, enum key_type type,
                          unsigned int bits)
{
    uint32_t codes[SCHEMES_MAX];
    size_t count = scheme_list_for_key(type, bits, codes);

    for (size_t i = 0; i < count; i++) {
        const struct scheme *scheme = scheme_find(codes[i]);
        if (scheme && scheme->hash == hash && scheme->padding == mechanism->padding)
            return scheme->code;
    }
    return 0;
}
