/* SPDX-License-Identifier: Apache-2.0 */
/* Which key answers a server's request. The list of keys is made here, certificates included. */
#include "client/ssl/choose.h"

#include <openssl/x509v3.h>
#include <string.h>

#include "common/scheme.h"
#include "unit.h"

#define DAY 86400
#define NOW 1800000000 /* January 2027; nothing here looks at the clock */
#define KEYS_MAX 4u

/* Stands in for the library's type, so that a test can fill it. */
struct mtls_agent_keys {
    size_t count;
    struct mtls_agent_key keys[KEYS_MAX];
    uint8_t *ders[KEYS_MAX];
};

size_t mtls_agent_keys_count(const struct mtls_agent_keys *keys)
{
    return keys->count;
}

const struct mtls_agent_key *mtls_agent_keys_get(const struct mtls_agent_keys *keys, size_t index)
{
    return index < keys->count ? &keys->keys[index] : NULL;
}

/* A certificate as a test describes it; what is zero is left out or usual. */
struct spec {
    const char *issuer;
    int from_days; /* relative to NOW */
    int to_days;   /* 0: a year */
    const char *purpose;
    const char *usage;
};

static EVP_PKEY *signing_key; /* signs them all; nobody checks */

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = value ? X509V3_EXT_conf_nid(NULL, NULL, nid, value) : NULL;

    if (extension)
        assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static void set_name(X509_NAME *name, const char *text)
{
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)text, -1, -1, 0),
                     1);
}

static size_t make_cert(const struct spec *spec, uint8_t **ret_der)
{
    X509 *cert = X509_new();
    int to_days = spec->to_days ? spec->to_days : 365;

    assert_non_null(cert);
    assert_int_equal(X509_set_version(cert, 2), 1);
    set_name(X509_get_issuer_name(cert), spec->issuer ? spec->issuer : "ca");
    set_name(X509_get_subject_name(cert), "client");
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(cert), NOW + (time_t)spec->from_days * DAY));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(cert), NOW + (time_t)to_days * DAY));
    assert_int_equal(X509_set_pubkey(cert, signing_key), 1);
    add_extension(cert, NID_ext_key_usage, spec->purpose);
    add_extension(cert, NID_key_usage, spec->usage);
    assert_true(X509_sign(cert, signing_key, EVP_sha256()) > 0);
    int len = i2d_X509(cert, ret_der);
    assert_true(len > 0);
    X509_free(cert);
    return (size_t)len;
}

static struct mtls_agent_key *add_key(struct mtls_agent_keys *keys, const struct spec *spec)
{
    size_t index = keys->count++;
    struct mtls_agent_key *key = &keys->keys[index];

    *key = (struct mtls_agent_key){
        .type = MTLS_AGENT_KEY_EC,
        .bits = 256,
        .state = MTLS_AGENT_KEY_READY,
        .scheme_count = 1,
        .schemes = {SCHEME_ECDSA_SHA256},
        .cert_count = 1,
    };
    key->certs[0].len = make_cert(spec, &keys->ders[index]);
    key->certs[0].data = keys->ders[index];
    return key;
}

static struct ssl_request tls13_request(void)
{
    return (struct ssl_request){
        .is_tls13 = true,
        .scheme_count = 3,
        .schemes = {SCHEME_RSA_PSS_RSAE_SHA256, SCHEME_ECDSA_SHA256, SCHEME_RSA_PKCS1_SHA256},
        .now = NOW,
    };
}

static const struct mtls_agent_key *choose(const struct ssl_request *request,
                                           const struct mtls_agent_keys *keys)
{
    _cleanup_x509_stack_ STACK_OF(X509) *chain = NULL;
    const struct mtls_agent_key *key = ssl_choose_key(request, keys, &chain);

    if (key)
        assert_int_equal(sk_X509_num(chain), key->cert_count);
    return key;
}

static int setup_keys(void **state)
{
    *state = calloc(1, sizeof(struct mtls_agent_keys));
    return *state ? 0 : -1;
}

static int teardown_keys(void **state)
{
    struct mtls_agent_keys *keys = *state;

    for (size_t i = 0; i < keys->count; i++)
        OPENSSL_free(keys->ders[i]);
    free(keys);
    return 0;
}

static void test_only_key_is_chosen(void **state)
{
    struct mtls_agent_keys *keys = *state;
    const struct ssl_request request = tls13_request();

    assert_null(choose(&request, keys));
    const struct mtls_agent_key *key = add_key(keys, &(struct spec){0});
    assert_ptr_equal(choose(&request, keys), key);
}

static void test_key_without_certificate_is_passed_over(void **state)
{
    struct mtls_agent_keys *keys = *state;
    const struct ssl_request request = tls13_request();

    add_key(keys, &(struct spec){0})->cert_count = 0;
    assert_null(choose(&request, keys));
}

static void test_certificate_that_is_not_der_is_passed_over(void **state)
{
    struct mtls_agent_keys *keys = *state;
    const struct ssl_request request = tls13_request();
    struct mtls_agent_key *bad = add_key(keys, &(struct spec){0});
    const struct mtls_agent_key *good = add_key(keys, &(struct spec){0});

    bad->certs[0].len--;
    assert_ptr_equal(choose(&request, keys), good);
}

static void test_certificate_that_is_not_valid_now_is_passed_over(void **state)
{
    struct mtls_agent_keys *keys = *state;
    const struct ssl_request request = tls13_request();

    add_key(keys, &(struct spec){.from_days = -10, .to_days = -1});
    add_key(keys, &(struct spec){.from_days = 1, .to_days = 10});
    assert_null(choose(&request, keys));
    const struct mtls_agent_key *key = add_key(keys, &(struct spec){.from_days = -1, .to_days = 1});
    assert_ptr_equal(choose(&request, keys), key);
}

static void test_latest_to_expire_wins(void **state)
{
    struct mtls_agent_keys *keys = *state;
    const struct ssl_request request = tls13_request();

    add_key(keys, &(struct spec){.to_days = 10});
    const struct mtls_agent_key *key = add_key(keys, &(struct spec){.to_days = 30});
    add_key(keys, &(struct spec){.to_days = 20});
    assert_ptr_equal(choose(&request, keys), key);
}

static void test_purpose_must_be_absent_client_or_any(void **state)
{
    struct mtls_agent_keys *keys = *state;
    const struct ssl_request request = tls13_request();

    add_key(keys, &(struct spec){.purpose = "serverAuth,codeSigning"});
    add_key(keys, &(struct spec){.usage = "keyEncipherment"});
    assert_null(choose(&request, keys));
    const struct mtls_agent_key *key = add_key(
        keys, &(struct spec){.purpose = "serverAuth,clientAuth", .usage = "digitalSignature"});
    assert_ptr_equal(choose(&request, keys), key);
    key = add_key(keys, &(struct spec){.purpose = "anyExtendedKeyUsage", .to_days = 400});
    assert_ptr_equal(choose(&request, keys), key);
}

static void test_issuer_must_be_one_that_the_server_accepts(void **state)
{
    struct mtls_agent_keys *keys = *state;
    struct ssl_request request = tls13_request();
    STACK_OF(X509_NAME) *issuers = sk_X509_NAME_new_null();
    X509_NAME *name = X509_NAME_new();

    set_name(name, "accepted");
    assert_true(sk_X509_NAME_push(issuers, name) > 0);
    request.issuers = issuers;
    add_key(keys, &(struct spec){.issuer = "another"});
    const struct mtls_agent_key *before = choose(&request, keys);
    const struct mtls_agent_key *key = add_key(keys, &(struct spec){.issuer = "accepted"});
    const struct mtls_agent_key *after = choose(&request, keys);
    sk_X509_NAME_pop_free(issuers, X509_NAME_free);
    assert_null(before);
    assert_ptr_equal(after, key);
}

static void test_issuer_of_an_intermediate_counts(void **state)
{
    struct mtls_agent_keys *keys = *state;
    struct ssl_request request = tls13_request();
    STACK_OF(X509_NAME) *issuers = sk_X509_NAME_new_null();
    X509_NAME *name = X509_NAME_new();
    uint8_t *intermediate = NULL;

    set_name(name, "root");
    assert_true(sk_X509_NAME_push(issuers, name) > 0);
    request.issuers = issuers;
    struct mtls_agent_key *key = add_key(keys, &(struct spec){.issuer = "intermediate"});
    key->certs[1].len = make_cert(&(struct spec){.issuer = "root"}, &intermediate);
    key->certs[1].data = intermediate;
    key->cert_count = 2;
    const struct mtls_agent_key *chosen = choose(&request, keys);
    sk_X509_NAME_pop_free(issuers, X509_NAME_free);
    OPENSSL_free(intermediate);
    assert_ptr_equal(chosen, key);
}

static void test_ready_key_goes_before_a_locked_one(void **state)
{
    struct mtls_agent_keys *keys = *state;
    const struct ssl_request request = tls13_request();

    add_key(keys, &(struct spec){.to_days = 30})->state = MTLS_AGENT_KEY_LOCKED;
    assert_ptr_equal(choose(&request, keys), &keys->keys[0]);
    const struct mtls_agent_key *ready = add_key(keys, &(struct spec){.to_days = 10});
    assert_ptr_equal(choose(&request, keys), ready);
}

static void test_of_two_locked_keys_none_is_chosen(void **state)
{
    struct mtls_agent_keys *keys = *state;
    const struct ssl_request request = tls13_request();

    add_key(keys, &(struct spec){0})->state = MTLS_AGENT_KEY_LOCKED;
    add_key(keys, &(struct spec){.to_days = 30})->state = MTLS_AGENT_KEY_LOCKED;
    assert_null(choose(&request, keys));
}

static void test_absent_key_is_passed_over(void **state)
{
    struct mtls_agent_keys *keys = *state;
    const struct ssl_request request = tls13_request();

    add_key(keys, &(struct spec){0})->state = MTLS_AGENT_KEY_ABSENT;
    assert_null(choose(&request, keys));
}

/* What a key can do, what the server takes, in which version, and whether that works. */
static const struct scheme_case {
    enum mtls_agent_key_type type;
    unsigned int bits;
    uint16_t key_scheme;
    uint16_t server_scheme;
    bool is_tls13;
    bool fits;
} scheme_cases[] = {
    {MTLS_AGENT_KEY_RSA, 2048, SCHEME_RSA_PKCS1_SHA256, SCHEME_RSA_PKCS1_SHA256, true, false},
    {MTLS_AGENT_KEY_RSA, 2048, SCHEME_RSA_PKCS1_SHA256, SCHEME_RSA_PKCS1_SHA256, false, true},
    {MTLS_AGENT_KEY_RSA, 2048, SCHEME_RSA_PSS_RSAE_SHA256, SCHEME_RSA_PSS_RSAE_SHA256, true, true},
    {MTLS_AGENT_KEY_RSA, 2048, SCHEME_RSA_PSS_RSAE_SHA256, SCHEME_RSA_PSS_PSS_SHA256, true, false},
    {MTLS_AGENT_KEY_RSA_PSS, 2048, SCHEME_RSA_PSS_PSS_SHA256, SCHEME_RSA_PSS_PSS_SHA256, true,
     true},
    {MTLS_AGENT_KEY_EC, 256, SCHEME_ECDSA_SHA256, SCHEME_ECDSA_SHA256, true, true},
    {MTLS_AGENT_KEY_EC, 384, SCHEME_ECDSA_SHA256, SCHEME_ECDSA_SHA256, true, false},
    {MTLS_AGENT_KEY_EC, 384, SCHEME_ECDSA_SHA256, SCHEME_ECDSA_SHA256, false, true},
    {MTLS_AGENT_KEY_EC, 256, SCHEME_ECDSA_SHA256, SCHEME_ED25519, true, false},
    {MTLS_AGENT_KEY_ED25519, 255, SCHEME_ED25519, SCHEME_ED25519, true, true},
    {MTLS_AGENT_KEY_EC, 256, 0x0203, 0x0203, false, false}, /* SHA-1 */
};

static void test_scheme_must_be_common_and_fit_the_version(void **state)
{
    struct mtls_agent_keys *keys = *state;
    struct mtls_agent_key *key = add_key(keys, &(struct spec){0});

    for (size_t i = 0; i < ARRAY_SIZE(scheme_cases); i++) {
        const struct scheme_case *row = &scheme_cases[i];
        const struct ssl_request request = {
            .is_tls13 = row->is_tls13,
            .scheme_count = 1,
            .schemes = {row->server_scheme},
            .now = NOW,
        };
        key->type = row->type;
        key->bits = row->bits;
        key->schemes[0] = row->key_scheme;
        if ((choose(&request, keys) != NULL) != row->fits)
            fail_msg("scheme case %zu", i);
    }
}

/* An RSA key without PSS, and servers that prefer the one or the other in TLS 1.2. */
static void test_key_is_passed_over_where_openssl_would_take_a_scheme_it_lacks(void **state)
{
    struct mtls_agent_keys *keys = *state;
    struct mtls_agent_key *key = add_key(keys, &(struct spec){0});
    struct ssl_request request = {
        .scheme_count = 3,
        .schemes = {SCHEME_ECDSA_SHA256, SCHEME_RSA_PKCS1_SHA256, SCHEME_RSA_PSS_RSAE_SHA256},
        .now = NOW,
    };

    key->type = MTLS_AGENT_KEY_RSA;
    key->bits = 2048;
    key->schemes[0] = SCHEME_RSA_PKCS1_SHA256;
    key->scheme_count = 1;
    assert_true(ssl_key_is_tls12_only(key));
    assert_non_null(choose(&request, keys));
    request.schemes[1] = SCHEME_RSA_PSS_RSAE_SHA256;
    request.schemes[2] = SCHEME_RSA_PKCS1_SHA256;
    assert_null(choose(&request, keys));
    key->bits = 512; /* too small for PSS: OpenSSL passes over it */
    assert_non_null(choose(&request, keys));
    key->bits = 2048;
    key->schemes[1] = SCHEME_RSA_PSS_RSAE_SHA256;
    key->scheme_count = 2;
    assert_false(ssl_key_is_tls12_only(key));
    assert_non_null(choose(&request, keys));
}

static int setup_signing_key(void **state)
{
    (void)state;
    signing_key = EVP_EC_gen("P-256");
    return signing_key ? 0 : -1;
}

static int teardown_signing_key(void **state)
{
    (void)state;
    EVP_PKEY_free(signing_key);
    return 0;
}

#define KEYS_TEST(test) cmocka_unit_test_setup_teardown(test, setup_keys, teardown_keys)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEYS_TEST(test_only_key_is_chosen),
        KEYS_TEST(test_key_without_certificate_is_passed_over),
        KEYS_TEST(test_certificate_that_is_not_der_is_passed_over),
        KEYS_TEST(test_certificate_that_is_not_valid_now_is_passed_over),
        KEYS_TEST(test_latest_to_expire_wins),
        KEYS_TEST(test_purpose_must_be_absent_client_or_any),
        KEYS_TEST(test_issuer_must_be_one_that_the_server_accepts),
        KEYS_TEST(test_issuer_of_an_intermediate_counts),
        KEYS_TEST(test_ready_key_goes_before_a_locked_one),
        KEYS_TEST(test_of_two_locked_keys_none_is_chosen),
        KEYS_TEST(test_absent_key_is_passed_over),
        KEYS_TEST(test_scheme_must_be_common_and_fit_the_version),
        KEYS_TEST(test_key_is_passed_over_where_openssl_would_take_a_scheme_it_lacks),
    };

    return cmocka_run_group_tests(tests, setup_signing_key, teardown_signing_key);
}
