/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifying with a public key, for C_Verify; see crypto.h. The caller's lengths are answered as
 * PKCS #11 wants it before OpenSSL, which has one answer for all of them, is asked.
 *
 * Spec: PKCS #11 v2.40 "Mechanisms" (forms of data and signatures), v3.0 (EdDSA).
 */
#include <limits.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "client/module/crypto/internal.h"
#include "common/der_ecdsa.h"

#define VERIFY_ED25519_LEN 64u
#define VERIFY_PKCS1_OVERHEAD 11u /* RFC 8017 section 9.2: 00 01, eight bytes of padding, 00 */

DEFINE_CLEANUP(EVP_PKEY *, pkey, EVP_PKEY_free)
DEFINE_CLEANUP(EVP_PKEY_CTX *, pkey_ctx, EVP_PKEY_CTX_free)
DEFINE_CLEANUP(EVP_MD_CTX *, md_ctx, EVP_MD_CTX_free)

/* NULL when it is no key, or something follows it. */
static EVP_PKEY *verify_read_key(const struct crypto_library *library, struct wire_span spki)
{
    _cleanup_(cleanup_pkey) EVP_PKEY *pkey = NULL;
    const unsigned char *at = spki.data;

    if (spki.len > LONG_MAX)
        return NULL;
    pkey = d2i_PUBKEY_ex(NULL, &at, (long)spki.len, library->context, NULL);
    return pkey && at == spki.data + spki.len ? TAKE_PTR(pkey) : NULL;
}

/* The digest that is signed: @data itself, or what @digest is filled with. */
static int verify_prepare_data(const struct crypto_library *library,
                               const struct crypto_verify *request, uint8_t digest[DIGEST_LEN_MAX],
                               struct wire_span *ret_data)
{
    size_t len = hash_len(request->hash);

    if (len > 0 && request->is_message) {
        if (!EVP_Digest(request->data.data, request->data.len, digest, NULL,
                        library->md[request->hash], NULL))
            return -EIO;
        *ret_data = (struct wire_span){digest, len};
        return 0;
    }
    if (len > 0 && request->data.len != len)
        return CRYPTO_E_DATA_LEN;
    *ret_data = request->data;
    return 0;
}

static int verify_with(EVP_PKEY_CTX *ctx, struct wire_span data, struct wire_span signature)
{
    return EVP_PKEY_verify(ctx, signature.data, signature.len, data.data, data.len) == 1
               ? 0
               : CRYPTO_E_BAD_SIGNATURE;
}

static bool verify_set_rsa(const struct crypto_library *library, EVP_PKEY_CTX *ctx,
                           const struct crypto_verify *request)
{
    const EVP_MD *md = library->md[request->hash];

    if (request->padding == PADDING_PKCS1)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
               (!md || EVP_PKEY_CTX_set_signature_md(ctx, md) > 0);
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_signature_md(ctx, md) > 0 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, (int)request->salt_len) > 0;
}

/* The digest of PSS must have a hash; an id-RSASSA-PSS key is for nothing else. */
static bool verify_rsa_fits(const EVP_PKEY *pkey, const struct crypto_verify *request,
                            size_t modulus_len)
{
    if (request->padding == PADDING_PKCS1)
        return EVP_PKEY_is_a(pkey, "RSA");
    return request->padding == PADDING_PSS && request->hash != HASH_NONE &&
           request->salt_len < modulus_len;
}

static int verify_rsa(const struct crypto_library *library, EVP_PKEY *pkey, EVP_PKEY_CTX *ctx,
                      const struct crypto_verify *request, struct wire_span data)
{
    size_t modulus_len = (size_t)EVP_PKEY_get_size(pkey);

    if (!verify_rsa_fits(pkey, request, modulus_len))
        return CRYPTO_E_UNSUPPORTED;
    if (request->signature.len != modulus_len)
        return CRYPTO_E_SIGNATURE_LEN;
    if (request->hash == HASH_NONE &&
        (modulus_len < VERIFY_PKCS1_OVERHEAD || data.len > modulus_len - VERIFY_PKCS1_OVERHEAD))
        return CRYPTO_E_DATA_LEN;
    if (!verify_set_rsa(library, ctx, request))
        return CRYPTO_E_UNSUPPORTED;
    return verify_with(ctx, data, request->signature);
}

/* The curve's bits; 0 for one that is not ours. */
static unsigned int verify_curve_bits(const EVP_PKEY *pkey)
{
    static const struct {
        const char *name;
        unsigned int bits;
    } curves[] = {{"prime256v1", 256}, {"secp384r1", 384}, {"secp521r1", 521}};
    char name[64];

    if (!EVP_PKEY_get_group_name(pkey, name, sizeof(name), NULL))
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(curves); i++)
        if (strcmp(curves[i].name, name) == 0)
            return curves[i].bits;
    return 0;
}

static int verify_ecdsa(EVP_PKEY *pkey, EVP_PKEY_CTX *ctx, const struct crypto_verify *request,
                        struct wire_span data)
{
    unsigned int bits = verify_curve_bits(pkey);
    uint8_t der[DER_ECDSA_MAX];
    size_t len = 0;

    if (bits == 0 || request->padding != PADDING_NONE)
        return CRYPTO_E_UNSUPPORTED;
    if (request->signature.len != (size_t)2 * ((bits + 7) / 8))
        return CRYPTO_E_SIGNATURE_LEN;
    if (data.len == 0)
        return CRYPTO_E_DATA_LEN;
    if (der_ecdsa_from_raw(bits, request->signature, der, &len))
        return CRYPTO_E_BAD_SIGNATURE;
    return verify_with(ctx, data, (struct wire_span){der, len});
}

static int verify_ed25519(const struct crypto_library *library, EVP_PKEY *pkey,
                          const struct crypto_verify *request)
{
    _cleanup_(cleanup_md_ctx) EVP_MD_CTX *ctx = NULL;

    if (request->padding != PADDING_NONE || request->hash != HASH_NONE)
        return CRYPTO_E_UNSUPPORTED;
    if (request->signature.len != VERIFY_ED25519_LEN)
        return CRYPTO_E_SIGNATURE_LEN;
    ctx = EVP_MD_CTX_new();
    if (!ctx)
        return -ENOMEM;
    if (EVP_DigestVerifyInit_ex(ctx, NULL, NULL, library->context, NULL, pkey, NULL) <= 0)
        return -EIO;
    return EVP_DigestVerify(ctx, request->signature.data, request->signature.len,
                            request->data.data, request->data.len) == 1
               ? 0
               : CRYPTO_E_BAD_SIGNATURE;
}

/* Every key but Ed25519, which takes no digest. */
static int verify_digest(const struct crypto_library *library, EVP_PKEY *pkey,
                         const struct crypto_verify *request)
{
    _cleanup_(cleanup_pkey_ctx) EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_pkey(library->context, pkey, NULL);
    uint8_t digest[DIGEST_LEN_MAX];
    struct wire_span data;

    if (!ctx)
        return -ENOMEM;
    if (EVP_PKEY_verify_init(ctx) <= 0)
        return CRYPTO_E_UNSUPPORTED;
    int r = verify_prepare_data(library, request, digest, &data);
    if (r)
        return r;
    if (EVP_PKEY_is_a(pkey, "EC"))
        return verify_ecdsa(pkey, ctx, request, data);
    if (EVP_PKEY_is_a(pkey, "RSA") || EVP_PKEY_is_a(pkey, "RSA-PSS"))
        return verify_rsa(library, pkey, ctx, request, data);
    return CRYPTO_E_UNSUPPORTED;
}

int crypto_verify(const struct crypto_verify *request)
{
    CRYPTO_KEEP_ERRORS();
    const struct crypto_library *library = crypto_library_get();
    _cleanup_(cleanup_pkey) EVP_PKEY *pkey = NULL;

    if (request->hash != HASH_NONE && hash_len(request->hash) == 0)
        return CRYPTO_E_UNSUPPORTED;
    pkey = verify_read_key(library, request->spki);
    if (!pkey)
        return CRYPTO_E_UNSUPPORTED;
    return EVP_PKEY_is_a(pkey, "ED25519") ? verify_ed25519(library, pkey, request)
                                          : verify_digest(library, pkey, request);
}
