/* SPDX-License-Identifier: Apache-2.0 */
/* What counts as the message of a TLS client: the exact form, and nothing one bit beside it. */
#include "agent/tls_check.h"

#include <string.h>

#include "unit.h"

#define CONTENT_MAX 200

static const char client_context[] = "TLS 1.3, client CertificateVerify";

/* A CertificateVerify content with a hash of @hash_len bytes; returns its length. */
static size_t make_tls13(uint8_t content[CONTENT_MAX], const char *context, size_t hash_len)
{
    size_t len = 64;

    memset(content, ' ', 64);
    memcpy(content + len, context, strlen(context) + 1);
    len += strlen(context) + 1;
    memset(content + len, 0xa5, hash_len);
    return len + hash_len;
}

static int check(const uint8_t *content, size_t len)
{
    const char *reason = NULL;
    int r = tls_check_tls13((struct wire_span){content, len}, &reason);

    assert_true(r == 0 || (r == TLS_CHECK_E_REFUSED && reason && *reason));
    return r;
}

static void test_tls13_sha256_content_is_accepted(void **state)
{
    uint8_t content[CONTENT_MAX];

    (void)state;
    size_t len = make_tls13(content, client_context, 32);
    assert_int_equal(len, 130);
    assert_int_equal(check(content, len), 0);
}

static void test_tls13_sha384_content_is_accepted(void **state)
{
    uint8_t content[CONTENT_MAX];

    (void)state;
    size_t len = make_tls13(content, client_context, 48);
    assert_int_equal(len, 146);
    assert_int_equal(check(content, len), 0);
}

static void test_tls13_every_other_length_is_refused(void **state)
{
    uint8_t content[CONTENT_MAX];

    (void)state;
    for (size_t hash_len = 0; hash_len <= 96; hash_len++) {
        size_t len = make_tls13(content, client_context, hash_len);
        int expected = hash_len == 32 || hash_len == 48 ? 0 : TLS_CHECK_E_REFUSED;
        assert_int_equal(check(content, len), expected);
    }
}

static void test_tls13_every_bit_of_the_prefix_counts(void **state)
{
    uint8_t content[CONTENT_MAX];

    (void)state;
    size_t len = make_tls13(content, client_context, 32);
    for (size_t bit = 0; bit < (len - 32) * 8; bit++) {
        content[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(check(content, len), TLS_CHECK_E_REFUSED);
        content[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

static void test_tls13_other_contexts_are_refused(void **state)
{
    static const char *const contexts[] = {
        "TLS 1.3, server CertificateVerify",
        "TLS, client delegated credentials",
        "TLS, server delegated credentials",
        "Exported Authenticator",
    };
    uint8_t content[CONTENT_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(contexts); i++) {
        assert_int_equal(check(content, make_tls13(content, contexts[i], 32)), TLS_CHECK_E_REFUSED);
        assert_int_equal(check(content, make_tls13(content, contexts[i], 48)), TLS_CHECK_E_REFUSED);
    }
}

/* The messages of a TLS 1.2 handshake up to ClientKeyExchange, as short as they may be. */
static const uint8_t hello_random[32] = {0};
static const uint8_t extensions[] = {0x00, 0x09, 0x00, 0x17, 0x00, 0x00,
                                     0xff, 0x01, 0x00, 0x01, 0x00};
static const uint8_t server_key_exchange[] = {3, 0, 23, 1, 4, 4, 3, 0, 1, 0x30};
static const uint8_t certificate[] = {0, 0, 4, 0, 0, 1, 0x30};
static const uint8_t certificate_request[] = {1, 64, 0, 2, 4, 3, 0, 0};
static const uint8_t client_key_exchange[] = {1, 4};

struct handshake {
    uint8_t data[512];
    size_t len;
    size_t starts[9]; /* of each message */
    size_t count;
};

static void append(struct handshake *handshake, const void *data, size_t len)
{
    memcpy(handshake->data + handshake->len, data, len);
    handshake->len += len;
}

static void append_message(struct handshake *handshake, uint8_t type, const void *body, size_t len)
{
    const uint8_t header[] = {type, 0, (uint8_t)(len >> 8), (uint8_t)len};

    handshake->starts[handshake->count++] = handshake->len;
    append(handshake, header, sizeof(header));
    append(handshake, body, len);
}

static void append_hello(struct handshake *handshake, bool is_client)
{
    static const uint8_t version[] = {3, 3};
    static const uint8_t client_middle[] = {0, 0, 2, 0xc0, 0x2b, 1, 0};
    static const uint8_t server_middle[] = {0, 0xc0, 0x2b, 0};
    struct handshake body = {.len = 0};

    append(&body, version, sizeof(version));
    append(&body, hello_random, sizeof(hello_random));
    if (is_client)
        append(&body, client_middle, sizeof(client_middle));
    else
        append(&body, server_middle, sizeof(server_middle));
    append(&body, extensions, sizeof(extensions));
    append_message(handshake, is_client ? 1 : 2, body.data, body.len);
}

static struct handshake make_tls12(void)
{
    struct handshake handshake = {.len = 0};

    append_hello(&handshake, true);
    append_hello(&handshake, false);
    append_message(&handshake, 11, certificate, sizeof(certificate));
    append_message(&handshake, 12, server_key_exchange, sizeof(server_key_exchange));
    append_message(&handshake, 13, certificate_request, sizeof(certificate_request));
    append_message(&handshake, 14, "", 0);
    append_message(&handshake, 11, certificate, sizeof(certificate));
    append_message(&handshake, 16, client_key_exchange, sizeof(client_key_exchange));
    return handshake;
}

static int check_tls12(const uint8_t *data, size_t len)
{
    const char *reason = NULL;
    int r = tls_check_tls12((struct wire_span){data, len}, &reason);

    assert_true(r == 0 || (r == TLS_CHECK_E_REFUSED && reason && *reason));
    return r;
}

static void test_tls12_handshake_is_accepted(void **state)
{
    struct handshake handshake = make_tls12();

    (void)state;
    assert_int_equal(check_tls12(handshake.data, handshake.len), 0);
}

static void test_tls12_every_truncation_is_refused(void **state)
{
    struct handshake handshake = make_tls12();

    (void)state;
    for (size_t len = 0; len < handshake.len; len++)
        assert_int_equal(check_tls12(handshake.data, len), TLS_CHECK_E_REFUSED);
}

static void test_tls12_trailing_byte_is_refused(void **state)
{
    struct handshake handshake = make_tls12();

    (void)state;
    append(&handshake, "\0", 1);
    assert_int_equal(check_tls12(handshake.data, handshake.len), TLS_CHECK_E_REFUSED);
}

static void test_tls12_missing_message_is_refused(void **state)
{
    struct handshake handshake = make_tls12();

    (void)state;
    for (size_t i = 0; i < handshake.count; i++) {
        uint8_t data[sizeof(handshake.data)];
        size_t start = handshake.starts[i];
        size_t end = i + 1 < handshake.count ? handshake.starts[i + 1] : handshake.len;
        memcpy(data, handshake.data, start);
        memcpy(data + start, handshake.data + end, handshake.len - end);
        assert_int_equal(check_tls12(data, handshake.len - (end - start)), TLS_CHECK_E_REFUSED);
    }
}

static void test_tls12_wrong_message_type_is_refused(void **state)
{
    struct handshake handshake = make_tls12();

    (void)state;
    for (size_t i = 0; i < handshake.count; i++) {
        for (unsigned int type = 0; type < 256; type++) {
            struct handshake other = handshake;
            other.data[other.starts[i]] = (uint8_t)type;
            if (type != handshake.data[handshake.starts[i]])
                assert_int_equal(check_tls12(other.data, other.len), TLS_CHECK_E_REFUSED);
        }
    }
}

static void test_tls12_every_flip_of_a_length_is_refused(void **state)
{
    struct handshake handshake = make_tls12();

    (void)state;
    for (size_t i = 0; i < handshake.count; i++) {
        for (size_t bit = 8; bit < 32; bit++) {
            struct handshake other = handshake;
            other.data[other.starts[i] + bit / 8] ^= (uint8_t)(1u << (bit % 8));
            assert_int_equal(check_tls12(other.data, other.len), TLS_CHECK_E_REFUSED);
        }
    }
}

/* Where the extensions of a hello stand: both end their message. */
static uint8_t *hello_extensions(struct handshake *handshake, size_t message)
{
    return handshake->data + handshake->starts[message + 1] - sizeof(extensions);
}

static void test_tls12_without_extended_master_secret_is_refused(void **state)
{
    (void)state;
    for (size_t message = 0; message < 2; message++) {
        struct handshake handshake = make_tls12();
        hello_extensions(&handshake, message)[3] = 0x2a;
        assert_int_equal(check_tls12(handshake.data, handshake.len), TLS_CHECK_E_REFUSED);
    }
}

static void test_tls12_renegotiation_is_refused(void **state)
{
    (void)state;
    for (size_t message = 0; message < 2; message++) {
        struct handshake handshake = make_tls12();
        hello_extensions(&handshake, message)[10] = 0x01;
        assert_int_equal(check_tls12(handshake.data, handshake.len), TLS_CHECK_E_REFUSED);
    }
}

static void test_tls12_other_version_is_refused(void **state)
{
    static const uint8_t minors[] = {0, 1, 2, 4};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(minors); i++) {
        for (size_t message = 0; message < 2; message++) {
            struct handshake handshake = make_tls12();
            handshake.data[handshake.starts[message] + 5] = minors[i];
            assert_int_equal(check_tls12(handshake.data, handshake.len), TLS_CHECK_E_REFUSED);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls13_sha256_content_is_accepted),
        cmocka_unit_test(test_tls13_sha384_content_is_accepted),
        cmocka_unit_test(test_tls13_every_other_length_is_refused),
        cmocka_unit_test(test_tls13_every_bit_of_the_prefix_counts),
        cmocka_unit_test(test_tls13_other_contexts_are_refused),
        cmocka_unit_test(test_tls12_handshake_is_accepted),
        cmocka_unit_test(test_tls12_every_truncation_is_refused),
        cmocka_unit_test(test_tls12_trailing_byte_is_refused),
        cmocka_unit_test(test_tls12_missing_message_is_refused),
        cmocka_unit_test(test_tls12_wrong_message_type_is_refused),
        cmocka_unit_test(test_tls12_every_flip_of_a_length_is_refused),
        cmocka_unit_test(test_tls12_without_extended_master_secret_is_refused),
        cmocka_unit_test(test_tls12_renegotiation_is_refused),
        cmocka_unit_test(test_tls12_other_version_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
