/* SPDX-License-Identifier: Apache-2.0 */
/* Schemes to mechanisms; see mechanism.h. */
#include "pkcs11/mechanism.h"

#include <string.h>

#include "pkcs11/pss.h"

/* RFC 8017 section 9.2, note 1: the DER in front of the digest. */
static const uint8_t mechanism_prefix_sha256[19] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
                                                    0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                                                    0x01, 0x05, 0x00, 0x04, 0x20};
static const uint8_t mechanism_prefix_sha384[19] = {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60,
                                                    0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                                                    0x02, 0x05, 0x00, 0x04, 0x30};
static const uint8_t mechanism_prefix_sha512[19] = {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60,
                                                    0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                                                    0x03, 0x05, 0x00, 0x04, 0x40};

struct mechanism_hash {
    const uint8_t *prefix;
    CK_MECHANISM_TYPE type;
    CK_RSA_PKCS_MGF_TYPE mgf;
    uint32_t pss; /* its bit of enum mechanism_flags */
};

static struct mechanism_hash mechanism_hash(enum hash_id hash)
{
    switch (hash) {
    case HASH_SHA256:
        return (struct mechanism_hash){mechanism_prefix_sha256, CKM_SHA256, CKG_MGF1_SHA256,
                                       MECHANISM_PSS_SHA256};
    case HASH_SHA384:
        return (struct mechanism_hash){mechanism_prefix_sha384, CKM_SHA384, CKG_MGF1_SHA384,
                                       MECHANISM_PSS_SHA384};
    case HASH_SHA512:
        return (struct mechanism_hash){mechanism_prefix_sha512, CKM_SHA512, CKG_MGF1_SHA512,
                                       MECHANISM_PSS_SHA512};
    case HASH_NONE:
        break;
    }
    return (struct mechanism_hash){0};
}

static const struct {
    CK_MECHANISM_TYPE type;
    uint32_t flags;
} mechanism_flag_table[] = {
    {CKM_ECDSA, MECHANISM_ECDSA},         {CKM_RSA_PKCS, MECHANISM_RSA_PKCS},
    {CKM_EDDSA, MECHANISM_EDDSA},         {CKM_RSA_PKCS_PSS, MECHANISM_PSS},
    {CKM_RSA_X_509, MECHANISM_RSA_X_509},
};

uint32_t mechanism_flags_of_type(CK_MECHANISM_TYPE type)
{
    for (size_t i = 0; i < ARRAY_SIZE(mechanism_flag_table); i++)
        if (mechanism_flag_table[i].type == type)
            return mechanism_flag_table[i].flags;
    return 0;
}

static CK_MECHANISM_TYPE mechanism_type_of_flag(uint32_t flag)
{
    size_t i = 0;

    while (!(mechanism_flag_table[i].flags & flag))
        i++;
    return mechanism_flag_table[i].type;
}

uint32_t mechanism_choose(const struct scheme *scheme, uint32_t offered)
{
    if (scheme->key_type == KEY_TYPE_EC)
        return offered & MECHANISM_ECDSA;
    if (scheme->key_type == KEY_TYPE_ED25519)
        return offered & MECHANISM_EDDSA;
    if (scheme->padding == PADDING_PKCS1)
        return offered & MECHANISM_RSA_PKCS;
    uint32_t pss = offered & mechanism_hash(scheme->hash).pss;
    return pss ? pss : offered & MECHANISM_RSA_X_509;
}

uint32_t mechanism_refused_by(CK_RV rv, uint32_t flag)
{
    switch (rv) {
    case CKR_MECHANISM_PARAM_INVALID:
        return flag;
    case CKR_MECHANISM_INVALID:
    case CKR_KEY_TYPE_INCONSISTENT:
    case CKR_KEY_FUNCTION_NOT_PERMITTED:
        return flag & MECHANISM_PSS ? MECHANISM_PSS : flag;
    default:
        return 0;
    }
}

size_t mechanism_list_schemes(enum key_type type, unsigned int bits, uint32_t offered,
                              uint32_t ret_codes[SCHEMES_MAX])
{
    uint32_t codes[SCHEMES_MAX];
    size_t count = scheme_list_for_key(type, bits, codes);
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        if (mechanism_choose(scheme_find(codes[i]), offered))
            ret_codes[kept++] = codes[i];
    return kept;
}

static void mechanism_set_pss(const struct mechanism_hash *hash, size_t salt_len,
                              struct mechanism *mechanism)
{
    mechanism->pss = (CK_RSA_PKCS_PSS_PARAMS){hash->type, hash->mgf, salt_len};
    mechanism->ck.pParameter = &mechanism->pss;
    mechanism->ck.ulParameterLen = sizeof(mechanism->pss);
}

static void mechanism_set_digest_info(const struct mechanism_hash *hash, struct wire_span digest,
                                      struct mechanism *mechanism)
{
    size_t prefix_len = sizeof(mechanism_prefix_sha256);

    memcpy(mechanism->digest_info, hash->prefix, prefix_len);
    memcpy(mechanism->digest_info + prefix_len, digest.data, digest.len);
    mechanism->input = (struct wire_span){mechanism->digest_info, prefix_len + digest.len};
}

/* A hash that is too long for the key is not possible in any mechanism. */
static int mechanism_set_block(enum hash_id hash, unsigned int bits, struct wire_span digest,
                               struct mechanism *mechanism)
{
    if (bits > 8 * sizeof(mechanism->block))
        return MECHANISM_E_UNSUPPORTED;
    int r = pss_encode_fresh(hash, digest, bits, mechanism->block);
    mechanism->input = (struct wire_span){mechanism->block, (bits + 7) / 8};
    return r == PSS_E_SIZE ? MECHANISM_E_UNSUPPORTED : r;
}

int mechanism_prepare(const struct scheme *scheme, unsigned int bits, uint32_t offered,
                      struct wire_span data, struct mechanism *ret_mechanism)
{
    struct mechanism_hash hash = mechanism_hash(scheme->hash);
    uint32_t flag = mechanism_choose(scheme, offered);

    if (scheme->hash != HASH_NONE && data.len != hash_len(scheme->hash))
        return MECHANISM_E_DATA;
    if (flag == 0)
        return MECHANISM_E_UNSUPPORTED;
    ret_mechanism->flag = flag;
    ret_mechanism->ck = (CK_MECHANISM){.mechanism = mechanism_type_of_flag(flag)};
    ret_mechanism->input = data;
    switch (flag) {
    case MECHANISM_ECDSA:
        /* Whole bytes: the order of P-521 is longer than any digest. */
        if (data.len > (bits + 7) / 8)
            ret_mechanism->input.len = (bits + 7) / 8;
        return 0;
    case MECHANISM_PSS_SHA256:
    case MECHANISM_PSS_SHA384:
    case MECHANISM_PSS_SHA512:
        mechanism_set_pss(&hash, data.len, ret_mechanism);
        return 0;
    case MECHANISM_RSA_PKCS:
        if (hash.prefix)
            mechanism_set_digest_info(&hash, data, ret_mechanism);
        return 0;
    case MECHANISM_RSA_X_509:
        return mechanism_set_block(scheme->hash, bits, data, ret_mechanism);
    default:
        return 0;
    }
}
