/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent is asked for, for what a program hands over: raw digests, DigestInfo, messages. */
#include "client/module/request.h"

#include <string.h>

#include "unit.h"

#ifndef CKM_EDDSA
#define CKM_EDDSA (0x1057UL)
#endif

static const uint8_t bytes[128] = {1, 2, 3, 4, 5, 6, 7, 8};

/* A DigestInfo of @hash over the first of `bytes`. */
static size_t digest_info(uint8_t hash_number, size_t hash_len_, uint8_t info[128])
{
    const uint8_t prefix[] = {0x30,
                              (uint8_t)(17 + hash_len_),
                              0x30,
                              0x0d,
                              0x06,
                              0x09,
                              0x60,
                              0x86,
                              0x48,
                              0x01,
                              0x65,
                              0x03,
                              0x04,
                              0x02,
                              hash_number,
                              0x05,
                              0x00,
                              0x04,
                              (uint8_t)hash_len_};

    memcpy(info, prefix, sizeof(prefix));
    memcpy(info + sizeof(prefix), bytes, hash_len_);
    return sizeof(prefix) + hash_len_;
}

static struct operation operation_of(CK_MECHANISM_TYPE type, enum key_type key_type,
                                     unsigned int bits)
{
    const struct mechanism *mechanism = mechanism_find(type, key_type == KEY_TYPE_ED25519);

    assert_non_null(mechanism);
    return (struct operation){
        .is_active = true,
        .use = {.mechanism = mechanism, .hash = mechanism->hash},
        .key_type = key_type,
        .bits = bits,
    };
}

static const struct raw_row {
    unsigned int bits;
    size_t len;
    CK_RV rv;
    size_t sent;
    uint16_t scheme;
} raw_rows[] = {
    {256, 32, CKR_OK, 32, SCHEME_ECDSA_SHA256},
    /* longer than the order: its leftmost bits count */
    {256, 48, CKR_OK, 32, SCHEME_ECDSA_SHA256},
    {256, 64, CKR_OK, 32, SCHEME_ECDSA_SHA256},
    {384, 64, CKR_OK, 48, SCHEME_ECDSA_SHA384},
    {384, 48, CKR_OK, 48, SCHEME_ECDSA_SHA384},
    {384, 32, CKR_OK, 32, SCHEME_ECDSA_SHA256},
    {521, 64, CKR_OK, 64, SCHEME_ECDSA_SHA512},
    {521, 32, CKR_OK, 32, SCHEME_ECDSA_SHA256},
    {521, 66, CKR_DATA_LEN_RANGE, 0, 0},
    {521, 128, CKR_DATA_LEN_RANGE, 0, 0},
    {256, 0, CKR_DATA_LEN_RANGE, 0, 0},
    {256, 20, CKR_DATA_LEN_RANGE, 0, 0},
    {256, 31, CKR_DATA_LEN_RANGE, 0, 0},
};

static void test_raw_ecdsa(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(raw_rows); i++) {
        const struct raw_row *row = &raw_rows[i];
        struct operation operation = operation_of(CKM_ECDSA, KEY_TYPE_EC, row->bits);
        struct request request = {0};

        assert_int_equal(request_make(&operation, (struct wire_span){bytes, row->len}, &request),
                         row->rv);
        if (row->rv != CKR_OK)
            continue;
        assert_int_equal(request.kind, MTLS_AGENT_DIGEST);
        assert_int_equal(request.scheme, row->scheme);
        assert_span_equal(request.content, ((struct wire_span){bytes, row->sent}));
    }
}

static const struct {
    uint8_t number;
    size_t len;
    uint16_t scheme;
} info_rows[] = {
    {1, 32, SCHEME_RSA_PKCS1_SHA256},
    {2, 48, SCHEME_RSA_PKCS1_SHA384},
    {3, 64, SCHEME_RSA_PKCS1_SHA512},
};

static void test_digest_info(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(info_rows); i++) {
        struct operation operation = operation_of(CKM_RSA_PKCS, KEY_TYPE_RSA, 2048);
        struct request request = {0};
        uint8_t info[128];
        size_t len = digest_info(info_rows[i].number, info_rows[i].len, info);

        assert_int_equal(request_make(&operation, (struct wire_span){info, len}, &request), CKR_OK);
        assert_int_equal(request.kind, MTLS_AGENT_DIGEST);
        assert_int_equal(request.scheme, info_rows[i].scheme);
        assert_span_equal(request.content, ((struct wire_span){bytes, info_rows[i].len}));
    }
}

static void test_what_is_no_digest_info(void **state)
{
    struct request request = {0};
    uint8_t info[128];
    size_t len = digest_info(1, 32, info);

    (void)state;
    for (size_t cut = 0; cut < len; cut++) {
        struct operation operation = operation_of(CKM_RSA_PKCS, KEY_TYPE_RSA, 2048);
        assert_int_equal(request_make(&operation, (struct wire_span){info, cut}, &request),
                         CKR_DATA_INVALID);
    }
    for (size_t at = 0; at < len - 32; at++) {
        struct operation operation = operation_of(CKM_RSA_PKCS, KEY_TYPE_RSA, 2048);
        info[at] ^= 1;
        assert_int_equal(request_make(&operation, (struct wire_span){info, len}, &request),
                         CKR_DATA_INVALID);
        info[at] ^= 1;
    }
    /* the MD5 and SHA-1 of old TLS */
    struct operation operation = operation_of(CKM_RSA_PKCS, KEY_TYPE_RSA, 2048);
    assert_int_equal(request_make(&operation, (struct wire_span){bytes, 36}, &request),
                     CKR_DATA_INVALID);
}

static void test_raw_pss_is_a_digest_of_its_hash(void **state)
{
    struct request request = {0};
    struct operation operation = operation_of(CKM_RSA_PKCS_PSS, KEY_TYPE_RSA, 2048);

    (void)state;
    operation.use.hash = HASH_SHA384;
    operation.use.salt_len = 48;
    assert_int_equal(request_make(&operation, (struct wire_span){bytes, 32}, &request),
                     CKR_DATA_LEN_RANGE);
    assert_int_equal(request_make(&operation, (struct wire_span){bytes, 48}, &request), CKR_OK);
    assert_int_equal(request.scheme, SCHEME_RSA_PSS_RSAE_SHA384);
    operation.key_type = KEY_TYPE_RSA_PSS;
    assert_int_equal(request_make(&operation, (struct wire_span){bytes, 48}, &request), CKR_OK);
    assert_int_equal(request.scheme, SCHEME_RSA_PSS_PSS_SHA384);
}

static struct wire_span certificate_verify(size_t digest_len)
{
    static const char content[] = "                                "
                                  "                                "
                                  "TLS 1.3, client CertificateVerify\0"
                                  "the hash of the transcript, of 32 or of 48 bytes";

    return (struct wire_span){(const uint8_t *)content, 98 + digest_len};
}

static struct wire_span handshake(void)
{
    static const uint8_t messages[] = {
        [0] = 1,    [2] = 0x01, [3] = 0x2c, /* ClientHello, 300 bytes */
        [304] = 2,  [307] = 80,             /* ServerHello */
        [388] = 14, [391] = 0,              /* ServerHelloDone */
    };

    return (struct wire_span){messages, sizeof(messages)};
}

static const struct {
    CK_MECHANISM_TYPE type;
    enum key_type key_type;
    unsigned int bits;
    uint16_t scheme;
} message_rows[] = {
    {CKM_ECDSA_SHA256, KEY_TYPE_EC, 256, SCHEME_ECDSA_SHA256},
    {CKM_SHA256_RSA_PKCS_PSS, KEY_TYPE_RSA, 2048, SCHEME_RSA_PSS_RSAE_SHA256},
    {CKM_EDDSA, KEY_TYPE_ED25519, 255, SCHEME_ED25519},
};

static void test_messages_of_tls_go_whole(void **state)
{
    const struct {
        struct wire_span message;
        enum mtls_agent_kind kind;
    } messages[] = {
        {certificate_verify(32), MTLS_AGENT_TLS13},
        {certificate_verify(48), MTLS_AGENT_TLS13},
        {handshake(), MTLS_AGENT_TLS12},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(message_rows); i++)
        for (size_t j = 0; j < ARRAY_SIZE(messages); j++) {
            struct operation operation =
                operation_of(message_rows[i].type, message_rows[i].key_type, message_rows[i].bits);
            struct request request = {0};
            assert_int_equal(request_make(&operation, messages[j].message, &request), CKR_OK);
            assert_int_equal(request.kind, messages[j].kind);
            assert_int_equal(request.scheme, message_rows[i].scheme);
            assert_span_equal(request.content, messages[j].message);
        }
}

static void test_raw_mechanism_with_a_message_of_tls_is_refused(void **state)
{
    struct operation operation = operation_of(CKM_RSA_PKCS, KEY_TYPE_RSA, 2048);
    struct request request = {0};

    (void)state;
    assert_int_equal(request_make(&operation, certificate_verify(32), &request), CKR_DATA_INVALID);
}

/* Ed25519 has no digest: the message itself, of which the agent hears that it is none of TLS. */
static void test_ed25519_takes_any_message(void **state)
{
    struct operation operation = operation_of(CKM_EDDSA, KEY_TYPE_ED25519, 255);
    struct request request = {0};

    (void)state;
    assert_int_equal(request_make(&operation, (struct wire_span){bytes, 5}, &request), CKR_OK);
    assert_int_equal(request.kind, MTLS_AGENT_DIGEST);
    assert_span_equal(request.content, ((struct wire_span){bytes, 5}));
    assert_int_equal(request_make(&operation, (struct wire_span){NULL, 0}, &request), CKR_OK);
    assert_int_equal(request.content.len, 0);
}

/* --- collecting --- */

static void test_message_without_hash_has_an_end(void **state)
{
    struct message message = {0};
    uint8_t *piece = calloc(1, MESSAGE_WHOLE_MAX);

    (void)state;
    assert_non_null(piece);
    assert_int_equal(message_add(&message, HASH_NONE, (struct wire_span){piece, 1}), CKR_OK);
    assert_int_equal(message_add(&message, HASH_NONE, (struct wire_span){piece, MESSAGE_WHOLE_MAX}),
                     CKR_DATA_LEN_RANGE);
    assert_int_equal(
        message_add(&message, HASH_NONE, (struct wire_span){piece, MESSAGE_WHOLE_MAX - 1}), CKR_OK);
    assert_int_equal(message.len, MESSAGE_WHOLE_MAX);
    assert_int_equal(message_add(&message, HASH_NONE, (struct wire_span){NULL, 0}), CKR_OK);
    assert_int_equal(message_add(&message, HASH_NONE, (struct wire_span){piece, 1}),
                     CKR_DATA_LEN_RANGE);
    message_deinit(&message);
    free(piece);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raw_ecdsa),
        cmocka_unit_test(test_digest_info),
        cmocka_unit_test(test_what_is_no_digest_info),
        cmocka_unit_test(test_raw_pss_is_a_digest_of_its_hash),
        cmocka_unit_test(test_messages_of_tls_go_whole),
        cmocka_unit_test(test_raw_mechanism_with_a_message_of_tls_is_refused),
        cmocka_unit_test(test_ed25519_takes_any_message),
        cmocka_unit_test(test_message_without_hash_has_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
