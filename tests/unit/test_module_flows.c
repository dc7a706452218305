/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs do with the built module, over a fake agent in a process of its own: how often the
 * agent is asked, login of a locked token, policy, a token that goes and comes, digests, verifying,
 * random numbers.
 */
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "module_fixture.h"

#ifndef CKR_ACTION_PROHIBITED
#define CKR_ACTION_PROHIBITED (0x1bUL)
#endif
#ifndef CKM_EDDSA
#define CKM_EDDSA (0x1057UL)
#endif

static CK_RV login(const struct fixture *fixture, CK_SESSION_HANDLE session, const char *pin)
{
    return fixture->p11->C_Login(session, CKU_USER, (unsigned char *)(uintptr_t)pin, strlen(pin));
}

/* --- how often the agent is asked --- */

static void test_a_signature_is_one_request(void **state)
{
    const struct fixture *fixture = *state;
    CK_SESSION_HANDLE session = fixture_open(fixture, 0);

    for (int i = 0; i < 10; i++)
        assert_int_equal(fixture_sign(fixture, session), CKR_OK);
    assert_int_equal(fixture_log_count(fixture, "sign"), 10);
    assert_int_equal(fixture_log_count(fixture, "hello"), 1);
    assert_int_equal(fixture_log_count(fixture, "list"), 1);
}

static void test_length_asks_nothing(void **state)
{
    const struct fixture *fixture = *state;
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_SESSION_HANDLE session = fixture_open(fixture, 0);
    CK_OBJECT_HANDLE key = fixture_find(fixture, session, CKO_PRIVATE_KEY, FIXTURE_EC);
    unsigned char data[32] = {0};
    unsigned char signature[64];
    CK_ULONG len = 0;

    assert_int_equal(fixture->p11->C_SignInit(session, &mechanism, key), CKR_OK);
    for (int i = 0; i < 100; i++)
        assert_int_equal(fixture->p11->C_Sign(session, data, sizeof(data), NULL, &len), CKR_OK);
    len = 1;
    assert_int_equal(fixture->p11->C_Sign(session, data, sizeof(data), signature, &len),
                     CKR_BUFFER_TOO_SMALL);
    assert_int_equal(fixture_log_count(fixture, "sign"), 0);
    assert_int_equal(fixture->p11->C_Sign(session, data, sizeof(data), signature, &len), CKR_OK);
    assert_int_equal(fixture_log_count(fixture, "sign"), 1);
}

static void test_ten_thousand_queries_cost_no_round_trip(void **state)
{
    const struct fixture *fixture = *state;
    CK_SESSION_HANDLE session = fixture_open(fixture, 0);

    for (int i = 0; i < 10000; i++) {
        CK_ULONG type = 0;
        CK_ATTRIBUTE entry = {CKA_KEY_TYPE, &type, sizeof(type)};
        CK_OBJECT_HANDLE key = fixture_find(fixture, session, CKO_PRIVATE_KEY, i & 1);
        assert_int_equal(fixture->p11->C_GetAttributeValue(session, key, &entry, 1), CKR_OK);
    }
    /* the first one, and the one with the subscription if it took longer than a second */
    assert_true(fixture_log_count(fixture, "list") <= 2);
    assert_true(fixture_log_count(fixture, "subscribe") <= 1);
}

/* --- login --- */

static void test_login_of_a_locked_token(void **state)
{
    struct fixture *fixture = *state;
    char too_long[300];

    fixture_start_agent(fixture, (const char *const[]){"--locked", "--allow-digest", NULL});
    memset(too_long, '1', sizeof(too_long) - 1);
    too_long[sizeof(too_long) - 1] = '\0';
    CK_SESSION_HANDLE session = fixture_open(fixture, 0);

    assert_int_equal(fixture_sign(fixture, session), CKR_USER_NOT_LOGGED_IN);
    assert_int_equal(login(fixture, session, "4321"), CKR_PIN_INCORRECT);
    assert_int_equal(login(fixture, session, ""), CKR_PIN_LEN_RANGE);
    assert_int_equal(login(fixture, session, too_long), CKR_PIN_LEN_RANGE);
    assert_int_equal(fixture_log_count(fixture, "unlock"), 1);
    assert_int_equal(login(fixture, session, FIXTURE_PIN), CKR_OK);
    assert_int_equal(login(fixture, session, FIXTURE_PIN), CKR_USER_ALREADY_LOGGED_IN);
    assert_int_equal(fixture_log_count(fixture, "unlock right"), 1);
    assert_int_equal(fixture_sign(fixture, session), CKR_OK);
}

/* Logging out concerns the one program alone: the agent hears nothing of it. */
static void test_logout_of_one_program_does_not_affect_another(void **state)
{
    struct fixture *fixture = *state;
    int status = 0;

    fixture_start_agent(fixture, (const char *const[]){"--locked", "--allow-digest", NULL});
    CK_SESSION_HANDLE session = fixture_open(fixture, 0);
    assert_int_equal(login(fixture, session, FIXTURE_PIN), CKR_OK);
    pid_t pid = fork();
    if (pid == 0) {
        CK_FUNCTION_LIST *p11 = fixture->p11;
        CK_SESSION_HANDLE other = CK_INVALID_HANDLE;
        if (p11->C_Initialize(NULL) != CKR_OK ||
            p11->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &other) != CKR_OK ||
            login(fixture, other, "whatever") != CKR_OK || p11->C_Logout(other) != CKR_OK)
            _exit(1);
        _exit(fixture_sign(fixture, other) == CKR_OK ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(fixture_log_count(fixture, "lock"), 0);
    assert_int_equal(fixture_sign(fixture, session), CKR_OK);
    assert_int_equal(fixture->p11->C_Logout(session), CKR_OK);
    assert_int_equal(fixture_sign(fixture, session), CKR_OK);
}

static void test_policy(void **state)
{
    struct fixture *fixture = *state;

    fixture_start_agent(fixture, (const char *const[]){NULL});
    assert_int_equal(fixture_sign(fixture, fixture_open(fixture, 0)), CKR_ACTION_PROHIBITED);
}

/* --- a token that goes and comes --- */

static void test_token_that_goes_and_comes(void **state)
{
    const struct fixture *fixture = *state;
    CK_FUNCTION_LIST *p11 = fixture->p11;
    CK_SESSION_HANDLE session = fixture_open(fixture, 0);
    CK_SESSION_INFO info;
    CK_SLOT_INFO slot_info;
    CK_SLOT_ID slot = 99;

    assert_int_equal(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
    fixture_toggle_token(fixture);
    assert_int_equal(p11->C_WaitForSlotEvent(0, &slot, NULL), CKR_OK);
    assert_int_equal(slot, 0);
    assert_int_equal(p11->C_WaitForSlotEvent(0, &slot, NULL), CKR_OK);
    assert_int_equal(slot, 1);
    assert_int_equal(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
    assert_int_equal(p11->C_GetSessionInfo(session, &info), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(p11->C_GetSlotInfo(0, &slot_info), CKR_OK);
    assert_false(slot_info.flags & CKF_TOKEN_PRESENT);

    fixture_toggle_token(fixture);
    assert_int_equal(p11->C_WaitForSlotEvent(0, &slot, NULL), CKR_OK);
    assert_int_equal(fixture_sign_once(fixture), CKR_OK);
}

static void test_signature_of_a_token_that_is_gone(void **state)
{
    const struct fixture *fixture = *state;
    CK_SESSION_HANDLE session = fixture_open(fixture, 0);

    fixture_toggle_token(fixture);
    CK_RV rv = CKR_OK;
    for (int i = 0; i < 1000 && rv == CKR_OK; i++) /* the signal is on its way */
        rv = fixture_sign(fixture, session);
    assert_int_equal(rv, CKR_DEVICE_REMOVED);
    assert_int_equal(fixture_sign(fixture, session), CKR_SESSION_HANDLE_INVALID);
}

static void *wait_for_event(void *argument)
{
    const struct fixture *fixture = argument;
    static CK_RV rv;
    CK_SLOT_ID slot = 0;

    rv = fixture->p11->C_WaitForSlotEvent(0, &slot, NULL);
    return &rv;
}

static void test_finalize_wakes_who_waits(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;
    void *rv = NULL;

    assert_int_equal(pthread_create(&thread, NULL, wait_for_event, fixture), 0);
    while (fixture_log_count(fixture, "subscribe") == 0)
        (void)sched_yield();
    assert_int_equal(fixture->p11->C_Finalize(NULL), CKR_OK);
    assert_int_equal(pthread_join(thread, &rv), 0);
    assert_int_equal(*(CK_RV *)rv, CKR_CRYPTOKI_NOT_INITIALIZED);
}

/* --- digests and verifying --- */

static void test_digest_in_parts_is_that_in_one(void **state)
{
    CK_FUNCTION_LIST *p11 = ((struct fixture *)*state)->p11;
    CK_SESSION_HANDLE session = fixture_open(*state, 0);
    static const CK_MECHANISM_TYPE types[] = {CKM_SHA256, CKM_SHA384, CKM_SHA512};
    unsigned char data[300] = {7};

    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        CK_MECHANISM mechanism = {types[i], NULL, 0};
        unsigned char whole[64];
        unsigned char parts[64];
        CK_ULONG whole_len = sizeof(whole);
        CK_ULONG parts_len = 0;
        assert_int_equal(p11->C_DigestInit(session, &mechanism), CKR_OK);
        assert_int_equal(p11->C_DigestInit(session, &mechanism), CKR_OPERATION_ACTIVE);
        assert_int_equal(p11->C_Digest(session, data, sizeof(data), whole, &whole_len), CKR_OK);
        assert_int_equal(p11->C_DigestInit(session, &mechanism), CKR_OK);
        for (size_t at = 0; at < sizeof(data); at += 100)
            assert_int_equal(p11->C_DigestUpdate(session, data + at, 100), CKR_OK);
        assert_int_equal(p11->C_Digest(session, data, 1, parts, &parts_len), CKR_OPERATION_ACTIVE);
        assert_int_equal(p11->C_DigestFinal(session, NULL, &parts_len), CKR_OK);
        assert_int_equal(p11->C_DigestFinal(session, parts, &parts_len), CKR_OK);
        assert_int_equal(parts_len, whole_len);
        assert_memory_equal(parts, whole, whole_len);
        assert_int_equal(p11->C_DigestFinal(session, parts, &parts_len),
                         CKR_OPERATION_NOT_INITIALIZED);
    }
}

/* Signed and verified through the module, in one piece and in parts, and longer than is kept. */
static void check_sign_and_verify(const struct fixture *fixture, int key, CK_MECHANISM mechanism,
                                  size_t len)
{
    CK_FUNCTION_LIST *p11 = fixture->p11;
    CK_SESSION_HANDLE session = fixture_open(fixture, key == FIXTURE_ED25519 ? 1 : 0);
    CK_OBJECT_HANDLE private_key = fixture_find(fixture, session, CKO_PRIVATE_KEY, key);
    CK_OBJECT_HANDLE public_key = fixture_find(fixture, session, CKO_PUBLIC_KEY, key);
    unsigned char *data = calloc(1, len);
    unsigned char signature[512];
    CK_ULONG signature_len = sizeof(signature);

    assert_non_null(data);
    assert_int_equal(p11->C_SignInit(session, &mechanism, private_key), CKR_OK);
    for (size_t at = 0; at < len;) {
        size_t part = len - at < 70001 ? len - at : 70001;
        assert_int_equal(p11->C_SignUpdate(session, data + at, part), CKR_OK);
        at += part;
    }
    assert_int_equal(p11->C_SignFinal(session, signature, &signature_len), CKR_OK);
    assert_int_equal(p11->C_VerifyInit(session, &mechanism, public_key), CKR_OK);
    assert_int_equal(p11->C_Verify(session, data, len, signature, signature_len), CKR_OK);
    assert_int_equal(p11->C_VerifyInit(session, &mechanism, public_key), CKR_OK);
    assert_int_equal(p11->C_VerifyUpdate(session, data, len - 1), CKR_OK);
    assert_int_equal(p11->C_VerifyUpdate(session, data + len - 1, 1), CKR_OK);
    assert_int_equal(p11->C_VerifyFinal(session, signature, signature_len), CKR_OK);

    signature[signature_len - 1] ^= 1;
    assert_int_equal(p11->C_VerifyInit(session, &mechanism, public_key), CKR_OK);
    assert_int_equal(p11->C_Verify(session, data, len, signature, signature_len),
                     CKR_SIGNATURE_INVALID);
    assert_int_equal(p11->C_VerifyInit(session, &mechanism, public_key), CKR_OK);
    assert_int_equal(p11->C_Verify(session, data, len, signature, signature_len - 1),
                     CKR_SIGNATURE_LEN_RANGE);
    assert_int_equal(p11->C_Verify(session, data, len, signature, signature_len),
                     CKR_OPERATION_NOT_INITIALIZED);
    free(data);
}

static void test_sign_and_verify(void **state)
{
    CK_RSA_PKCS_PSS_PARAMS params = {CKM_SHA256, CKG_MGF1_SHA256, 32};
    const CK_MECHANISM pss = {CKM_SHA256_RSA_PKCS_PSS, &params, sizeof(params)};
    const CK_MECHANISM pss_raw = {CKM_RSA_PKCS_PSS, &params, sizeof(params)};

    check_sign_and_verify(*state, FIXTURE_EC, (CK_MECHANISM){CKM_ECDSA, NULL, 0}, 32);
    check_sign_and_verify(*state, FIXTURE_EC, (CK_MECHANISM){CKM_ECDSA, NULL, 0}, 64);
    check_sign_and_verify(*state, FIXTURE_EC, (CK_MECHANISM){CKM_ECDSA_SHA256, NULL, 0}, 5);
    check_sign_and_verify(*state, FIXTURE_EC, (CK_MECHANISM){CKM_ECDSA_SHA384, NULL, 0}, 600000);
    check_sign_and_verify(*state, FIXTURE_RSA, (CK_MECHANISM){CKM_SHA512_RSA_PKCS, NULL, 0},
                          300000);
    check_sign_and_verify(*state, FIXTURE_RSA, pss, 300000);
    check_sign_and_verify(*state, FIXTURE_RSA, pss_raw, 32);
}

/* Of Ed25519 the agent takes TLS alone, whatever the policy says. */
static void test_ed25519_signs_tls(void **state)
{
    const struct fixture *fixture = *state;
    CK_FUNCTION_LIST *p11 = fixture->p11;
    CK_MECHANISM mechanism = {CKM_EDDSA, NULL, 0};
    CK_SESSION_HANDLE session = fixture_open(fixture, 1);
    unsigned char message[130];
    unsigned char signature[64];
    CK_ULONG len = sizeof(signature);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    memset(message, ' ', 64);
    memcpy(message + 64, "TLS 1.3, client CertificateVerify", 34);
    memset(message + 98, 'h', 32);
    assert_int_equal(
        p11->C_SignInit(session, &mechanism,
                        fixture_find(fixture, session, CKO_PRIVATE_KEY, FIXTURE_ED25519)),
        CKR_OK);
    assert_int_equal(p11->C_Sign(session, message, sizeof(message), signature, &len), CKR_OK);
    assert_int_equal(fixture_log_count(fixture, "sign ed tls13"), 1);
    assert_int_equal(
        EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, fixture->keys[FIXTURE_ED25519].key), 1);
    assert_int_equal(EVP_DigestVerify(ctx, signature, len, message, sizeof(message)), 1);
    EVP_MD_CTX_free(ctx);
}

static void test_random(void **state)
{
    CK_FUNCTION_LIST *p11 = ((struct fixture *)*state)->p11;
    CK_SESSION_HANDLE session = fixture_open(*state, 0);
    static unsigned char first[1000000];
    unsigned char second[32] = {0};
    unsigned char zero[32] = {0};

    assert_int_equal(p11->C_GenerateRandom(session, first, sizeof(first)), CKR_OK);
    assert_memory_not_equal(first + sizeof(first) - 32, zero, 32);
    assert_int_equal(p11->C_GenerateRandom(session, second, sizeof(second)), CKR_OK);
    assert_memory_not_equal(first, second, 32);
    assert_int_equal(p11->C_GenerateRandom(session, NULL, 0), CKR_OK);
    assert_int_equal(p11->C_SeedRandom(session, second, 32), CKR_OK);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_begin, fixture_end)
    const struct CMUnitTest tests[] = {
        TEST(test_a_signature_is_one_request),
        TEST(test_length_asks_nothing),
        TEST(test_ten_thousand_queries_cost_no_round_trip),
        TEST(test_login_of_a_locked_token),
        TEST(test_logout_of_one_program_does_not_affect_another),
        TEST(test_policy),
        TEST(test_token_that_goes_and_comes),
        TEST(test_signature_of_a_token_that_is_gone),
        TEST(test_finalize_wakes_who_waits),
        TEST(test_digest_in_parts_is_that_in_one),
        TEST(test_sign_and_verify),
        TEST(test_ed25519_signs_tls),
        TEST(test_random),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
