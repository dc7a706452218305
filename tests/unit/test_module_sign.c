/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signing through the module, with its agent in the test (module_seam.c): how an operation begins,
 * is fed and ends, and what the agent is asked for on the way. Verifying where it needs no crypto
 * library.
 */
#include <string.h>

#include "client/module/calls.h"
#include "client/module/message.h"
#include "module_seam.h"
#include "unit.h"

#ifndef CKM_EDDSA
#define CKM_EDDSA (0x1057UL)
#endif

static CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0};
static CK_MECHANISM ecdsa_sha256 = {CKM_ECDSA_SHA256, NULL, 0};
static unsigned char digest[32] = "a digest of thirty-two bytes....";

static int setup(void **state)
{
    (void)state;
    seam_reset();
    return C_Initialize(NULL) == CKR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    (void)C_Finalize(NULL);
    return 0;
}

static CK_SESSION_HANDLE open_session(CK_SLOT_ID slot)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    assert_int_equal(C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
    return session;
}

static CK_OBJECT_HANDLE find(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class, const char *label)
{
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &class, sizeof(class)},
        {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)},
    };
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    CK_ULONG count = 0;

    assert_int_equal(C_FindObjectsInit(session, template, 2), CKR_OK);
    assert_int_equal(C_FindObjects(session, &object, 1, &count), CKR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(C_FindObjectsFinal(session), CKR_OK);
    return object;
}

static CK_SESSION_HANDLE begin(CK_MECHANISM *mechanism, const char *label)
{
    CK_SESSION_HANDLE session = open_session(mechanism->mechanism == CKM_EDDSA ? 1 : 0);

    assert_int_equal(C_SignInit(session, mechanism, find(session, CKO_PRIVATE_KEY, label)), CKR_OK);
    return session;
}

static void test_length_is_told_without_asking(void **state)
{
    CK_SESSION_HANDLE session = begin(&ecdsa, "p256");
    unsigned char signature[64];
    CK_ULONG len = 0;

    (void)state;
    assert_int_equal(C_Sign(session, digest, 32, NULL, &len), CKR_OK);
    assert_int_equal(len, 64);
    len = 63;
    assert_int_equal(C_Sign(session, digest, 32, signature, &len), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(len, 64);
    assert_int_equal(seam.signs, 0);
    assert_int_equal(C_Sign(session, digest, 32, signature, &len), CKR_OK);
    assert_int_equal(seam.signs, 1);
    assert_int_equal(C_Sign(session, digest, 32, signature, &len), CKR_OPERATION_NOT_INITIALIZED);
}

static const struct {
    const char *label;
    CK_MECHANISM_TYPE type;
    CK_ULONG len;
} length_rows[] = {
    {"p256", CKM_ECDSA, 64},           {"p384", CKM_ECDSA, 96},    {"p521", CKM_ECDSA, 132},
    {"rsa", CKM_SHA256_RSA_PKCS, 256}, {"ed25519", CKM_EDDSA, 64},
};

static void test_lengths(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(length_rows); i++) {
        CK_MECHANISM mechanism = {length_rows[i].type, NULL, 0};
        CK_SESSION_HANDLE session = begin(&mechanism, length_rows[i].label);
        CK_ULONG len = 0;
        assert_int_equal(C_SignFinal(session, NULL, &len), CKR_OK);
        assert_int_equal(len, length_rows[i].len);
    }
}

static void test_failed_signature_ends_the_operation(void **state)
{
    CK_SESSION_HANDLE session = begin(&ecdsa, "p256");
    unsigned char signature[64];
    CK_ULONG len = sizeof(signature);

    (void)state;
    assert_int_equal(C_Sign(session, digest, 31, signature, &len), CKR_DATA_LEN_RANGE);
    assert_int_equal(C_Sign(session, digest, 32, signature, &len), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(seam.signs, 0);
}

static const struct {
    int code;
    CK_RV rv;
} answer_rows[] = {
    {MTLS_AGENT_E_POLICY, CKR_ACTION_PROHIBITED},  {MTLS_AGENT_E_NO_KEY, CKR_KEY_HANDLE_INVALID},
    {MTLS_AGENT_E_TOKEN_GONE, CKR_DEVICE_REMOVED}, {MTLS_AGENT_E_LOCKED, CKR_USER_NOT_LOGGED_IN},
    {MTLS_AGENT_E_PIN, CKR_USER_NOT_LOGGED_IN},    {MTLS_AGENT_E_BUSY, CKR_FUNCTION_FAILED},
    {MTLS_AGENT_E_TIMEOUT, CKR_FUNCTION_CANCELED}, {MTLS_AGENT_E_INTERNAL, CKR_FUNCTION_FAILED},
    {MTLS_AGENT_E_NO_AGENT, CKR_DEVICE_ERROR},     {MTLS_AGENT_E_CONNECTION, CKR_DEVICE_ERROR},
    {MTLS_AGENT_E_VERSION, CKR_DEVICE_ERROR},      {MTLS_AGENT_E_PROTOCOL, CKR_DEVICE_ERROR},
    {MTLS_AGENT_E_MEMORY, CKR_HOST_MEMORY},        {-77, CKR_FUNCTION_FAILED},
};

static void test_answers_of_the_agent(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(answer_rows); i++) {
        CK_SESSION_HANDLE session = begin(&ecdsa, "p256");
        unsigned char signature[64];
        CK_ULONG len = sizeof(signature);
        seam.sign_code = answer_rows[i].code;
        assert_int_equal(C_Sign(session, digest, 32, signature, &len), answer_rows[i].rv);
        assert_int_equal(C_Sign(session, digest, 32, signature, &len),
                         CKR_OPERATION_NOT_INITIALIZED);
    }
}

static void sign_in_parts(CK_SESSION_HANDLE session, struct wire_span message, size_t part_len)
{
    unsigned char signature[512];
    CK_ULONG len = sizeof(signature);

    for (size_t at = 0; at < message.len; at += part_len) {
        size_t left = message.len - at;
        assert_int_equal(C_SignUpdate(session, (unsigned char *)(uintptr_t)(message.data + at),
                                      left < part_len ? left : part_len),
                         CKR_OK);
        assert_int_equal(C_SignUpdate(session, NULL, 0), CKR_OK);
    }
    assert_int_equal(C_SignFinal(session, NULL, &len), CKR_OK);
    assert_int_equal(C_SignFinal(session, signature, &len), CKR_OK);
}

static void test_message_of_tls_in_parts_goes_whole(void **state)
{
    static const char content[] = "                                "
                                  "                                "
                                  "TLS 1.3, client CertificateVerify\0"
                                  "the hash of the transcript, of 32";
    struct wire_span message = {(const uint8_t *)content, 130};

    (void)state;
    for (size_t part_len = 1; part_len <= 130; part_len += 43) {
        sign_in_parts(begin(&ecdsa_sha256, "p256"), message, part_len);
        assert_int_equal(seam.kind, MTLS_AGENT_TLS13);
        assert_span_equal(((struct wire_span){seam.content, seam.content_len}), message);
    }
}

static void test_raw_digest_in_parts(void **state)
{
    (void)state;
    sign_in_parts(begin(&ecdsa, "p256"), (struct wire_span){digest, 32}, 5);
    assert_int_equal(seam.kind, MTLS_AGENT_DIGEST);
    assert_span_equal(((struct wire_span){seam.content, seam.content_len}),
                      ((struct wire_span){digest, 32}));
}

static void test_the_two_ways_do_not_mix(void **state)
{
    CK_SESSION_HANDLE session = begin(&ecdsa, "p256");
    unsigned char signature[64];
    CK_ULONG len = sizeof(signature);

    (void)state;
    assert_int_equal(C_SignUpdate(session, digest, 16), CKR_OK);
    assert_int_equal(C_Sign(session, digest, 32, signature, &len), CKR_OPERATION_ACTIVE);
    assert_int_equal(C_SignUpdate(session, digest + 16, 16), CKR_OK);
    assert_int_equal(C_SignFinal(session, signature, &len), CKR_OK);
    assert_memory_equal(seam.content, digest, 32);
}

static void test_begin_twice(void **state)
{
    CK_SESSION_HANDLE session = begin(&ecdsa, "p256");

    (void)state;
    assert_int_equal(C_SignInit(session, &ecdsa, find(session, CKO_PRIVATE_KEY, "p256")),
                     CKR_OPERATION_ACTIVE);
    /* v3.0: no mechanism ends it */
    assert_int_equal(C_SignInit(session, NULL, CK_INVALID_HANDLE), CKR_OK);
    assert_int_equal(C_SignInit(session, NULL, CK_INVALID_HANDLE), CKR_OK);
    assert_int_equal(C_SignUpdate(session, digest, 32), CKR_OPERATION_NOT_INITIALIZED);
}

static void test_session_cancel_ends_what_it_names(void **state)
{
    CK_SESSION_HANDLE session = begin(&ecdsa, "p256");
    CK_ULONG count = 0;
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;

    (void)state;
    assert_int_equal(C_FindObjectsInit(session, NULL, 0), CKR_OK);
    assert_int_equal(C_SessionCancel(session, CKF_VERIFY | CKF_DIGEST | CKF_ENCRYPT), CKR_OK);
    assert_int_equal(C_SignUpdate(session, digest, 32), CKR_OK);
    assert_int_equal(C_SessionCancel(session, CKF_SIGN), CKR_OK);
    assert_int_equal(C_SignUpdate(session, digest, 32), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_FindObjects(session, &object, 1, &count), CKR_OK);
    assert_int_equal(C_SessionCancel(session, 0x40UL), CKR_OK);
    assert_int_equal(C_FindObjects(session, &object, 1, &count), CKR_OPERATION_NOT_INITIALIZED);
}

static void test_keys_and_mechanisms_that_do_not_fit(void **state)
{
    CK_SESSION_HANDLE session = open_session(0);
    CK_MECHANISM rsa = {CKM_RSA_PKCS, NULL, 0};
    CK_MECHANISM sha256 = {CKM_SHA256, NULL, 0};
    CK_MECHANISM eddsa = {CKM_EDDSA, NULL, 0};
    CK_OBJECT_HANDLE key = find(session, CKO_PRIVATE_KEY, "p256");

    (void)state;
    assert_int_equal(C_SignInit(session, &rsa, key), CKR_KEY_TYPE_INCONSISTENT);
    assert_int_equal(C_SignInit(session, &rsa, find(session, CKO_PRIVATE_KEY, "pss")),
                     CKR_KEY_TYPE_INCONSISTENT);
    assert_int_equal(C_SignInit(session, &sha256, key), CKR_MECHANISM_INVALID);
    assert_int_equal(C_SignInit(session, &eddsa, key), CKR_MECHANISM_INVALID);
    assert_int_equal(C_SignInit(session, &ecdsa, key + 1000), CKR_KEY_HANDLE_INVALID);
    assert_int_equal(C_SignInit(session, &ecdsa, find(session, CKO_PUBLIC_KEY, "p256")),
                     CKR_KEY_FUNCTION_NOT_PERMITTED);
    assert_int_equal(C_SignInit(session, &ecdsa, find(session, CKO_CERTIFICATE, "p256")),
                     CKR_KEY_HANDLE_INVALID);
    assert_int_equal(C_VerifyInit(session, &ecdsa, key), CKR_KEY_FUNCTION_NOT_PERMITTED);
    /* none of them left anything behind */
    assert_int_equal(C_SignInit(session, &ecdsa, key), CKR_OK);
}

/* A key is of its slot: the handle means nothing in a session of another one. */
static void test_handles_are_of_their_slot(void **state)
{
    CK_MECHANISM eddsa = {CKM_EDDSA, NULL, 0};
    CK_OBJECT_HANDLE key = find(open_session(0), CKO_PRIVATE_KEY, "p256");

    (void)state;
    assert_int_equal(C_SignInit(open_session(1), &eddsa, key), CKR_KEY_HANDLE_INVALID);
}

static void test_session_closed_with_an_operation(void **state)
{
    CK_SESSION_HANDLE session = begin(&ecdsa, "p256");

    (void)state;
    assert_int_equal(C_SignUpdate(session, digest, 32), CKR_OK);
    assert_int_equal(C_CloseSession(session), CKR_OK);
    assert_int_equal(C_SignUpdate(session, digest, 32), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
}

/* What is signed raw is a digest: too much of it is too much, it is not hashed instead. */
static void test_raw_pss_is_never_hashed(void **state)
{
    CK_RSA_PKCS_PSS_PARAMS params = {CKM_SHA256, CKG_MGF1_SHA256, 32};
    CK_MECHANISM pss = {CKM_RSA_PKCS_PSS, &params, sizeof(params)};
    CK_SESSION_HANDLE session = begin(&pss, "rsa");
    unsigned char *data = calloc(1, MESSAGE_WHOLE_MAX + 1);
    unsigned char signature[256];
    CK_ULONG len = sizeof(signature);

    (void)state;
    assert_non_null(data);
    assert_int_equal(C_VerifyInit(session, &pss, find(session, CKO_PUBLIC_KEY, "rsa")), CKR_OK);
    CK_RV verified = C_VerifyUpdate(session, data, MESSAGE_WHOLE_MAX + 1);
    CK_RV fed = C_SignUpdate(session, data, MESSAGE_WHOLE_MAX + 1);
    CK_RV begun = C_SignInit(session, &pss, find(session, CKO_PRIVATE_KEY, "rsa"));
    CK_RV signed_ = C_Sign(session, data, MESSAGE_WHOLE_MAX + 1, signature, &len);
    free(data);
    assert_int_equal(verified, CKR_DATA_LEN_RANGE);
    assert_int_equal(fed, CKR_DATA_LEN_RANGE);
    assert_int_equal(begun, CKR_OK);
    assert_int_equal(signed_, CKR_DATA_LEN_RANGE);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_length_is_told_without_asking),
        TEST(test_lengths),
        TEST(test_failed_signature_ends_the_operation),
        TEST(test_answers_of_the_agent),
        TEST(test_message_of_tls_in_parts_goes_whole),
        TEST(test_raw_digest_in_parts),
        TEST(test_the_two_ways_do_not_mix),
        TEST(test_begin_twice),
        TEST(test_session_cancel_ends_what_it_names),
        TEST(test_keys_and_mechanisms_that_do_not_fit),
        TEST(test_handles_are_of_their_slot),
        TEST(test_session_closed_with_an_operation),
        TEST(test_raw_pss_is_never_hashed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
