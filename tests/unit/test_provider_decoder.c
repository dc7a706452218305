/* SPDX-License-Identifier: Apache-2.0 */
/* Key reference files and mtls-agent: URIs, through the functions that programs call. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <string.h>

#include "client/lib/mtls-agent.h"
#include "client/provider/context.h"
#include "tests/unit/provider_fixture.h"

#define BEGIN "-----BEGIN MTLS AGENT KEY REFERENCE-----\n"
#define END "-----END MTLS AGENT KEY REFERENCE-----\n"

static EVP_PKEY *read_text(const struct fixture *fixture, const char *pem)
{
    return fixture_read_pem(fixture, pem, strlen(pem));
}

static void test_reference_becomes_its_key_with_one_request(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        _cleanup_free_ char *pem = fixture_reference(fixture_keys[i].name);
        size_t before = fixture_log_count(fixture, "list ");
        EVP_PKEY *pkey = read_text(fixture, pem);
        assert_non_null(pkey);
        assert_int_equal(fixture_log_count(fixture, "list "), before + 1);
        assert_true(EVP_PKEY_is_a(pkey, fixture_keys[i].type));
        fixture_assert_signs(fixture, i, pkey);
        EVP_PKEY_free(pkey);
    }
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_reference_of_pkcs11_provider_is_read(void **state)
{
    /* SEQUENCE { VisibleString "PKCS#11 Provider URI v1.0", UTF8String "pkcs11:object=rsa" } */
    static const char pem[] = "-----BEGIN PKCS#11 PROVIDER URI-----\n"
                              "MC4aGVBLQ1MjMTEgUHJvdmlkZXIgVVJJIHYxLjAMEXBrY3MxMTpvYmplY3Q9cnNh\n"
                              "-----END PKCS#11 PROVIDER URI-----\n";
    struct fixture *fixture = *state;
    EVP_PKEY *pkey = read_text(fixture, pem);

    assert_non_null(pkey);
    fixture_assert_signs(fixture, FIXTURE_RSA, pkey);
    EVP_PKEY_free(pkey);
}

static void test_other_selectors_in_a_reference(void **state)
{
    struct fixture *fixture = *state;
    char selector[80] = "sha256:";
    unsigned char *spki = NULL;
    unsigned char hash[32];
    int len = i2d_PUBKEY(fixture->keys[FIXTURE_P256], &spki);

    assert_int_equal(EVP_Digest(spki, (size_t)len, hash, NULL, EVP_sha256(), NULL), 1);
    for (size_t i = 0; i < 16; i++)
        (void)snprintf(selector + 7 + 2 * i, 3, "%02x", hash[i]);
    _cleanup_free_ char *by_hash = fixture_reference(selector);
    _cleanup_free_ char *by_uri = fixture_reference("pkcs11:token=fake;object=p256");
    EVP_PKEY *a = read_text(fixture, by_hash);
    EVP_PKEY *b = read_text(fixture, by_uri);
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(EVP_PKEY_eq(a, b), 1);
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
    OPENSSL_free(spki);
}

static void test_reference_after_certificates_and_text(void **state)
{
    struct fixture *fixture = *state;
    _cleanup_free_ char *pem = fixture_reference("ed25519");
    BIO *bio = BIO_new(BIO_s_mem());

    assert_true(BIO_puts(bio, "subject: someone\nissuer: someone else\n") > 0);
    assert_true(PEM_write_bio_X509(bio, fixture->certs[FIXTURE_ED25519]));
    assert_true(PEM_write_bio_X509(bio, fixture->certs[FIXTURE_RSA]));
    assert_true(BIO_puts(bio, "\n") > 0 && BIO_puts(bio, pem) > 0);
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);
    EVP_PKEY *pkey = fixture_read_pem(fixture, data, (size_t)len);
    assert_non_null(pkey);
    assert_true(EVP_PKEY_is_a(pkey, "ED25519"));
    EVP_PKEY_free(pkey);
    BIO_free(bio);
}

static void test_reference_before_certificates(void **state)
{
    struct fixture *fixture = *state;
    _cleanup_free_ char *pem = fixture_reference("p384");
    BIO *bio = BIO_new(BIO_s_mem());

    assert_true(BIO_puts(bio, pem) > 0);
    assert_true(PEM_write_bio_X509(bio, fixture->certs[FIXTURE_P384]));
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, fixture->libctx, NULL);
    assert_non_null(pkey);
    EVP_PKEY_free(pkey);
    /* the reading position is behind the reference, not behind the file */
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    assert_non_null(cert);
    X509_free(cert);
    BIO_free(bio);
}

static void test_reference_with_crlf(void **state)
{
    struct fixture *fixture = *state;
    _cleanup_free_ char *pem = fixture_reference("p256");
    char crlf[1024];
    size_t len = 0;

    for (const char *at = pem; *at; at++) {
        if (*at == '\n')
            crlf[len++] = '\r';
        crlf[len++] = *at;
    }
    EVP_PKEY *pkey = fixture_read_pem(fixture, crlf, len);
    assert_non_null(pkey);
    EVP_PKEY_free(pkey);
}

static void test_software_keys_are_read_as_before(void **state)
{
    struct fixture *fixture = *state;
    size_t before = fixture_log_count(fixture, "");

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        BIO *bio = BIO_new(BIO_s_mem());
        assert_true(PEM_write_bio_PrivateKey(bio, fixture->keys[i], NULL, NULL, 0, NULL, NULL));
        EVP_PKEY *pkey = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, fixture->libctx, NULL);
        assert_non_null(pkey);
        assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(pkey)), "default");
        fixture_assert_signs(fixture, i, pkey);
        EVP_PKEY_free(pkey);
        BIO_free(bio);
    }
    assert_int_equal(fixture_log_count(fixture, ""), before);
}

static void test_software_keys_are_generated_as_before(void **state)
{
    static const char *const types[] = {"EC", "RSA", "ED25519"};
    struct fixture *fixture = *state;
    size_t before = fixture_log_count(fixture, "");

    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        EVP_PKEY *pkey = i == 0   ? EVP_PKEY_Q_keygen(fixture->libctx, NULL, "EC", "P-256")
                         : i == 1 ? EVP_PKEY_Q_keygen(fixture->libctx, NULL, "RSA", (size_t)2048)
                                  : EVP_PKEY_Q_keygen(fixture->libctx, NULL, "ED25519");
        assert_non_null(pkey);
        assert_true(EVP_PKEY_is_a(pkey, types[i]));
        assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(pkey)), "default");
        EVP_PKEY_free(pkey);
    }
    assert_int_equal(fixture_log_count(fixture, ""), before);
}

static void assert_bad_reference(struct fixture *fixture, const void *pem, size_t len)
{
    size_t before = fixture_log_count(fixture, "");
    EVP_PKEY *pkey = fixture_read_pem(fixture, pem, len);

    if (pkey)
        print_error("accepted: %.*s\n", (int)len, (const char *)pem);
    assert_null(pkey);
    assert_int_equal(fixture_log_count(fixture, ""), before);
    assert_int_not_equal(ERR_peek_error(), 0);
    ERR_clear_error();
}

static void test_damaged_references_are_errors_and_ask_nothing(void **state)
{
    static const char *const files[] = {
        BEGIN END,
        BEGIN "\n" END,
        BEGIN "AAAA\n" END,
        BEGIN "MAA=\n" END,
        BEGIN "not base64!\n" END,
        BEGIN "MEIMGm10bHMtYWdlbnQga2V5IHJlZmVyZW5jZSAx\n" END,
        BEGIN "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMAA=\n" END,
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        assert_bad_reference(fixture, files[i], strlen(files[i]));
    }
}

static void test_truncated_reference_is_an_error_at_every_length(void **state)
{
    struct fixture *fixture = *state;
    _cleanup_free_ char *pem = fixture_reference("p256");

    /* up to the last character of the END line, whose own line end may be missing */
    for (size_t len = 0; len < strlen(pem) - 1; len++)
        assert_bad_reference(fixture, pem, len);
}

static void test_changed_byte_is_an_error_or_another_name(void **state)
{
    struct fixture *fixture = *state;
    _cleanup_free_ char *pem = fixture_reference("p256");
    size_t len = strlen(pem);

    for (size_t i = 0; i < len; i++) {
        _cleanup_free_ char *changed = strdup(pem);
        changed[i] ^= 1;
        EVP_PKEY *pkey = fixture_read_pem(fixture, changed, len);
        /* "p257" and the like: asked for, and not there */
        assert_null(pkey);
        assert_int_not_equal(ERR_peek_error(), 0);
        ERR_clear_error();
    }
}

static void test_huge_reference_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    size_t size = 4u << 20;
    _cleanup_free_ char *pem = malloc(size + sizeof(BEGIN END));
    size_t len = sizeof(BEGIN) - 1;

    assert_non_null(pem);
    memcpy(pem, BEGIN, len);
    for (size_t i = 0; i < size; i++)
        pem[len++] = i % 65 == 64 ? '\n' : 'A';
    memcpy(pem + len, END, sizeof(END) - 1);
    assert_bad_reference(fixture, pem, len + sizeof(END) - 1);
    /* and one line of that length */
    memset(pem + sizeof(BEGIN) - 1, 'A', size);
    assert_bad_reference(fixture, pem, len + sizeof(END) - 1);
}

static void test_reference_to_no_key_says_so(void **state)
{
    struct fixture *fixture = *state;
    _cleanup_free_ char *pem = fixture_reference("nobody");

    assert_null(read_text(fixture, pem));
    fixture_assert_error(MTLS_AGENT_E_NO_KEY);
}

static void test_damaged_reference_says_so(void **state)
{
    struct fixture *fixture = *state;

    assert_null(read_text(fixture, BEGIN "MAA=\n" END));
    fixture_assert_error(PROVIDER_R_REFERENCE);
}

static void test_reference_without_agent_says_so(void **state)
{
    struct fixture *fixture = *state;
    _cleanup_free_ char *pem = fixture_reference("p256");

    fixture_stop_agent(fixture);
    assert_null(read_text(fixture, pem));
    fixture_assert_error(MTLS_AGENT_E_NO_AGENT);
    fixture_start_agent(fixture, NULL);
}

/* What the two decoding steps pass between them is not taken from a file of its own type. */
static void test_public_key_der_is_no_private_key(void **state)
{
    struct fixture *fixture = *state;
    unsigned char *spki = NULL;
    int len = i2d_PUBKEY(fixture->keys[FIXTURE_P256], &spki);
    const unsigned char *at = spki;

    assert_null(d2i_AutoPrivateKey_ex(NULL, &at, len, fixture->libctx, NULL));
    OPENSSL_free(spki);
    ERR_clear_error();
}

/* Objects of the store as letters: K key, P public key, C certificate. */
static void list_store(const struct fixture *fixture, const char *uri, int expect, char *letters)
{
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex(uri, fixture->libctx, NULL, NULL, NULL, NULL, NULL, NULL);

    *letters = '\0';
    if (!store)
        return;
    if (expect)
        assert_true(OSSL_STORE_expect(store, expect));
    while (!OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        if (!info)
            continue;
        int type = OSSL_STORE_INFO_get_type(info);
        *letters++ = type == OSSL_STORE_INFO_PKEY     ? 'K'
                     : type == OSSL_STORE_INFO_PUBKEY ? 'P'
                     : type == OSSL_STORE_INFO_CERT   ? 'C'
                                                      : '?';
        OSSL_STORE_INFO_free(info);
    }
    *letters = '\0';
    (void)OSSL_STORE_close(store);
}

static void test_store_gives_what_is_expected(void **state)
{
    static const struct {
        const char *uri;
        int expect;
        const char *letters;
    } rows[] = {
        {"mtls-agent:p256", 0, "KC"},
        {"mtls-agent:p256", OSSL_STORE_INFO_PKEY, "K"},
        {"mtls-agent:p256", OSSL_STORE_INFO_PUBKEY, "P"},
        {"mtls-agent:p256", OSSL_STORE_INFO_CERT, "C"},
        {"mtls-agent:p256", OSSL_STORE_INFO_CRL, ""},
        {"mtls-agent:%70256", 0, "KC"},
        {"mtls-agent:pkcs11:object=rsa", 0, "KC"},
        {"mtls-agent:pkcs11:object=rsa?pin-value=1234", 0, "KC"},
        {"mtls-agent:", 0, "KCKCKCKCKCKC"},
        {"mtls-agent:", OSSL_STORE_INFO_CERT, "CCCCCC"},
        {"mtls-agent:nobody", 0, ""},
        {"mtls-agent:pkcs11:token=fake", 0, ""}, /* six keys fit: ambiguous */
        {"mtls-agent:%", 0, ""},
        {"mtls-agent:%00", 0, ""},
        {"mtls-agent:%ff", 0, ""},
    };
    struct fixture *fixture = *state;
    char letters[64];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        list_store(fixture, rows[i].uri, rows[i].expect, letters);
        assert_string_equal(letters, rows[i].letters);
    }
    ERR_clear_error();
}

static void test_pin_in_a_uri_goes_nowhere(void **state)
{
    struct fixture *fixture = *state;
    char letters[64];

    list_store(fixture, "mtls-agent:pkcs11:object=rsa?pin-value=1234", 0, letters);
    assert_int_equal(fixture_log_count(fixture, "list pkcs11:object=rsa?"), 0);
}

static void test_ambiguous_name_is_an_error_of_its_own(void **state)
{
    struct fixture *fixture = *state;

    assert_null(OSSL_STORE_open_ex("mtls-agent:pkcs11:token=fake", fixture->libctx, NULL, NULL,
                                   NULL, NULL, NULL, NULL));
    fixture_assert_error(MTLS_AGENT_E_AMBIGUOUS);
}

static void test_store_for_files_reads_references(void **state)
{
    struct fixture *fixture = *state;
    char path[96];
    char letters[64];

    for (int i = 0; i < FIXTURE_KEY_COUNT; i++) {
        _cleanup_free_ char *pem = fixture_reference(fixture_keys[i].name);
        (void)snprintf(path, sizeof(path), "%s/reference.pem", fixture->dir);
        BIO *file = BIO_new_file(path, "w");
        assert_true(PEM_write_bio_X509(file, fixture->certs[i]));
        assert_true(BIO_puts(file, pem) > 0);
        BIO_free(file);
        list_store(fixture, path, 0, letters);
        (void)unlink(path);
        assert_string_equal(letters, "CK");
    }
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_becomes_its_key_with_one_request),
        cmocka_unit_test(test_reference_of_pkcs11_provider_is_read),
        cmocka_unit_test(test_other_selectors_in_a_reference),
        cmocka_unit_test(test_reference_after_certificates_and_text),
        cmocka_unit_test(test_reference_before_certificates),
        cmocka_unit_test(test_reference_with_crlf),
        cmocka_unit_test(test_software_keys_are_read_as_before),
        cmocka_unit_test(test_software_keys_are_generated_as_before),
        cmocka_unit_test(test_damaged_references_are_errors_and_ask_nothing),
        cmocka_unit_test(test_truncated_reference_is_an_error_at_every_length),
        cmocka_unit_test(test_changed_byte_is_an_error_or_another_name),
        cmocka_unit_test(test_huge_reference_is_an_error),
        cmocka_unit_test(test_reference_to_no_key_says_so),
        cmocka_unit_test(test_damaged_reference_says_so),
        cmocka_unit_test(test_reference_without_agent_says_so),
        cmocka_unit_test(test_public_key_der_is_no_private_key),
        cmocka_unit_test(test_store_gives_what_is_expected),
        cmocka_unit_test(test_pin_in_a_uri_goes_nowhere),
        cmocka_unit_test(test_ambiguous_name_is_an_error_of_its_own),
        cmocka_unit_test(test_store_for_files_reads_references),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
