/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sessions that this process has through p11fault.so, when each was last used, and how many
 * there are in all processes together ($P11FAULT_CTL.sessions): for `max-sessions`,
 * `drop-sessions`.
 */
#ifndef MTLS_TESTS_P11FAULT_SESSION_H
#define MTLS_TESTS_P11FAULT_SESSION_H

#include <p11-kit/pkcs11.h>

#include "p11fault_rules.h"

#define FAULT_SESSIONS_MAX 256

/** fault_session_reserve() - one more may be opened; CKR_SESSION_COUNT: there are too many. */
CK_RV fault_session_reserve(const struct fault_settings *settings) _must_check_;

/** fault_session_opened() - after fault_session_reserve(); CK_INVALID_HANDLE: it was not. */
void fault_session_opened(CK_SESSION_HANDLE session, CK_SLOT_ID slot);

/** fault_session_closed() - by its owner, with its token, or with the module. */
void fault_session_closed(CK_SESSION_HANDLE session);
void fault_session_closed_all(CK_SLOT_ID slot);
void fault_session_forget(void);

/** fault_session_touch() - it is used now. */
void fault_session_touch(CK_SESSION_HANDLE session);

/** fault_session_take_idle() - one that is idle for too long, and no more known; else 0. */
CK_SESSION_HANDLE fault_session_take_idle(const struct fault_settings *settings);

#endif
