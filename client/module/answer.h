/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent answered, as the PKCS#11 return value that tells a program what to do next. */
#ifndef MTLS_MODULE_ANSWER_H
#define MTLS_MODULE_ANSWER_H

#include <p11-kit/pkcs11.h>

#include "client/lib/mtls-agent.h"

/* What the header of Debian 12 lacks. Spec: PKCS #11 v3.0, section 6. */
#ifndef CKR_OPERATION_CANCEL_FAILED
#define CKR_OPERATION_CANCEL_FAILED (0x202UL)
#endif

/**
 * answer_from_agent() - the return value of a call that used a key
 * @code:       enum mtls_agent_code
 *
 * Total: a code that is not in the table is CKR_FUNCTION_FAILED.
 */
CK_RV answer_from_agent(int code);

/** answer_from_unlock() - the return value of C_Login for an answer to mtls_agent_unlock(). */
CK_RV answer_from_unlock(int code);

#endif
