/* SPDX-License-Identifier: Apache-2.0 */
/* The table wire -> CK_RV; see answer.h. */
#include "client/module/answer.h"

#include "common/cleanup.h"

static const struct {
    int code;
    CK_RV rv;
} answer_table[] = {
    {MTLS_AGENT_OK, CKR_OK},
    {MTLS_AGENT_E_PROTOCOL, CKR_DEVICE_ERROR},
    {MTLS_AGENT_E_VERSION, CKR_DEVICE_ERROR},
    {MTLS_AGENT_E_POLICY, CKR_ACTION_PROHIBITED},
    {MTLS_AGENT_E_NO_KEY, CKR_KEY_HANDLE_INVALID},
    {MTLS_AGENT_E_AMBIGUOUS, CKR_FUNCTION_FAILED},
    {MTLS_AGENT_E_TOKEN_GONE, CKR_DEVICE_REMOVED},
    {MTLS_AGENT_E_LOCKED, CKR_USER_NOT_LOGGED_IN},
    {MTLS_AGENT_E_PIN, CKR_USER_NOT_LOGGED_IN},
    {MTLS_AGENT_E_BUSY, CKR_FUNCTION_FAILED},
    {MTLS_AGENT_E_TIMEOUT, CKR_FUNCTION_CANCELED},
    {MTLS_AGENT_E_INTERNAL, CKR_FUNCTION_FAILED},
    {MTLS_AGENT_E_NO_AGENT, CKR_DEVICE_ERROR},
    {MTLS_AGENT_E_CONNECTION, CKR_DEVICE_ERROR},
    {MTLS_AGENT_E_MEMORY, CKR_HOST_MEMORY},
    {MTLS_AGENT_E_ARGUMENT, CKR_DATA_LEN_RANGE},
};

CK_RV answer_from_agent(int code)
{
    for (size_t i = 0; i < ARRAY_SIZE(answer_table); i++)
        if (answer_table[i].code == code)
            return answer_table[i].rv;
    return CKR_FUNCTION_FAILED;
}

CK_RV answer_from_unlock(int code)
{
    switch (code) {
    case MTLS_AGENT_E_PIN:
        return CKR_PIN_INCORRECT;
    case MTLS_AGENT_E_NO_KEY:
        return CKR_DEVICE_REMOVED;
    case MTLS_AGENT_E_ARGUMENT:
        return CKR_ARGUMENTS_BAD;
    default:
        return answer_from_agent(code);
    }
}
