/* SPDX-License-Identifier: Apache-2.0 */
/* Schemes to mechanisms; see mechanism.h. */
#include "pkcs11/mechanism.h"

#include <string.h>

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
};

static struct mechanism_hash mechanism_hash(enum hash_id hash)
{
    switch (hash) {
    case HASH_SHA256:
        return (struct mechanism_hash){mechanism_prefix_sha256, CKM_SHA256, CKG_MGF1_SHA256};
    case HASH_SHA384:
        return (struct mechanism_hash){mechanism_prefix_sha384, CKM_SHA384, CKG_MGF1_SHA384};
    case HASH_SHA512:
        return (struct mechanism_hash){mechanism_prefix_sha512, CKM_SHA512, CKG_MGF1_SHA512};
    case HASH_NONE:
        break;
    }
    return (struct mechanism_hash){0};
}

static CK_MECHANISM_TYPE mechanism_type(const struct scheme *scheme)
{
    if (scheme->key_type == KEY_TYPE_EC)
        return CKM_ECDSA;
    if (scheme->key_type == KEY_TYPE_ED25519)
        return CKM_EDDSA;
    return scheme->padding == PADDING_PSS ? CKM_RSA_PKCS_PSS : CKM_RSA_PKCS;
}

uint32_t mechanism_flag_of_type(CK_MECHANISM_TYPE type)
{
    switch (type) {
    case CKM_ECDSA:
        return MECHANISM_ECDSA;
    case CKM_RSA_PKCS:
        return MECHANISM_RSA_PKCS;
    case CKM_RSA_PKCS_PSS:
        return MECHANISM_RSA_PKCS_PSS;
    case CKM_EDDSA:
        return MECHANISM_EDDSA;
    case CKM_RSA_X_509:
        return MECHANISM_RSA_X_509;
    default:
        return 0;
    }
}

bool mechanism_is_offered(const struct scheme *scheme, uint32_t offered)
{
    uint32_t wanted = mechanism_flag_of_type(mechanism_type(scheme));

    if (wanted == MECHANISM_RSA_PKCS_PSS)
        wanted |= MECHANISM_RSA_X_509;
    return offered & wanted;
}

int mechanism_prepare(const struct scheme *scheme, unsigned int bits, struct wire_span data,
                      struct mechanism *ret_mechanism)
{
    struct mechanism_hash hash = mechanism_hash(scheme->hash);

    if (scheme->hash != HASH_NONE && data.len != hash_len(scheme->hash))
        return MECHANISM_E_DATA;
    ret_mechanism->ck = (CK_MECHANISM){.mechanism = mechanism_type(scheme)};
    ret_mechanism->input = data;
    /* Whole bytes: the order of P-521 is longer than any digest. */
    if (scheme->key_type == KEY_TYPE_EC && data.len > (bits + 7) / 8)
        ret_mechanism->input.len = (bits + 7) / 8;
    if (scheme->padding == PADDING_PSS) {
        ret_mechanism->pss = (CK_RSA_PKCS_PSS_PARAMS){hash.type, hash.mgf, data.len};
        ret_mechanism->ck.pParameter = &ret_mechanism->pss;
        ret_mechanism->ck.ulParameterLen = sizeof(ret_mechanism->pss);
    }
    if (scheme->padding == PADDING_PKCS1 && hash.prefix) {
        memcpy(ret_mechanism->digest_info, hash.prefix, sizeof(mechanism_prefix_sha256));
        memcpy(ret_mechanism->digest_info + sizeof(mechanism_prefix_sha256), data.data, data.len);
        ret_mechanism->input = (struct wire_span){ret_mechanism->digest_info,
                                                  sizeof(mechanism_prefix_sha256) + data.len};
    }
    return 0;
}
