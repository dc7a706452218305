/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EMSA-PSS: a block that NIST's signature opens to, and OpenSSL as the judge of blocks that a raw
 * RSA signature was made of.
 */
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "common/protocol.h"
#include "pkcs11/pss.h"
#include "rsa_key.h"
#include "unit.h"

/* FIPS 186-3 SigGenPSS, mod 1024, SHA-256, first message, salt of no length: its digest, and its
 * signature to the power of the public exponent. */
static const uint8_t nist_digest[] = {
    0x97, 0x88, 0xdd, 0x20, 0x0b, 0x80, 0x4e, 0xd0, 0x6a, 0xa8, 0x1a, 0x33, 0x2b, 0xfa, 0xd7, 0x15,
    0x4f, 0xbc, 0x0a, 0xd6, 0x1c, 0xf1, 0x94, 0xa0, 0x71, 0x50, 0xbf, 0x74, 0xcc, 0xf2, 0x86, 0x1d};
static const uint8_t nist_block[] = {
    0x64, 0xfe, 0x8d, 0x39, 0xed, 0xf6, 0x56, 0x7d, 0x75, 0x4c, 0x78, 0x95, 0xf0, 0x9a, 0xa5, 0x01,
    0x03, 0xf8, 0x79, 0x1d, 0x36, 0x27, 0xde, 0x5a, 0x4d, 0x48, 0x4c, 0x0f, 0x45, 0x60, 0x6d, 0x77,
    0x56, 0x35, 0x19, 0x3c, 0x65, 0x92, 0xd0, 0x82, 0xf7, 0x92, 0x8a, 0x90, 0x5a, 0xa8, 0x84, 0xbb,
    0x38, 0x76, 0xc5, 0xd4, 0x09, 0x6b, 0x5e, 0x1f, 0x6f, 0x64, 0x0f, 0xb6, 0x47, 0x8b, 0xd7, 0x5e,
    0x6d, 0x2a, 0xe1, 0x71, 0xfe, 0x88, 0x32, 0x97, 0xa2, 0x1f, 0xec, 0xee, 0x6b, 0x36, 0x18, 0x59,
    0xb2, 0x0f, 0x85, 0x98, 0xe0, 0xd3, 0xee, 0xd4, 0x11, 0x6d, 0x07, 0x28, 0xfb, 0x66, 0xc1, 0x3a,
    0x3b, 0x72, 0x82, 0xbc, 0xb8, 0x64, 0xfc, 0x43, 0x64, 0xa7, 0x12, 0x63, 0x4d, 0x74, 0xdd, 0xaa,
    0x22, 0xca, 0x94, 0xe0, 0xba, 0xcf, 0x17, 0xa6, 0x97, 0x66, 0xaf, 0x01, 0x84, 0x94, 0x55, 0xbc};

static const enum hash_id hashes[] = {HASH_SHA256, HASH_SHA384, HASH_SHA512};

static const EVP_MD *md_of(enum hash_id hash)
{
    return hash == HASH_SHA256 ? EVP_sha256() : hash == HASH_SHA384 ? EVP_sha384() : EVP_sha512();
}

/* As the token does it. */
static size_t sign_raw(EVP_PKEY *key, const uint8_t *block, size_t block_len, uint8_t *signature)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    size_t len = PROTOCOL_SIGNATURE_MAX;

    assert_true(EVP_PKEY_sign_init(ctx) > 0 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) > 0);
    assert_true(EVP_PKEY_sign(ctx, signature, &len, block, block_len) > 0);
    EVP_PKEY_CTX_free(ctx);
    return len;
}

/* With a salt of exactly the digest's length. */
static bool is_pss(EVP_PKEY *key, enum hash_id hash, const uint8_t *digest,
                   const uint8_t *signature, size_t len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

    assert_true(EVP_PKEY_verify_init(ctx) > 0 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
                EVP_PKEY_CTX_set_signature_md(ctx, md_of(hash)) > 0 &&
                EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0);
    bool is_valid = EVP_PKEY_verify(ctx, signature, len, digest, hash_len(hash)) == 1;
    EVP_PKEY_CTX_free(ctx);
    return is_valid;
}

static void test_encode_is_as_nist_has_it(void **state)
{
    uint8_t block[sizeof(nist_block)];

    (void)state;
    assert_int_equal(pss_encode(HASH_SHA256, (struct wire_span){nist_digest, sizeof(nist_digest)},
                                (struct wire_span){0}, 1024, block),
                     0);
    assert_memory_equal(block, nist_block, sizeof(block));
}

/* 1025, 2041 and 2049 bits: the encoded message is a byte shorter than the modulus, or has less
 * bits free in its first. */
static void test_encode_fresh_is_accepted_by_openssl(void **state)
{
    static const unsigned int sizes[] = {1025, 1088, 1534, 2041, 2047, 2048, 2049, 3072};
    uint8_t digest[DIGEST_LEN_MAX];
    uint8_t block[PROTOCOL_SIGNATURE_MAX];
    uint8_t signature[PROTOCOL_SIGNATURE_MAX];

    (void)state;
    memset(digest, 0x5a, sizeof(digest));
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        EVP_PKEY *key = rsa_key_load(sizes[i]);
        assert_non_null(key);
        /* OpenSSL may leave an odd size a bit short. */
        unsigned int bits = (unsigned int)EVP_PKEY_get_bits(key);
        for (size_t j = 0; j < ARRAY_SIZE(hashes); j++) {
            struct wire_span span = {digest, hash_len(hashes[j])};
            if (bits < 8 * (2 * span.len + 2))
                continue;
            assert_int_equal(pss_encode_fresh(hashes[j], span, bits, block), 0);
            size_t len = sign_raw(key, block, (bits + 7) / 8, signature);
            assert_true(is_pss(key, hashes[j], digest, signature, len));
            digest[0] ^= 1;
            assert_false(is_pss(key, hashes[j], digest, signature, len));
        }
        EVP_PKEY_free(key);
    }
}

static void test_encode_fresh_never_repeats(void **state)
{
    uint8_t digest[32] = {0};
    uint8_t first[256];
    uint8_t second[256];

    (void)state;
    assert_int_equal(pss_encode_fresh(HASH_SHA256, (struct wire_span){digest, 32}, 2048, first), 0);
    assert_int_equal(pss_encode_fresh(HASH_SHA256, (struct wire_span){digest, 32}, 2048, second),
                     0);
    assert_memory_not_equal(first, second, sizeof(first));
}

/* RFC 8017 section 9.1.1, step 3: emLen < hLen + sLen + 2. */
static void test_encode_needs_room(void **state)
{
    uint8_t digest[DIGEST_LEN_MAX] = {0};
    uint8_t block[PROTOCOL_SIGNATURE_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(hashes); i++) {
        struct wire_span span = {digest, hash_len(hashes[i])};
        unsigned int least = (unsigned int)(8 * (2 * span.len + 1) + 2);
        assert_int_equal(pss_encode(hashes[i], span, span, least, block), 0);
        assert_int_equal(pss_encode(hashes[i], span, span, least - 1, block), PSS_E_SIZE);
        assert_int_equal(pss_encode(hashes[i], span, span, 0, block), PSS_E_SIZE);
        span.len--;
        assert_int_equal(pss_encode(hashes[i], span, span, 2048, block), PSS_E_SIZE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode_is_as_nist_has_it),
        cmocka_unit_test(test_encode_fresh_is_accepted_by_openssl),
        cmocka_unit_test(test_encode_fresh_never_repeats),
        cmocka_unit_test(test_encode_needs_room),
    };

    return cmocka_run_group_tests_name("pss", tests, NULL, NULL);
}
