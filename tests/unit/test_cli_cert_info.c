/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates as people see them, with subjects made to deceive. */
#include "client/cli/cert_info.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "unit.h"

struct entry {
    const char *field;
    const char *value;
    int len;
};

struct fixture {
    EVP_PKEY *pkey;
    X509 *cert;
    uint8_t *der;
    struct cert_info info;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (!fixture)
        return -1;
    *state = fixture;
    fixture->pkey = EVP_EC_gen("P-256");
    fixture->cert = X509_new();
    return fixture->pkey && fixture->cert ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    cert_info_deinit(&fixture->info);
    OPENSSL_free(fixture->der);
    X509_free(fixture->cert);
    EVP_PKEY_free(fixture->pkey);
    free(fixture);
    return 0;
}

static int parse(struct fixture *fixture, const struct entry *entries, size_t count)
{
    X509_NAME *name = X509_get_subject_name(fixture->cert);

    for (size_t i = 0; i < count; i++)
        assert_int_equal(X509_NAME_add_entry_by_txt(name, entries[i].field, MBSTRING_UTF8,
                                                    (const unsigned char *)entries[i].value,
                                                    entries[i].len, -1, 0),
                         1);
    assert_true(ASN1_INTEGER_set(X509_get_serialNumber(fixture->cert), 0xabcd));
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(fixture->cert), 1800000000));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(fixture->cert), 1900000000));
    assert_int_equal(X509_set_pubkey(fixture->cert, fixture->pkey), 1);
    assert_true(X509_sign(fixture->cert, fixture->pkey, EVP_sha256()) > 0);
    int len = i2d_X509(fixture->cert, &fixture->der);
    assert_true(len > 0);
    return cert_info_parse((struct mtls_agent_bytes){fixture->der, (size_t)len}, &fixture->info);
}

static void test_parse_takes_the_common_name_as_title(void **state)
{
    static const struct entry entries[] = {{"O", "Corp", -1}, {"CN", "J\xc3\xbcrgen", -1}};
    struct fixture *fixture = *state;

    assert_int_equal(parse(fixture, entries, ARRAY_SIZE(entries)), 0);
    assert_string_equal(fixture->info.title, "J\xc3\xbcrgen");
    assert_string_equal(fixture->info.subject, "CN=J\xc3\xbcrgen,O=Corp");
    assert_string_equal(fixture->info.serial, "ABCD");
    assert_int_equal(fixture->info.not_before, 1800000000);
    assert_int_equal(fixture->info.not_after, 1900000000);
}

static void test_parse_without_common_name_takes_the_first_part(void **state)
{
    static const struct entry entries[] = {{"O", "Corp", -1}, {"OU", "Ops", -1}};
    struct fixture *fixture = *state;

    assert_int_equal(parse(fixture, entries, ARRAY_SIZE(entries)), 0);
    assert_string_equal(fixture->info.title, "O=Corp");
}

static void test_parse_with_empty_subject_has_empty_title(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(parse(fixture, NULL, 0), 0);
    assert_string_equal(fixture->info.title, "");
    assert_string_equal(fixture->info.subject, "");
}

static void test_parse_leaves_no_control_character(void **state)
{
    static const struct entry entries[] = {{"CN", "a\x1b[2J\nb\0c", 8}};
    struct fixture *fixture = *state;

    assert_int_equal(parse(fixture, entries, ARRAY_SIZE(entries)), 0);
    assert_string_equal(fixture->info.title, "a\\1B[2J\\0Ab\\00");
    assert_string_equal(fixture->info.subject, "CN=a\\1B[2J\\0Ab\\00");
}

static void test_parse_refuses_what_is_no_certificate(void **state)
{
    static const uint8_t garbage[] = {0x30, 0x03, 0x02, 0x01, 0x00};
    struct fixture *fixture = *state;

    assert_int_equal(
        cert_info_parse((struct mtls_agent_bytes){garbage, sizeof(garbage)}, &fixture->info),
        CERT_INFO_E_UNREADABLE);
    assert_int_equal(cert_info_parse((struct mtls_agent_bytes){garbage, 0}, &fixture->info),
                     CERT_INFO_E_UNREADABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_parse_takes_the_common_name_as_title, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parse_without_common_name_takes_the_first_part, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_parse_with_empty_subject_has_empty_title, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_parse_leaves_no_control_character, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parse_refuses_what_is_no_certificate, setup, teardown),
    };
    return cmocka_run_group_tests_name("cli-cert-info", tests, NULL, NULL);
}
