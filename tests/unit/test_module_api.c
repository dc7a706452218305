/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every function of both function lists, called as no program should: too early, too late, with
 * wrong handles, with nothing. One table says what each answers.
 */
#include <dlfcn.h>
#include <string.h>

#include "client/module/calls.h"
#include "module_fixture.h"

#define SIZE 4096u
#define WRONG_SESSION 0x7f7f7f7fUL
#define V3_FUNCTIONS 24u

/* What the header of Debian 12 lacks. */
struct interface {
    const char *name;
    void *functions;
    CK_FLAGS flags;
};
typedef CK_RV (*interface_list_fn)(struct interface *list, CK_ULONG *count);
typedef CK_RV (*interface_fn)(unsigned char *name, struct _CK_VERSION *version,
                              struct interface **interface, CK_FLAGS flags);
struct function_list_v3 {
    CK_FUNCTION_LIST base;
    void (*more[V3_FUNCTIONS])(void);
};

/* The parameters of a call. With pointers: `p` to SIZE bytes of zero, `len` to their number. */
struct arguments {
    CK_SESSION_HANDLE session;
    void *p;
    CK_ULONG n;
    CK_ULONG *len;
    const struct function_list_v3 *v3;
    CK_FUNCTION_LIST *f;
};

/* v3.0, section 6.3: the functions behind those of v2.40, by their place. */
#define V3(type, place, ...) ((__typeof__(type) *)a->v3->more[place])(a->session __VA_ARGS__)
#define NONE
#define IN , a->p, a->n
#define OUT , a->p, a->len

#define BAD CKR_ARGUMENTS_BAD
#define NOTHING CKR_OPERATION_NOT_INITIALIZED
#define PROTECTED CKR_TOKEN_WRITE_PROTECTED
#define MISSING CKR_FUNCTION_NOT_SUPPORTED

/*
 * X(name, what it answers without any pointer in an open session, whether it has a session, call).
 * Not here: C_Initialize, C_Finalize, C_GetFunctionList, C_GetInterface, C_GetInterfaceList.
 */
#define CALLS(X)                                                                                \
    X(C_GetInfo, BAD, 0, a->f->C_GetInfo(a->p))                                                 \
    X(C_GetSlotList, BAD, 0, a->f->C_GetSlotList(CK_TRUE, a->p, a->len))                        \
    X(C_GetSlotInfo, BAD, 0, a->f->C_GetSlotInfo(0, a->p))                                      \
    X(C_GetTokenInfo, BAD, 0, a->f->C_GetTokenInfo(0, a->p))                                    \
    X(C_GetMechanismList, BAD, 0, a->f->C_GetMechanismList(0, a->p, a->len))                    \
    X(C_GetMechanismInfo, BAD, 0, a->f->C_GetMechanismInfo(0, CKM_ECDSA, a->p))                 \
    X(C_InitToken, PROTECTED, 0, a->f->C_InitToken(0, a->p, a->n, a->p))                        \
    X(C_WaitForSlotEvent, BAD, 0, a->f->C_WaitForSlotEvent(CKF_DONT_BLOCK, a->p, NULL))         \
    X(C_OpenSession, BAD, 0, a->f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, a->p))      \
    X(C_CloseAllSessions, CKR_OK, 0, a->f->C_CloseAllSessions(1))                               \
    X(C_CloseSession, CKR_OK, 1, a->f->C_CloseSession(a->session))                              \
    X(C_GetSessionInfo, BAD, 1, a->f->C_GetSessionInfo(a->session, a->p))                       \
    X(C_GetOperationState, MISSING, 1, a->f->C_GetOperationState(a->session, a->p, a->len))     \
    X(C_SetOperationState, MISSING, 1, a->f->C_SetOperationState(a->session, a->p, a->n, 0, 0)) \
    X(C_Login, CKR_OK, 1, a->f->C_Login(a->session, CKU_USER, a->p, a->n))                      \
    X(C_Logout, CKR_USER_NOT_LOGGED_IN, 1, a->f->C_Logout(a->session))                          \
    X(C_InitPIN, PROTECTED, 1, a->f->C_InitPIN(a->session, a->p, a->n))                         \
    X(C_SetPIN, PROTECTED, 1, a->f->C_SetPIN(a->session, a->p, a->n, a->p, a->n))               \
    X(C_CreateObject, PROTECTED, 1, a->f->C_CreateObject(a->session, a->p, 1, a->len))          \
    X(C_CopyObject, PROTECTED, 1, a->f->C_CopyObject(a->session, 1, a->p, 1, a->len))           \
    X(C_DestroyObject, PROTECTED, 1, a->f->C_DestroyObject(a->session, 1))                      \
    X(C_GetObjectSize, BAD, 1, a->f->C_GetObjectSize(a->session, 1, a->len))                    \
    X(C_GetAttributeValue, BAD, 1, a->f->C_GetAttributeValue(a->session, 1, a->p, 1))           \
    X(C_SetAttributeValue, PROTECTED, 1, a->f->C_SetAttributeValue(a->session, 1, a->p, 1))     \
    X(C_FindObjectsInit, BAD, 1, a->f->C_FindObjectsInit(a->session, a->p, 1))                  \
    X(C_FindObjects, BAD, 1, a->f->C_FindObjects(a->session, a->p, 1, a->len))                  \
    X(C_FindObjectsFinal, NOTHING, 1, a->f->C_FindObjectsFinal(a->session))                     \
    X(C_EncryptInit, MISSING, 1, a->f->C_EncryptInit(a->session, a->p, 1))                      \
    X(C_Encrypt, MISSING, 1, a->f->C_Encrypt(a->session IN OUT))                                \
    X(C_EncryptUpdate, MISSING, 1, a->f->C_EncryptUpdate(a->session IN OUT))                    \
    X(C_EncryptFinal, MISSING, 1, a->f->C_EncryptFinal(a->session OUT))                         \
    X(C_DecryptInit, MISSING, 1, a->f->C_DecryptInit(a->session, a->p, 1))                      \
    X(C_Decrypt, MISSING, 1, a->f->C_Decrypt(a->session IN OUT))                                \
    X(C_DecryptUpdate, MISSING, 1, a->f->C_DecryptUpdate(a->session IN OUT))                    \
    X(C_DecryptFinal, MISSING, 1, a->f->C_DecryptFinal(a->session OUT))                         \
    X(C_DigestInit, CKR_OK, 1, a->f->C_DigestInit(a->session, a->p))                            \
    X(C_Digest, BAD, 1, a->f->C_Digest(a->session IN OUT))                                      \
    X(C_DigestUpdate, BAD, 1, a->f->C_DigestUpdate(a->session IN))                              \
    X(C_DigestKey, CKR_KEY_INDIGESTIBLE, 1, a->f->C_DigestKey(a->session, 1))                   \
    X(C_DigestFinal, BAD, 1, a->f->C_DigestFinal(a->session OUT))                               \
    X(C_SignInit, CKR_OK, 1, a->f->C_SignInit(a->session, a->p, 1))                             \
    X(C_Sign, BAD, 1, a->f->C_Sign(a->session IN OUT))                                          \
    X(C_SignUpdate, BAD, 1, a->f->C_SignUpdate(a->session IN))                                  \
    X(C_SignFinal, BAD, 1, a->f->C_SignFinal(a->session OUT))                                   \
    X(C_SignRecoverInit, MISSING, 1, a->f->C_SignRecoverInit(a->session, a->p, 1))              \
    X(C_SignRecover, MISSING, 1, a->f->C_SignRecover(a->session IN OUT))                        \
    X(C_VerifyInit, CKR_OK, 1, a->f->C_VerifyInit(a->session, a->p, 1))                         \
    X(C_Verify, BAD, 1, a->f->C_Verify(a->session IN IN))                                       \
    X(C_VerifyUpdate, BAD, 1, a->f->C_VerifyUpdate(a->session IN))                              \
    X(C_VerifyFinal, BAD, 1, a->f->C_VerifyFinal(a->session IN))                                \
    X(C_VerifyRecoverInit, MISSING, 1, a->f->C_VerifyRecoverInit(a->session, a->p, 1))          \
    X(C_VerifyRecover, MISSING, 1, a->f->C_VerifyRecover(a->session IN OUT))                    \
    X(C_DigestEncryptUpdate, MISSING, 1, a->f->C_DigestEncryptUpdate(a->session IN OUT))        \
    X(C_DecryptDigestUpdate, MISSING, 1, a->f->C_DecryptDigestUpdate(a->session IN OUT))        \
    X(C_SignEncryptUpdate, MISSING, 1, a->f->C_SignEncryptUpdate(a->session IN OUT))            \
    X(C_DecryptVerifyUpdate, MISSING, 1, a->f->C_DecryptVerifyUpdate(a->session IN OUT))        \
    X(C_GenerateKey, PROTECTED, 1, a->f->C_GenerateKey(a->session, a->p, a->p, 1, a->len))      \
    X(C_GenerateKeyPair, PROTECTED, 1,                                                          \
      a->f->C_GenerateKeyPair(a->session, a->p, a->p, 1, a->p, 1, a->len, a->len))              \
    X(C_WrapKey, MISSING, 1, a->f->C_WrapKey(a->session, a->p, 1, 1 OUT))                       \
    X(C_UnwrapKey, MISSING, 1, a->f->C_UnwrapKey(a->session, a->p, 1 IN, a->p, 1, a->len))      \
    X(C_DeriveKey, MISSING, 1, a->f->C_DeriveKey(a->session, a->p, 1, a->p, 1, a->len))         \
    X(C_SeedRandom, BAD, 1, a->f->C_SeedRandom(a->session IN))                                  \
    X(C_GenerateRandom, BAD, 1, a->f->C_GenerateRandom(a->session IN))                          \
    X(C_GetFunctionStatus, CKR_FUNCTION_NOT_PARALLEL, 1, a->f->C_GetFunctionStatus(a->session)) \
    X(C_CancelFunction, CKR_FUNCTION_NOT_PARALLEL, 1, a->f->C_CancelFunction(a->session))       \
    X(C_LoginUser, CKR_OK, 1, V3(C_LoginUser, 2, , CKU_USER IN IN))                             \
    X(C_SessionCancel, CKR_OK, 1, V3(C_SessionCancel, 3, , ~0UL))                               \
    X(C_MessageEncryptInit, MISSING, 1, V3(calls_message_init, 4, , a->p, 1))                   \
    X(C_EncryptMessage, MISSING, 1, V3(calls_crypt_message, 5, IN IN IN OUT))                   \
    X(C_EncryptMessageBegin, MISSING, 1, V3(calls_crypt_message_begin, 6, IN IN))               \
    X(C_EncryptMessageNext, MISSING, 1, V3(calls_crypt_message_next, 7, IN IN OUT, 0))          \
    X(C_MessageEncryptFinal, MISSING, 1, V3(calls_message_final, 8, NONE))                      \
    X(C_MessageDecryptInit, MISSING, 1, V3(calls_message_init, 9, , a->p, 1))                   \
    X(C_DecryptMessage, MISSING, 1, V3(calls_crypt_message, 10, IN IN IN OUT))                  \
    X(C_DecryptMessageBegin, MISSING, 1, V3(calls_crypt_message_begin, 11, IN IN))              \
    X(C_DecryptMessageNext, MISSING, 1, V3(calls_crypt_message_next, 12, IN IN OUT, 0))         \
    X(C_MessageDecryptFinal, MISSING, 1, V3(calls_message_final, 13, NONE))                     \
    X(C_MessageSignInit, MISSING, 1, V3(calls_message_init, 14, , a->p, 1))                     \
    X(C_SignMessage, MISSING, 1, V3(calls_sign_message, 15, IN IN OUT))                         \
    X(C_SignMessageBegin, MISSING, 1, V3(calls_message_begin, 16, IN))                          \
    X(C_SignMessageNext, MISSING, 1, V3(calls_sign_message, 17, IN IN OUT))                     \
    X(C_MessageSignFinal, MISSING, 1, V3(calls_message_final, 18, NONE))                        \
    X(C_MessageVerifyInit, MISSING, 1, V3(calls_message_init, 19, , a->p, 1))                   \
    X(C_VerifyMessage, MISSING, 1, V3(calls_verify_message, 20, IN IN IN))                      \
    X(C_VerifyMessageBegin, MISSING, 1, V3(calls_message_begin, 21, IN))                        \
    X(C_VerifyMessageNext, MISSING, 1, V3(calls_verify_message, 22, IN IN IN))                  \
    X(C_MessageVerifyFinal, MISSING, 1, V3(calls_message_final, 23, NONE))

#define DEFINE_CALL(name, nothing, has_session, call)   \
    static CK_RV call_##name(const struct arguments *a) \
    {                                                   \
        return call;                                    \
    }
CALLS(DEFINE_CALL)

#define ROW(name, nothing, has_session, call) {#name, (nothing), (has_session), call_##name},
static const struct call_row {
    const char *name;
    CK_RV nothing;
    bool has_session;
    CK_RV (*call)(const struct arguments *arguments);
} call_rows[] = {CALLS(ROW)};

_Static_assert(ARRAY_SIZE(call_rows) == 68 + 24 - 5, "all but those that need no library");

static void assert_answer(const struct call_row *row, CK_RV rv, CK_RV expected)
{
    if (rv != expected)
        fail_msg("%s: 0x%lx, not 0x%lx", row->name, rv, expected);
}

static const struct function_list_v3 *get_v3(const struct fixture *fixture)
{
    interface_fn get = (interface_fn)dlsym(fixture->file, "C_GetInterface");
    struct _CK_VERSION version = {3, 0};
    struct interface *interface = NULL;

    assert_non_null(get);
    assert_int_equal(get(NULL, &version, &interface, 0), CKR_OK);
    return interface->functions;
}

static void check_uninitialized(const struct fixture *fixture)
{
    static uint8_t bytes[SIZE];
    CK_ULONG len = SIZE;
    const struct arguments arguments = {.session = WRONG_SESSION,
                                        .p = bytes,
                                        .n = SIZE,
                                        .len = &len,
                                        .v3 = get_v3(fixture),
                                        .f = fixture->p11};

    for (size_t i = 0; i < ARRAY_SIZE(call_rows); i++) {
        memset(bytes, 0, sizeof(bytes));
        assert_answer(&call_rows[i], call_rows[i].call(&arguments), CKR_CRYPTOKI_NOT_INITIALIZED);
    }
    assert_int_equal(fixture->p11->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
}

static void test_before_and_after(void **state)
{
    const struct fixture *fixture = *state;

    (void)fixture->p11->C_Finalize(NULL);
    check_uninitialized(fixture);
    assert_int_equal(fixture->p11->C_Initialize(NULL), CKR_OK);
    assert_int_equal(fixture->p11->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
    assert_int_equal(fixture->p11->C_Finalize(NULL), CKR_OK);
    check_uninitialized(fixture);
    assert_int_equal(fixture->p11->C_Initialize(NULL), CKR_OK);
}

static void test_wrong_session(void **state)
{
    const struct fixture *fixture = *state;
    static const CK_SESSION_HANDLE wrong[] = {CK_INVALID_HANDLE, WRONG_SESSION, ~0UL, 1, 0xffff};
    static uint8_t bytes[SIZE];

    for (size_t i = 0; i < ARRAY_SIZE(call_rows); i++)
        for (size_t j = 0; call_rows[i].has_session && j < ARRAY_SIZE(wrong); j++) {
            CK_ULONG len = SIZE;
            const struct arguments arguments = {.session = wrong[j],
                                                .p = bytes,
                                                .n = SIZE,
                                                .len = &len,
                                                .v3 = get_v3(fixture),
                                                .f = fixture->p11};
            memset(bytes, 0, sizeof(bytes));
            assert_answer(&call_rows[i], call_rows[i].call(&arguments), CKR_SESSION_HANDLE_INVALID);
        }
}

static void test_nothing_where_something_must_be(void **state)
{
    const struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_SIZE(call_rows); i++) {
        assert_int_equal(fixture->p11->C_CloseAllSessions(0), CKR_OK);
        const struct arguments arguments = {
            .session = fixture_open(fixture, 0), .n = 5, .v3 = get_v3(fixture), .f = fixture->p11};
        assert_answer(&call_rows[i], call_rows[i].call(&arguments), call_rows[i].nothing);
    }
}

static void test_initialize_arguments(void **state)
{
    const struct fixture *fixture = *state;
    CK_FUNCTION_LIST *p11 = fixture->p11;
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};

    assert_int_equal(p11->C_Finalize(&args), CKR_ARGUMENTS_BAD);
    assert_int_equal(p11->C_Finalize(NULL), CKR_OK);
    args.pReserved = &args;
    assert_int_equal(p11->C_Initialize(&args), CKR_ARGUMENTS_BAD);
    args.pReserved = NULL;
    args.CreateMutex = (CK_CREATEMUTEX)abort; /* one of four; it would be noticed */
    assert_int_equal(p11->C_Initialize(&args), CKR_ARGUMENTS_BAD);
    args.CreateMutex = NULL;
    args.flags |= CKF_LIBRARY_CANT_CREATE_OS_THREADS;
    assert_int_equal(p11->C_Initialize(&args), CKR_OK);
}

static void test_slots_that_are_not_there(void **state)
{
    CK_FUNCTION_LIST *p11 = ((struct fixture *)*state)->p11;
    static const CK_SLOT_ID wrong[] = {3, 4096, ~0UL};
    uint8_t bytes[SIZE];
    CK_SESSION_HANDLE session;
    CK_ULONG count = 0;

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_int_equal(p11->C_GetSlotInfo(wrong[i], (void *)bytes), CKR_SLOT_ID_INVALID);
        assert_int_equal(p11->C_GetTokenInfo(wrong[i], (void *)bytes), CKR_SLOT_ID_INVALID);
        assert_int_equal(p11->C_GetMechanismList(wrong[i], NULL, &count), CKR_SLOT_ID_INVALID);
        assert_int_equal(p11->C_CloseAllSessions(wrong[i]), CKR_SLOT_ID_INVALID);
        assert_int_equal(p11->C_OpenSession(wrong[i], CKF_SERIAL_SESSION, NULL, NULL, &session),
                         CKR_SLOT_ID_INVALID);
    }
    /* the empty one */
    assert_int_equal(p11->C_GetSlotInfo(2, (void *)bytes), CKR_OK);
    assert_int_equal(p11->C_GetTokenInfo(2, (void *)bytes), CKR_TOKEN_NOT_PRESENT);
    assert_int_equal(p11->C_OpenSession(2, CKF_SERIAL_SESSION, NULL, NULL, &session),
                     CKR_TOKEN_NOT_PRESENT);
    assert_int_equal(p11->C_OpenSession(0, 0, NULL, NULL, &session),
                     CKR_SESSION_PARALLEL_NOT_SUPPORTED);
}

static void test_lists_into_too_little_room(void **state)
{
    CK_FUNCTION_LIST *p11 = ((struct fixture *)*state)->p11;
    CK_SLOT_ID slots[4] = {77, 77, 77, 77};
    CK_MECHANISM_TYPE mechanisms[64];
    CK_ULONG count = 2;

    assert_int_equal(p11->C_GetSlotList(CK_FALSE, slots, &count), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(count, 3);
    assert_int_equal(slots[2], 77);
    assert_int_equal(p11->C_GetSlotList(CK_FALSE, slots, &count), CKR_OK);
    assert_int_equal(slots[3], 77);
    count = 4;
    assert_int_equal(p11->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    assert_int_equal(count, 2);
    count = 1;
    mechanisms[1] = 77;
    assert_int_equal(p11->C_GetMechanismList(1, mechanisms, &count), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(count, 4);
    assert_int_equal(mechanisms[1], 77);
}

/* --- interfaces --- */

static void test_interface_list(void **state)
{
    const struct fixture *fixture = *state;
    interface_list_fn get = (interface_list_fn)dlsym(fixture->file, "C_GetInterfaceList");
    struct interface list[4] = {0};
    CK_ULONG count = 1;

    assert_non_null(get);
    assert_int_equal(get(NULL, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(get(list, &count), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(count, 2);
    assert_null(list[0].name);
    assert_int_equal(get(NULL, &count), CKR_OK);
    count = 4;
    assert_int_equal(get(list, &count), CKR_OK);
    assert_int_equal(count, 2);
    assert_string_equal(list[0].name, "PKCS 11");
    assert_int_equal(((CK_FUNCTION_LIST *)list[0].functions)->version.major, 3);
    assert_int_equal(((CK_FUNCTION_LIST *)list[1].functions)->version.minor, 40);
    assert_ptr_equal(list[1].functions, fixture->p11);
}

static void test_interface_by_wish(void **state)
{
    const struct fixture *fixture = *state;
    interface_fn get = (interface_fn)dlsym(fixture->file, "C_GetInterface");
    unsigned char name[] = "PKCS 11";
    unsigned char other[] = "Vendor";
    struct _CK_VERSION v240 = {2, 40};
    struct _CK_VERSION v9 = {9, 0};
    struct interface *interface = NULL;

    assert_int_equal(get(NULL, NULL, NULL, 0), CKR_ARGUMENTS_BAD);
    assert_int_equal(get(NULL, NULL, &interface, 0), CKR_OK);
    assert_int_equal(((CK_FUNCTION_LIST *)interface->functions)->version.major, 3);
    assert_int_equal(get(name, &v240, &interface, 0), CKR_OK);
    assert_ptr_equal(interface->functions, fixture->p11);
    assert_int_equal(get(other, NULL, &interface, 0), CKR_FUNCTION_FAILED);
    assert_int_equal(get(name, &v9, &interface, 0), CKR_FUNCTION_FAILED);
    assert_int_equal(get(name, NULL, &interface, 1), CKR_FUNCTION_FAILED);
}

static void test_no_function_is_missing(void **state)
{
    const struct fixture *fixture = *state;
    const struct function_list_v3 *v3 = get_v3(fixture);
    const size_t count = 68;
    void *functions[68];

    memcpy(functions, &fixture->p11->C_Initialize, sizeof(functions));
    for (size_t i = 0; i < count; i++)
        assert_non_null(functions[i]);
    assert_memory_equal(&v3->base.C_Initialize, functions, sizeof(functions));
    for (size_t i = 0; i < V3_FUNCTIONS; i++)
        assert_true(v3->more[i] != NULL);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_begin, fixture_end)
    const struct CMUnitTest tests[] = {
        TEST(test_before_and_after),
        TEST(test_wrong_session),
        TEST(test_nothing_where_something_must_be),
        TEST(test_initialize_arguments),
        TEST(test_slots_that_are_not_there),
        TEST(test_lists_into_too_little_room),
        TEST(test_interface_list),
        TEST(test_interface_by_wish),
        TEST(test_no_function_is_missing),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
