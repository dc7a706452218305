/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PKCS#11 module's part for libcrypto, loaded as the module loads it: published vectors and
 * signatures that OpenSSL made, each with what must not pass for one.
 */
#include <dlfcn.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "client/module/crypto/crypto.h"
#include "common/der_ecdsa.h"
#include "rsa_key.h"
#include "unit.h"

#define THREADS 4u
#define ROUNDS 10u

static const struct module_crypto *crypto;

/* A key, and one good signature of it. The request's spans point into the rest. */
struct signed_data {
    EVP_PKEY *pkey; /* borrowed */
    uint8_t *spki;
    uint8_t data[DIGEST_LEN_MAX];
    uint8_t signature[512];
    struct crypto_verify request;
};

static struct wire_span from_hex(const char *hex, uint8_t *bytes, size_t size)
{
    size_t len = 0;

    assert_int_equal(OPENSSL_hexstr2buf_ex(bytes, size, &len, hex, '\0'), 1);
    return (struct wire_span){bytes, len};
}

/* --- hashing: FIPS 180-4, "abc" --- */

static const struct {
    enum hash_id hash;
    const char *digest;
} abc_vectors[] = {
    {HASH_SHA256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {HASH_SHA384, "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
                  "8086072ba1e7cc2358baeca134c825a7"},
    {HASH_SHA512, "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                  "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
};

static void test_hash_vectors_in_parts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(abc_vectors); i++) {
        struct crypto_hash *hash = crypto->hash_new(abc_vectors[i].hash);
        uint8_t digest[DIGEST_LEN_MAX];
        uint8_t expected[DIGEST_LEN_MAX];

        assert_non_null(hash);
        assert_int_equal(crypto->hash_update(hash, WIRE_SPAN_LITERAL("a")), 0);
        assert_int_equal(crypto->hash_update(hash, (struct wire_span){0}), 0);
        assert_int_equal(crypto->hash_update(hash, WIRE_SPAN_LITERAL("bc")), 0);
        assert_int_equal(crypto->hash_final(hash, digest), 0);
        assert_null(crypto->hash_free(hash));
        assert_span_equal(((struct wire_span){digest, hash_len(abc_vectors[i].hash)}),
                          from_hex(abc_vectors[i].digest, expected, sizeof(expected)));
    }
}

static void test_hash_new_refuses_no_hash(void **state)
{
    (void)state;
    assert_null(crypto->hash_new(HASH_NONE));
    assert_null(crypto->hash_new((enum hash_id)(HASH_SHA512 + 1)));
    assert_null(crypto->hash_free(NULL));
}

static void test_hash_free_in_the_middle(void **state)
{
    (void)state;
    struct crypto_hash *hash = crypto->hash_new(HASH_SHA256);

    assert_non_null(hash);
    assert_int_equal(crypto->hash_update(hash, WIRE_SPAN_LITERAL("a")), 0);
    assert_null(crypto->hash_free(hash));
}

/* --- published signatures: RFC 6979 A.2.5 and A.2.6, RFC 8032 section 7.1 --- */

static const struct signature_vector {
    const char *spki;
    enum hash_id hash;
    const char *message; /* hex */
    const char *signature;
} signature_vectors[] = {
    {"3059301306072a8648ce3d020106082a8648ce3d03010703420004"
     "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
     "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
     HASH_SHA256, "73616d706c65",
     "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
     "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"},
    {"3076301006072a8648ce3d020106052b8104002203620004"
     "ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480b"
     "c13"
     "8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264"
     "720",
     HASH_SHA384, "73616d706c65",
     "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fab"
     "e46"
     "99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628"
     "ac8"},
    {"302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
     HASH_NONE, "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "46b"
     "d25bf5f0595bbe24655141438e7a100b"},
    {"302a300506032b65700321003d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
     HASH_NONE, "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d8c"
     "387b2eaeb4302aeeb00d291612bb0c00"},
};

static struct crypto_verify vector_request(const struct signature_vector *vector, uint8_t spki[256],
                                           uint8_t message[64], uint8_t signature[128])
{
    return (struct crypto_verify){
        .spki = from_hex(vector->spki, spki, 256),
        .hash = vector->hash,
        .is_message = true,
        .data = from_hex(vector->message, message, 64),
        .signature = from_hex(vector->signature, signature, 128),
    };
}

static void test_verify_published_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(signature_vectors); i++) {
        uint8_t spki[256];
        uint8_t message[64];
        uint8_t signature[128];
        struct crypto_verify request =
            vector_request(&signature_vectors[i], spki, message, signature);

        assert_int_equal(crypto->verify(&request), 0);
        signature[3] ^= 1;
        assert_int_equal(crypto->verify(&request), CRYPTO_E_BAD_SIGNATURE);
    }
}

/* --- fresh signatures, one for each key and padding --- */

enum which_key { WHICH_P256, WHICH_P384, WHICH_P521, WHICH_RSA, WHICH_RSA_PSS, WHICH_ED25519 };

static EVP_PKEY *keys[WHICH_ED25519 + 1]; /* made when first asked for */

static const struct signed_case {
    enum which_key key;
    enum hash_id hash;
    enum scheme_padding padding;
    size_t data_len;
    size_t salt_len;
} signed_cases[] = {
    {WHICH_P256, HASH_SHA256, PADDING_NONE, 32, 0},
    {WHICH_P256, HASH_NONE, PADDING_NONE, 20, 0},
    {WHICH_P256, HASH_NONE, PADDING_NONE, 64, 0},
    {WHICH_P384, HASH_SHA512, PADDING_NONE, 64, 0},
    {WHICH_P521, HASH_SHA512, PADDING_NONE, 64, 0},
    {WHICH_RSA, HASH_SHA256, PADDING_PKCS1, 32, 0},
    {WHICH_RSA, HASH_SHA512, PADDING_PKCS1, 64, 0},
    {WHICH_RSA, HASH_NONE, PADDING_PKCS1, 36, 0},
    {WHICH_RSA, HASH_SHA256, PADDING_PSS, 32, 32},
    {WHICH_RSA, HASH_SHA384, PADDING_PSS, 48, 0},
    {WHICH_RSA_PSS, HASH_SHA512, PADDING_PSS, 64, 20},
    {WHICH_ED25519, HASH_NONE, PADDING_NONE, 50, 0},
};

static EVP_PKEY *make_key(enum which_key which)
{
    switch (which) {
    case WHICH_P256:
        return EVP_EC_gen("P-256");
    case WHICH_P384:
        return EVP_EC_gen("P-384");
    case WHICH_P521:
        return EVP_EC_gen("P-521");
    case WHICH_ED25519:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    case WHICH_RSA_PSS:
        return rsa_key_load_pss();
    case WHICH_RSA:
        break;
    }
    return rsa_key_load(2048);
}

static EVP_PKEY *get_key(enum which_key which)
{
    if (!keys[which])
        keys[which] = make_key(which);
    assert_non_null(keys[which]);
    return keys[which];
}

static const EVP_MD *md_of(enum hash_id hash)
{
    static const char *const names[] = {"", "SHA256", "SHA384", "SHA512"};

    return hash == HASH_NONE ? NULL : EVP_get_digestbyname(names[hash]);
}

static size_t sign_message(const struct signed_data *made, uint8_t *signature, size_t size)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    assert_true(EVP_DigestSignInit(ctx, NULL, NULL, NULL, made->pkey) > 0 &&
                EVP_DigestSign(ctx, signature, &size, made->data, made->request.data.len) > 0);
    EVP_MD_CTX_free(ctx);
    return size;
}

static size_t sign_digest(const struct signed_data *made, uint8_t *signature, size_t size)
{
    const struct crypto_verify *request = &made->request;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(made->pkey, NULL);

    assert_true(EVP_PKEY_sign_init(ctx) > 0);
    if (request->padding == PADDING_PSS)
        assert_true(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
                    EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, (int)request->salt_len) > 0);
    if (request->hash != HASH_NONE)
        assert_true(EVP_PKEY_CTX_set_signature_md(ctx, md_of(request->hash)) > 0);
    assert_true(EVP_PKEY_sign(ctx, signature, &size, made->data, request->data.len) > 0);
    EVP_PKEY_CTX_free(ctx);
    return size;
}

static struct signed_data *signed_data_new(const struct signed_case *wanted)
{
    struct signed_data *made = calloc(1, sizeof(*made));
    uint8_t signature[512];

    assert_non_null(made);
    made->pkey = get_key(wanted->key);
    int spki_len = i2d_PUBKEY(made->pkey, &made->spki);
    assert_true(spki_len > 0);
    memset(made->data, 0x5a, sizeof(made->data));
    made->request = (struct crypto_verify){
        .spki = {made->spki, (size_t)spki_len},
        .padding = wanted->padding,
        .hash = wanted->hash,
        .salt_len = wanted->salt_len,
        .data = {made->data, wanted->data_len},
        .signature = {made->signature, 0},
    };
    bool is_ed25519 = wanted->key == WHICH_ED25519;
    size_t len = is_ed25519 ? sign_message(made, signature, sizeof(signature))
                            : sign_digest(made, signature, sizeof(signature));
    if (wanted->key <= WHICH_P521)
        assert_int_equal(der_ecdsa_to_raw((unsigned int)EVP_PKEY_get_bits(made->pkey),
                                          (struct wire_span){signature, len}, made->signature,
                                          &len),
                         0);
    else
        memcpy(made->signature, signature, len);
    made->request.signature.len = len;
    return made;
}

static void signed_data_free(struct signed_data *made)
{
    OPENSSL_free(made->spki);
    free(made);
}

static void for_every_case(void (*check)(struct signed_data *made))
{
    for (size_t i = 0; i < ARRAY_SIZE(signed_cases); i++) {
        struct signed_data *made = signed_data_new(&signed_cases[i]);
        check(made);
        signed_data_free(made);
    }
}

static void check_good(struct signed_data *made)
{
    assert_int_equal(crypto->verify(&made->request), 0);
}

static void test_verify_every_key_and_padding(void **state)
{
    (void)state;
    for_every_case(check_good);
}

static void check_changed_signature(struct signed_data *made)
{
    for (size_t i = 0; i < made->request.signature.len; i += 11) {
        made->signature[i] ^= (uint8_t)(1u << (i % 8));
        assert_int_equal(crypto->verify(&made->request), CRYPTO_E_BAD_SIGNATURE);
        made->signature[i] ^= (uint8_t)(1u << (i % 8));
    }
}

static void test_verify_refuses_a_changed_signature(void **state)
{
    (void)state;
    for_every_case(check_changed_signature);
}

static void check_changed_data(struct signed_data *made)
{
    made->data[0] ^= 1;
    assert_int_equal(crypto->verify(&made->request), CRYPTO_E_BAD_SIGNATURE);
}

static void test_verify_refuses_changed_data(void **state)
{
    (void)state;
    for_every_case(check_changed_data);
}

static void check_signature_len(struct signed_data *made)
{
    size_t len = made->request.signature.len;
    const size_t wrong[] = {0, 1, len / 2, len - 1, len + 1};

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        made->request.signature.len = wrong[i];
        assert_int_equal(crypto->verify(&made->request), CRYPTO_E_SIGNATURE_LEN);
    }
}

static void test_verify_tells_a_wrong_signature_length(void **state)
{
    (void)state;
    for_every_case(check_signature_len);
}

static void check_data_len(struct signed_data *made)
{
    if (made->request.hash == HASH_NONE)
        return;
    made->request.data.len--;
    assert_int_equal(crypto->verify(&made->request), CRYPTO_E_DATA_LEN);
    made->request.data.len = 0;
    assert_int_equal(crypto->verify(&made->request), CRYPTO_E_DATA_LEN);
}

static void test_verify_tells_a_wrong_digest_length(void **state)
{
    (void)state;
    for_every_case(check_data_len);
}

static void test_verify_tells_raw_data_that_is_too_long(void **state)
{
    static const struct signed_case wanted = {WHICH_RSA, HASH_NONE, PADDING_PKCS1, 36, 0};
    static const uint8_t data[256 - 10];
    struct signed_data *made = signed_data_new(&wanted);

    (void)state;
    made->request.data = (struct wire_span){data, sizeof(data)};
    assert_int_equal(crypto->verify(&made->request), CRYPTO_E_DATA_LEN);
    made->request.data.len--;
    assert_int_equal(crypto->verify(&made->request), CRYPTO_E_BAD_SIGNATURE);
    signed_data_free(made);
}

static void check_bad_key(struct signed_data *made)
{
    struct wire_span spki = made->request.spki;

    for (size_t len = 0; len < spki.len; len += 5) {
        made->request.spki.len = len;
        assert_int_equal(crypto->verify(&made->request), CRYPTO_E_UNSUPPORTED);
    }
    uint8_t longer[1024] = {0};
    memcpy(longer, spki.data, spki.len);
    made->request.spki = (struct wire_span){longer, spki.len + 1};
    assert_int_equal(crypto->verify(&made->request), CRYPTO_E_UNSUPPORTED);
}

static void test_verify_refuses_a_key_that_is_cut_or_goes_on(void **state)
{
    (void)state;
    for_every_case(check_bad_key);
}

static void test_verify_refuses_parameters_of_other_keys(void **state)
{
    static const struct {
        struct signed_case made;
        enum scheme_padding padding;
        enum hash_id hash;
        size_t salt_len;
    } cases[] = {
        {{WHICH_P256, HASH_SHA256, PADDING_NONE, 32, 0}, PADDING_PKCS1, HASH_SHA256, 0},
        {{WHICH_P256, HASH_SHA256, PADDING_NONE, 32, 0}, PADDING_NONE, (enum hash_id)9, 0},
        {{WHICH_RSA, HASH_SHA256, PADDING_PKCS1, 32, 0}, PADDING_NONE, HASH_SHA256, 0},
        {{WHICH_RSA, HASH_SHA256, PADDING_PKCS1, 32, 0}, (enum scheme_padding)7, HASH_SHA256, 0},
        {{WHICH_RSA, HASH_SHA256, PADDING_PSS, 32, 32}, PADDING_PSS, HASH_NONE, 32},
        {{WHICH_RSA, HASH_SHA256, PADDING_PSS, 32, 32}, PADDING_PSS, HASH_SHA256, (size_t)-1},
        {{WHICH_RSA_PSS, HASH_SHA256, PADDING_PSS, 32, 32}, PADDING_PKCS1, HASH_SHA256, 0},
        {{WHICH_ED25519, HASH_NONE, PADDING_NONE, 32, 0}, PADDING_NONE, HASH_SHA256, 0},
        {{WHICH_ED25519, HASH_NONE, PADDING_NONE, 32, 0}, PADDING_PKCS1, HASH_NONE, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct signed_data *made = signed_data_new(&cases[i].made);
        made->request.padding = cases[i].padding;
        made->request.hash = cases[i].hash;
        made->request.salt_len = cases[i].salt_len;
        assert_int_equal(crypto->verify(&made->request), CRYPTO_E_UNSUPPORTED);
        signed_data_free(made);
    }
}

static void test_verify_refuses_another_salt_length(void **state)
{
    static const struct signed_case wanted = {WHICH_RSA, HASH_SHA256, PADDING_PSS, 32, 32};
    struct signed_data *made = signed_data_new(&wanted);

    (void)state;
    made->request.salt_len = 20;
    assert_int_equal(crypto->verify(&made->request), CRYPTO_E_BAD_SIGNATURE);
    signed_data_free(made);
}

static void test_verify_refuses_a_curve_that_is_not_ours(void **state)
{
    static const uint8_t bytes[64] = {1};
    EVP_PKEY *pkey = EVP_EC_gen("secp256k1");
    uint8_t *spki = NULL;
    struct crypto_verify request = {
        .hash = HASH_SHA256, .data = {bytes, 32}, .signature = {bytes, sizeof(bytes)}};

    (void)state;
    assert_non_null(pkey);
    request.spki.len = (size_t)i2d_PUBKEY(pkey, &spki);
    request.spki.data = spki;
    assert_int_equal(crypto->verify(&request), CRYPTO_E_UNSUPPORTED);
    OPENSSL_free(spki);
    EVP_PKEY_free(pkey);
}

/* --- the program around it --- */

static void check_error_queue(struct signed_data *made, int expected)
{
    ERR_clear_error();
    assert_int_equal(crypto->verify(&made->request), expected);
    assert_int_equal(ERR_peek_error(), 0);

    ERR_raise(ERR_LIB_USER, 1);
    ERR_raise(ERR_LIB_USER, 2);
    assert_int_equal(crypto->verify(&made->request), expected);
    assert_int_equal(ERR_GET_REASON(ERR_get_error()), 1);
    assert_int_equal(ERR_GET_REASON(ERR_get_error()), 2);
    assert_int_equal(ERR_get_error(), 0);
}

static void check_errors_stay(struct signed_data *made)
{
    check_error_queue(made, 0);
    made->signature[5] ^= 1;
    check_error_queue(made, CRYPTO_E_BAD_SIGNATURE);
    made->request.spki.len -= 3;
    check_error_queue(made, CRYPTO_E_UNSUPPORTED);
}

static void test_verify_leaves_the_error_queue(void **state)
{
    (void)state;
    for_every_case(check_errors_stay);
}

/* The marks of a program that is in the middle of something itself. */
static void test_verify_leaves_a_mark(void **state)
{
    static const struct signed_case wanted = {WHICH_RSA, HASH_SHA256, PADDING_PSS, 32, 32};
    struct signed_data *made = signed_data_new(&wanted);

    (void)state;
    ERR_clear_error();
    ERR_raise(ERR_LIB_USER, 1);
    assert_int_equal(ERR_set_mark(), 1);
    ERR_raise(ERR_LIB_USER, 2);
    made->signature[0] ^= 1;
    assert_int_equal(crypto->verify(&made->request), CRYPTO_E_BAD_SIGNATURE);
    assert_int_equal(ERR_pop_to_mark(), 1);
    assert_int_equal(ERR_GET_REASON(ERR_get_error()), 1);
    assert_int_equal(ERR_get_error(), 0);
    signed_data_free(made);
}

struct verifier {
    const struct signed_data *made;
    struct crypto_verify bad;
    unsigned int wrong; /* answers */
};

static void *run_verifier(void *argument)
{
    struct verifier *verifier = argument;

    for (unsigned int i = 0; i < ROUNDS; i++) {
        verifier->wrong += crypto->verify(&verifier->made->request) != 0;
        verifier->wrong += crypto->verify(&verifier->bad) != CRYPTO_E_BAD_SIGNATURE;
        verifier->wrong += ERR_peek_error() != 0;
    }
    return NULL;
}

static void check_threads(struct signed_data *made)
{
    static const uint8_t other_data[DIGEST_LEN_MAX];
    struct verifier verifiers[THREADS];
    pthread_t threads[THREADS];

    for (size_t i = 0; i < THREADS; i++) {
        verifiers[i] = (struct verifier){.made = made, .bad = made->request};
        verifiers[i].bad.data.data = other_data;
        assert_int_equal(pthread_create(&threads[i], NULL, run_verifier, &verifiers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(verifiers[i].wrong, 0);
    }
}

static void test_verify_from_many_threads(void **state)
{
    (void)state;
    for_every_case(check_threads);
}

/* --- setup: first of all, as a program does that has not used OpenSSL yet --- */

static char test_dir[] = "/tmp/mtls-module-crypto-XXXXXX";

static void in_test_dir(char path[PATH_MAX], const char *name)
{
    int len = snprintf(path, PATH_MAX, "%s/%s", test_dir, name);

    if (len < 0 || len >= PATH_MAX)
        abort();
}

static void copy_file(const char *from, const char *to)
{
    _cleanup_fclose_ FILE *in = fopen(from, "re");
    _cleanup_fclose_ FILE *out = fopen(to, "we");
    char buffer[4096];

    if (!in || !out)
        abort();
    for (size_t len = 0; (len = fread(buffer, 1, sizeof(buffer), in)) > 0;)
        if (fwrite(buffer, 1, len, out) != len)
            abort();
}

/* Return: the loader's answer, from a file that is at @name in the test's folder. */
static const struct module_crypto *ask_loader(const char *name)
{
    char path[PATH_MAX];

    in_test_dir(path, name);
    void *file = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!file) {
        (void)fprintf(stderr, "%s\n", dlerror());
        abort();
    }
    const struct module_crypto *(*get)(void) =
        (const struct module_crypto *(*)(void))dlsym(file, "crypto_loader_get");
    return get ? get() : NULL;
}

/* As after an installation: pkcs11/ and mtls-agent/ beside each other. */
static void make_test_dir(void)
{
    static const char *const folders[] = {"pkcs11", "mtls-agent", "links"};
    char path[PATH_MAX];
    char target[PATH_MAX];

    if (!mkdtemp(test_dir))
        abort();
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        in_test_dir(path, folders[i]);
        if (mkdir(path, 0700))
            abort();
    }
    in_test_dir(path, "pkcs11/loader.so");
    copy_file(getenv("CRYPTO_LOADER_SO"), path);
    in_test_dir(target, "links/linked.so");
    if (symlink(path, target))
        abort();
    in_test_dir(path, "openssl.cnf");
    FILE *conf = fopen(path, "we");
    if (!conf ||
        fputs("openssl_conf = start\n[start]\noid_section = oids\n"
              "[oids]\nmtlsTestObject = 1.2.3.4.5.6.7\n",
              conf) < 0 ||
        fclose(conf) || setenv("OPENSSL_CONF", path, 1))
        abort();
}

static void test_load_answers_null_without_the_file(void **state)
{
    (void)state;
    assert_null(ask_loader("pkcs11/loader.so"));
}

static void test_load_finds_the_file_and_is_asked_again(void **state)
{
    char path[PATH_MAX];

    (void)state;
    in_test_dir(path, "mtls-agent/mtls-agent-crypto.so");
    assert_int_equal(symlink(getenv("MODULE_CRYPTO_SO"), path), 0);
    crypto = ask_loader("pkcs11/loader.so");
    assert_non_null(crypto);
    assert_ptr_equal(ask_loader("pkcs11/loader.so"), crypto);
}

static void test_load_follows_a_link_to_the_module(void **state)
{
    (void)state;
    assert_ptr_equal(ask_loader("links/linked.so"), crypto);
}

/* It can be loaded once only: a program that comes later must not find that prevented. */
static void test_verify_leaves_the_configuration_to_the_program(void **state)
{
    uint8_t spki[256];
    uint8_t message[64];
    uint8_t signature[128];
    struct crypto_verify request = vector_request(&signature_vectors[0], spki, message, signature);

    (void)state;
    assert_int_equal(crypto->verify(&request), 0);
    assert_int_not_equal(OBJ_txt2nid("mtlsTestObject"), NID_undef);
}

/* What the program has set for itself finds no implementation at all. */
static void test_verify_does_not_use_the_settings_of_the_program(void **state)
{
    uint8_t spki[256];
    uint8_t message[64];
    uint8_t signature[128];
    struct crypto_verify request = vector_request(&signature_vectors[0], spki, message, signature);

    (void)state;
    assert_int_equal(EVP_set_default_properties(NULL, "provider=none"), 1);
    assert_null(EVP_MD_fetch(NULL, "SHA256", NULL));
    ERR_clear_error();
    int answer = crypto->verify(&request);
    struct crypto_hash *hash = crypto->hash_new(HASH_SHA256);
    assert_int_equal(EVP_set_default_properties(NULL, ""), 1);
    assert_int_equal(answer, 0);
    assert_non_null(hash);
    assert_null(crypto->hash_free(hash));
}

static int tear_down(void **state)
{
    static const char *const names[] = {"pkcs11/loader.so",
                                        "links/linked.so",
                                        "mtls-agent/mtls-agent-crypto.so",
                                        "openssl.cnf",
                                        "pkcs11",
                                        "links",
                                        "mtls-agent",
                                        ""};
    char path[PATH_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        in_test_dir(path, names[i]);
        (void)remove(path);
    }
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        EVP_PKEY_free(keys[i]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load_answers_null_without_the_file),
        cmocka_unit_test(test_load_finds_the_file_and_is_asked_again),
        cmocka_unit_test(test_load_follows_a_link_to_the_module),
        cmocka_unit_test(test_verify_leaves_the_configuration_to_the_program),
        cmocka_unit_test(test_hash_vectors_in_parts),
        cmocka_unit_test(test_hash_new_refuses_no_hash),
        cmocka_unit_test(test_hash_free_in_the_middle),
        cmocka_unit_test(test_verify_published_vectors),
        cmocka_unit_test(test_verify_every_key_and_padding),
        cmocka_unit_test(test_verify_refuses_a_changed_signature),
        cmocka_unit_test(test_verify_refuses_changed_data),
        cmocka_unit_test(test_verify_tells_a_wrong_signature_length),
        cmocka_unit_test(test_verify_tells_a_wrong_digest_length),
        cmocka_unit_test(test_verify_tells_raw_data_that_is_too_long),
        cmocka_unit_test(test_verify_refuses_a_key_that_is_cut_or_goes_on),
        cmocka_unit_test(test_verify_refuses_parameters_of_other_keys),
        cmocka_unit_test(test_verify_refuses_another_salt_length),
        cmocka_unit_test(test_verify_refuses_a_curve_that_is_not_ours),
        cmocka_unit_test(test_verify_does_not_use_the_settings_of_the_program),
        cmocka_unit_test(test_verify_leaves_the_error_queue),
        cmocka_unit_test(test_verify_leaves_a_mark),
        cmocka_unit_test(test_verify_from_many_threads),
    };

    make_test_dir();
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
