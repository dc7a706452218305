/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EMSA-PSS over EVP digests; see pss.h. OpenSSL's own function for it is deprecated, and its
 * EVP_PKEY_sign() wants the private key.
 */
#include "pkcs11/pss.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#include "pkcs11/verify.h"

#define PSS_TRAILER 0xbc
#define PSS_ZEROS_LEN 8u

DEFINE_CLEANUP(EVP_MD_CTX *, md_ctx, EVP_MD_CTX_free)

/* H = Hash(eight zeros || digest || salt). */
static bool pss_hash(EVP_MD_CTX *ctx, const EVP_MD *md, struct wire_span digest,
                     struct wire_span salt, uint8_t *ret_hash)
{
    static const uint8_t zeros[PSS_ZEROS_LEN];

    return EVP_DigestInit_ex(ctx, md, NULL) > 0 &&
           EVP_DigestUpdate(ctx, zeros, sizeof(zeros)) > 0 &&
           EVP_DigestUpdate(ctx, digest.data, digest.len) > 0 &&
           EVP_DigestUpdate(ctx, salt.data, salt.len) > 0 &&
           EVP_DigestFinal_ex(ctx, ret_hash, NULL) > 0;
}

/* MGF1 with the hash as its seed, laid over @block by exclusive or. */
static bool pss_mask(EVP_MD_CTX *ctx, const EVP_MD *md, struct wire_span seed, uint8_t *block,
                     size_t len)
{
    uint8_t mask[DIGEST_LEN_MAX];
    size_t done = 0;

    for (uint32_t counter = 0; done < len; counter++) {
        const uint8_t number[] = {(uint8_t)(counter >> 24), (uint8_t)(counter >> 16),
                                  (uint8_t)(counter >> 8), (uint8_t)counter};
        if (EVP_DigestInit_ex(ctx, md, NULL) <= 0 ||
            EVP_DigestUpdate(ctx, seed.data, seed.len) <= 0 ||
            EVP_DigestUpdate(ctx, number, sizeof(number)) <= 0 ||
            EVP_DigestFinal_ex(ctx, mask, NULL) <= 0)
            return false;
        for (size_t i = 0; i < seed.len && done < len; i++)
            block[done++] ^= mask[i];
    }
    return true;
}

int pss_encode(enum hash_id hash, struct wire_span digest, struct wire_span salt, unsigned int bits,
               uint8_t *ret_block)
{
    _cleanup_(cleanup_md_ctx) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *md = verify_get_md(hash);
    size_t block_len = (bits + 7) / 8;
    /* One bit less than the modulus: with 8n + 1 bits that is a byte less, a zero in front. */
    unsigned int encoded_bits = bits > 0 ? bits - 1 : 0;
    size_t encoded_len = (encoded_bits + 7) / 8;
    uint8_t *encoded = ret_block + (block_len - encoded_len);

    if (!ctx)
        return -ENOMEM;
    if (!md || digest.len != hash_len(hash) || encoded_len < digest.len + salt.len + 2)
        return PSS_E_SIZE;
    size_t db_len = encoded_len - digest.len - 1;
    memset(ret_block, 0, block_len);
    encoded[db_len - salt.len - 1] = 1;
    if (salt.len > 0)
        memcpy(encoded + db_len - salt.len, salt.data, salt.len);
    encoded[encoded_len - 1] = PSS_TRAILER;
    if (!pss_hash(ctx, md, digest, salt, encoded + db_len) ||
        !pss_mask(ctx, md, (struct wire_span){encoded + db_len, digest.len}, encoded, db_len))
        return -ENOMEM;
    encoded[0] &= (uint8_t)(0xff >> (8 * encoded_len - encoded_bits));
    return 0;
}

int pss_encode_fresh(enum hash_id hash, struct wire_span digest, unsigned int bits,
                     uint8_t *ret_block)
{
    uint8_t salt[DIGEST_LEN_MAX];
    size_t salt_len = hash_len(hash);

    if (RAND_bytes(salt, (int)salt_len) <= 0)
        return -EIO;
    return pss_encode(hash, digest, (struct wire_span){salt, salt_len}, bits, ret_block);
}
