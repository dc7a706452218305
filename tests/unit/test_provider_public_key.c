/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys out of SubjectPublicKeyInfo, AlgorithmIdentifiers, and the kind of a message: each
 * against what OpenSSL says. */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "client/lib/tls_message.h"
#include "client/provider/algorithm_id.h"
#include "client/provider/digest.h"
#include "client/provider/public_key.h"
#include "tests/unit/unit.h"

struct sample {
    const char *type;
    const char *curve;
    unsigned int rsa_bits;
    const char *pss_digest;
    const char *point_format;
    enum key_type key_type;
    bool is_known;
};

static const struct sample samples[] = {
    {.type = "EC", .curve = "P-256", .key_type = KEY_TYPE_EC, .is_known = true},
    {.type = "EC", .curve = "P-384", .key_type = KEY_TYPE_EC, .is_known = true},
    {.type = "EC", .curve = "P-521", .key_type = KEY_TYPE_EC, .is_known = true},
    {.type = "EC", .curve = "secp256k1"},
    {.type = "EC", .curve = "P-224"},
    {.type = "EC", .curve = "P-256", .point_format = "compressed"},
    {.type = "RSA", .rsa_bits = 1024, .key_type = KEY_TYPE_RSA, .is_known = true},
    {.type = "RSA", .rsa_bits = 2048, .key_type = KEY_TYPE_RSA, .is_known = true},
    {.type = "RSA", .rsa_bits = 2047, .key_type = KEY_TYPE_RSA, .is_known = true},
    {.type = "RSA", .rsa_bits = 512},
    {.type = "RSA-PSS", .rsa_bits = 2048, .key_type = KEY_TYPE_RSA_PSS, .is_known = true},
    {.type = "RSA-PSS",
     .rsa_bits = 2048,
     .pss_digest = "SHA384",
     .key_type = KEY_TYPE_RSA_PSS,
     .is_known = true},
    {.type = "RSA-PSS", .rsa_bits = 2048, .pss_digest = "SHA1"},
    {.type = "ED25519", .key_type = KEY_TYPE_ED25519, .is_known = true},
    {.type = "ED448"},
    {.type = "X25519"},
};

static EVP_PKEY *generate(const struct sample *sample)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, sample->type, NULL);
    EVP_PKEY *pkey = NULL;

    assert_true(EVP_PKEY_keygen_init(ctx) > 0);
    if (sample->curve)
        assert_true(EVP_PKEY_CTX_set_group_name(ctx, sample->curve) > 0);
    if (sample->rsa_bits)
        assert_true(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)sample->rsa_bits) > 0);
    if (sample->pss_digest) {
        assert_true(EVP_PKEY_CTX_set_rsa_pss_keygen_md_name(ctx, sample->pss_digest, NULL) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_pss_keygen_mgf1_md_name(ctx, sample->pss_digest) > 0);
    }
    assert_true(EVP_PKEY_generate(ctx, &pkey) > 0);
    if (sample->point_format)
        assert_true(EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                                   sample->point_format));
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

/* RSA keys take their time: each sample is made once. */
static EVP_PKEY *sample_keys[ARRAY_SIZE(samples)];

static EVP_PKEY *sample_key(size_t index)
{
    if (!sample_keys[index])
        sample_keys[index] = generate(&samples[index]);
    return sample_keys[index];
}

static size_t sample_of_type(const char *type)
{
    size_t index = 0;

    while (strcmp(samples[index].type, type) != 0)
        index++;
    return index;
}

static int free_samples(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
        EVP_PKEY_free(sample_keys[i]);
    return 0;
}

static struct wire_span encode(EVP_PKEY *pkey)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(pkey, &der);

    assert_true(len > 0);
    return (struct wire_span){der, (size_t)len};
}

static void test_parse_spki_of_every_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        EVP_PKEY *pkey = sample_key(i);
        struct wire_span spki = encode(pkey);
        struct public_key key = {0};
        int r = public_key_parse_spki(spki, &key);
        assert_int_equal(r, samples[i].is_known ? 0 : PUBLIC_KEY_E_UNSUPPORTED);
        if (r == 0) {
            assert_int_equal(key.type, samples[i].key_type);
            assert_int_equal(key.bits, EVP_PKEY_get_bits(pkey));
            assert_int_equal(public_key_signature_max(&key), EVP_PKEY_get_size(pkey));
            assert_true(public_key_is_equal(&key, &key));
        }
        public_key_deinit(&key);
        OPENSSL_free((void *)(uintptr_t)spki.data);
    }
}

static void test_parse_spki_keeps_restriction_of_pss(void **state)
{
    size_t index = sample_of_type("RSA-PSS") + 1;
    struct wire_span spki = encode(sample_key(index));
    struct public_key key = {0};

    (void)state;
    assert_string_equal(samples[index].pss_digest, "SHA384");
    assert_int_equal(public_key_parse_spki(spki, &key), 0);
    assert_int_equal(key.pss_hash, HASH_SHA384);
    public_key_deinit(&key);
    OPENSSL_free((void *)(uintptr_t)spki.data);
}

/* Every prefix, and every byte changed in eight ways: an answer, and no access outside (sanitizers
 * look at the copy, which is exactly as long). */
static void test_parse_spki_of_damaged_input(void **state)
{
    static const size_t chosen[] = {0, 2, 7, 11, 13};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(chosen); i++) {
        EVP_PKEY *pkey = sample_key(chosen[i]);
        struct wire_span spki = encode(pkey);
        for (size_t len = 0; len < spki.len; len++) {
            _cleanup_free_ uint8_t *copy = malloc(len ? len : 1);
            struct public_key key = {0};
            memcpy(copy, spki.data, len);
            assert_int_equal(public_key_parse_spki((struct wire_span){copy, len}, &key),
                             PUBLIC_KEY_E_UNSUPPORTED);
        }
        for (size_t at = 0; at < 8 * spki.len; at++) {
            _cleanup_free_ uint8_t *copy = malloc(spki.len);
            struct public_key key = {0};
            memcpy(copy, spki.data, spki.len);
            copy[at / 8] ^= (uint8_t)(1u << at % 8);
            int r = public_key_parse_spki((struct wire_span){copy, spki.len}, &key);
            assert_true(r == 0 || r == PUBLIC_KEY_E_UNSUPPORTED);
            public_key_deinit(&key);
        }
        OPENSSL_free((void *)(uintptr_t)spki.data);
    }
}

static void test_parse_spki_refuses_trailing_bytes(void **state)
{
    EVP_PKEY *pkey = sample_key(0);
    struct wire_span spki = encode(pkey);
    _cleanup_free_ uint8_t *longer = calloc(1, spki.len + 1);
    struct public_key key = {0};

    (void)state;
    memcpy(longer, spki.data, spki.len);
    assert_int_equal(public_key_parse_spki((struct wire_span){longer, spki.len + 1}, &key),
                     PUBLIC_KEY_E_UNSUPPORTED);
    OPENSSL_free((void *)(uintptr_t)spki.data);
}

static void test_import_of_what_the_default_provider_exports(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        if (!samples[i].is_known)
            continue;
        EVP_PKEY *pkey = sample_key(i);
        struct wire_span spki = encode(pkey);
        struct public_key parsed = {0};
        struct public_key imported = {0};
        OSSL_PARAM *params = NULL;
        assert_true(EVP_PKEY_todata(pkey, EVP_PKEY_PUBLIC_KEY, &params));
        assert_int_equal(public_key_parse_spki(spki, &parsed), 0);
        assert_int_equal(public_key_import(samples[i].key_type, params, &imported), 0);
        assert_true(public_key_is_equal(&parsed, &imported));
        OSSL_PARAM_free(params);
        public_key_deinit(&parsed);
        public_key_deinit(&imported);
        OPENSSL_free((void *)(uintptr_t)spki.data);
    }
}

static void test_compressed_and_whole_point_are_the_same_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY *pkey = sample_key(i);
        struct wire_span spki = encode(pkey);
        struct public_key whole = {0};
        assert_int_equal(public_key_parse_spki(spki, &whole), 0);
        struct public_key compressed = whole;
        compressed.point_len = 1 + whole.curve->field_len;
        compressed.point[0] = 2 | (whole.point[whole.point_len - 1] & 1);
        assert_true(public_key_is_equal(&whole, &compressed));
        assert_true(public_key_is_equal(&compressed, &whole));
        compressed.point[0] ^= 1;
        assert_false(public_key_is_equal(&whole, &compressed));
        compressed.point[0] ^= 1;
        compressed.point[5] ^= 1;
        assert_false(public_key_is_equal(&whole, &compressed));
        OPENSSL_free((void *)(uintptr_t)spki.data);
    }
}

/* The identifier of a certificate request that OpenSSL signs itself with the scheme. */
static void test_algorithm_id_is_the_one_of_openssl(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0xffff; code++) {
        const struct scheme *scheme = scheme_find(code);
        if (!scheme)
            continue;
        const char *type =
            scheme->key_type == KEY_TYPE_ED25519 ? "ED25519" : key_type_name(scheme->key_type);
        EVP_PKEY *pkey = sample_key(sample_of_type(type));
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        EVP_PKEY_CTX *pkey_ctx = NULL;
        unsigned char der[256];
        OSSL_PARAM params[] = {
            OSSL_PARAM_construct_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, der, sizeof(der)),
            OSSL_PARAM_construct_end(),
        };
        const char *digest = scheme->hash == HASH_NONE ? NULL : digest_name(scheme->hash);
        assert_int_equal(EVP_DigestSignInit_ex(ctx, &pkey_ctx, digest, NULL, NULL, pkey, NULL), 1);
        if (scheme->padding == PADDING_PSS) {
            assert_true(EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING) > 0);
            assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, RSA_PSS_SALTLEN_DIGEST) > 0);
        }
        assert_int_equal(EVP_PKEY_CTX_get_params(pkey_ctx, params), 1);
        assert_span_equal(algorithm_id_of_scheme(scheme),
                          ((struct wire_span){der, params[0].return_size}));
        EVP_MD_CTX_free(ctx);
    }
}

static void test_digest_names(void **state)
{
    (void)state;
    assert_int_equal(digest_from_name("SHA256"), HASH_SHA256);
    assert_int_equal(digest_from_name("sha2-384"), HASH_SHA384);
    assert_int_equal(digest_from_name("SHA-512"), HASH_SHA512);
    assert_int_equal(digest_from_name("2.16.840.1.101.3.4.2.1"), HASH_SHA256);
    assert_int_equal(digest_from_name("SHA1"), HASH_NONE);
    assert_int_equal(digest_from_name("SHA2-256/192"), HASH_NONE);
    assert_int_equal(digest_from_name(""), HASH_NONE);
    assert_int_equal(digest_from_len(48), HASH_SHA384);
    assert_int_equal(digest_from_len(20), HASH_NONE);
}

static const char client_context[] = "TLS 1.3, client CertificateVerify";
static const char server_context[] = "TLS 1.3, server CertificateVerify";

static struct wire_span certificate_verify(const char *context, size_t hash_len, uint8_t *buffer)
{
    memset(buffer, ' ', 64);
    memcpy(buffer + 64, context, sizeof(client_context));
    memset(buffer + 64 + sizeof(client_context), 1, hash_len);
    return (struct wire_span){buffer, 64 + sizeof(client_context) + hash_len};
}

static void test_kind_of_certificate_verify(void **state)
{
    uint8_t buffer[256];

    (void)state;
    assert_int_equal(tls_message_kind(certificate_verify(client_context, 32, buffer)),
                     MTLS_AGENT_TLS13);
    assert_int_equal(tls_message_kind(certificate_verify(client_context, 48, buffer)),
                     MTLS_AGENT_TLS13);
    assert_int_equal(tls_message_kind(certificate_verify(client_context, 64, buffer)),
                     MTLS_AGENT_DIGEST);
    assert_int_equal(tls_message_kind(certificate_verify(client_context, 31, buffer)),
                     MTLS_AGENT_DIGEST);
    assert_int_equal(tls_message_kind(certificate_verify(server_context, 32, buffer)),
                     MTLS_AGENT_DIGEST);
    for (size_t i = 0; i < 98; i++) {
        struct wire_span message = certificate_verify(client_context, 32, buffer);
        buffer[i] ^= 1;
        assert_int_equal(tls_message_kind(message), MTLS_AGENT_DIGEST);
    }
}

static void test_kind_of_handshake_messages(void **state)
{
    static const struct {
        struct wire_span message;
        enum mtls_agent_kind kind;
    } rows[] = {
        {WIRE_SPAN_LITERAL(""), MTLS_AGENT_DIGEST},
        {WIRE_SPAN_LITERAL("\x01"), MTLS_AGENT_DIGEST},
        {WIRE_SPAN_LITERAL("\x01\x00\x00\x01x"), MTLS_AGENT_DIGEST}, /* a ClientHello alone */
        {WIRE_SPAN_LITERAL("\x01\x00\x00\x01x\x02\x00\x00\x02yy"), MTLS_AGENT_TLS12},
        {WIRE_SPAN_LITERAL("\x01\x00\x00\x01x\x0e\x00\x00\x00"), MTLS_AGENT_TLS12},
        {WIRE_SPAN_LITERAL("\x01\x00\x00\x01x\x02\x00\x00\x03yy"), MTLS_AGENT_DIGEST},
        {WIRE_SPAN_LITERAL("\x01\x00\x00\x01x\x02\x00\x00\x02yyz"), MTLS_AGENT_DIGEST},
        {WIRE_SPAN_LITERAL("\x01\xff\xff\xffx\x02\x00\x00\x02yy"), MTLS_AGENT_DIGEST},
        {WIRE_SPAN_LITERAL("\x02\x00\x00\x01x\x02\x00\x00\x02yy"), MTLS_AGENT_DIGEST},
        {WIRE_SPAN_LITERAL("\x00\x00\x00\x01x\x01\x00\x00\x02yy"), MTLS_AGENT_DIGEST},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(tls_message_kind(rows[i].message), rows[i].kind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_spki_of_every_type),
        cmocka_unit_test(test_parse_spki_keeps_restriction_of_pss),
        cmocka_unit_test(test_parse_spki_of_damaged_input),
        cmocka_unit_test(test_parse_spki_refuses_trailing_bytes),
        cmocka_unit_test(test_import_of_what_the_default_provider_exports),
        cmocka_unit_test(test_compressed_and_whole_point_are_the_same_key),
        cmocka_unit_test(test_algorithm_id_is_the_one_of_openssl),
        cmocka_unit_test(test_digest_names),
        cmocka_unit_test(test_kind_of_certificate_verify),
        cmocka_unit_test(test_kind_of_handshake_messages),
    };

    return cmocka_run_group_tests(tests, NULL, free_samples);
}
