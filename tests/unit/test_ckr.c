/* SPDX-License-Identifier: Apache-2.0 */
/* What the worker makes of each answer of a module. */
#include <string.h>

#include "pkcs11/ckr.h"
#include "unit.h"

static void test_ckr_result(void **state)
{
    static const struct {
        CK_RV rv;
        enum worker_result result;
        bool is_lost;
    } cases[] = {
        {CKR_OK, WORKER_OK, false},
        {CKR_DEVICE_REMOVED, WORKER_E_STATE_LOST, true},
        {CKR_DEVICE_ERROR, WORKER_E_STATE_LOST, true},
        {CKR_DEVICE_MEMORY, WORKER_E_STATE_LOST, true},
        {CKR_GENERAL_ERROR, WORKER_E_STATE_LOST, true},
        {CKR_FUNCTION_FAILED, WORKER_E_STATE_LOST, true},
        {CKR_TOKEN_NOT_PRESENT, WORKER_E_STATE_LOST, true},
        {CKR_TOKEN_NOT_RECOGNIZED, WORKER_E_STATE_LOST, true},
        {CKR_SESSION_HANDLE_INVALID, WORKER_E_STATE_LOST, true},
        {CKR_SESSION_CLOSED, WORKER_E_STATE_LOST, true},
        {CKR_KEY_HANDLE_INVALID, WORKER_E_STATE_LOST, true},
        {CKR_OBJECT_HANDLE_INVALID, WORKER_E_STATE_LOST, true},
        {CKR_CRYPTOKI_NOT_INITIALIZED, WORKER_E_STATE_LOST, true},
        {CKR_HOST_MEMORY, WORKER_E_STATE_LOST, true},
        {CKR_USER_NOT_LOGGED_IN, WORKER_E_LOCKED, false},
        {CKR_PIN_INCORRECT, WORKER_E_PIN, false},
        {CKR_PIN_LEN_RANGE, WORKER_E_PIN, false},
        {CKR_PIN_LOCKED, WORKER_E_PIN_BLOCKED, false},
        {CKR_MECHANISM_INVALID, WORKER_E_UNSUPPORTED, false},
        {CKR_DATA_LEN_RANGE, WORKER_E_MODULE, false},
        {CKR_BUFFER_TOO_SMALL, WORKER_E_MODULE, false},
        {0x7777, WORKER_E_MODULE, false},
        {CKR_VENDOR_DEFINED | 5, WORKER_E_MODULE, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(ckr_result(cases[i].rv), cases[i].result);
        assert_int_equal(ckr_is_lost(cases[i].rv), cases[i].is_lost);
    }
}

static void test_ckr_name(void **state)
{
    (void)state;
    assert_string_equal(ckr_name(CKR_DEVICE_ERROR), "CKR_DEVICE_ERROR");
    assert_string_equal(ckr_name(0x7777), "unknown error");
    assert_string_equal(ckr_name(CKR_VENDOR_DEFINED | 5), "vendor error");
}

static void test_ckr_text(void **state)
{
    char text[CKR_TEXT_MAX];

    (void)state;
    assert_string_equal(ckr_text("C_Sign", CKR_DEVICE_ERROR, text),
                        "the module answered CKR_DEVICE_ERROR (0x30) to C_Sign");
    assert_true(strlen(ckr_text("C_GetFunctionList", ~0ul, text)) < CKR_TEXT_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ckr_result),
        cmocka_unit_test(test_ckr_name),
        cmocka_unit_test(test_ckr_text),
    };

    return cmocka_run_group_tests_name("ckr", tests, NULL, NULL);
}
