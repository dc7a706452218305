/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module between C_Initialize and C_Finalize: one lock, the handle on the agent, slots and
 * sessions. Every function of the interface begins with library_enter() or library_enter_fresh()
 * and ends with library_leave(). Nothing waits for the agent with the lock held: library_pause()
 * gives it up for that, and keeps the library alive should another thread finalize it meanwhile.
 *
 * After fork(2) the child finds the module not initialized, as PKCS #11 v2.40 section 5.4 wants it,
 * and unlocked.
 */
#ifndef MTLS_MODULE_LIBRARY_H
#define MTLS_MODULE_LIBRARY_H

#include <poll.h>

#include "client/module/sessions.h"
#include "client/module/slots.h"
#include "client/module/watch.h"

struct library {
    unsigned int ref_count; /* the interface, and each call that waits */
    struct mtls_agent *agent;
    struct watch watch;
    struct slots slots;
    struct sessions sessions;
    int wake_fd; /* an eventfd for threads that wait for events: library_wake() */
};

/** library_start() - C_Initialize. Return: CKR_OK, CKR_CRYPTOKI_ALREADY_INITIALIZED, _HOST_MEMORY,
 * _FUNCTION_FAILED. */
CK_RV library_start(void) _must_check_;

/** library_stop() - C_Finalize. Return: CKR_OK, or CKR_CRYPTOKI_NOT_INITIALIZED. */
CK_RV library_stop(void) _must_check_;

/**
 * library_enter() - take the lock
 * @ret_library: filled; borrowed until library_leave()
 *
 * Return: CKR_OK, or CKR_CRYPTOKI_NOT_INITIALIZED, then the lock is not held.
 */
CK_RV library_enter(struct library **ret_library) _must_check_;

/**
 * library_enter_fresh() - the same, with slots that show what the agent has
 *
 * May ask the agent for a subscription and its list, and so block for two deadlines. An agent that
 * cannot be asked is no failure: the slots stay as they were.
 */
CK_RV library_enter_fresh(struct library **ret_library) _must_check_;

/** library_enter_session() - library_enter(), and a session. Return: also
 * CKR_SESSION_HANDLE_INVALID, then the lock is not held. */
CK_RV library_enter_session(CK_SESSION_HANDLE handle, struct library **ret_library,
                            struct session **ret_session) _must_check_;

void library_leave(void);

/**
 * library_answer() - what a function says that does nothing but look at its session
 *
 * Return: @answer when the session is open, else as library_enter_session(). The lock is not held.
 */
CK_RV library_answer(CK_SESSION_HANDLE handle, CK_RV answer) _must_check_;

/** library_pause() - give up the lock to wait. What was found before may be gone afterwards. */
void library_pause(struct library *library);

/**
 * library_resume() - take the lock again
 *
 * Return: CKR_OK; CKR_CRYPTOKI_NOT_INITIALIZED when the library was finalized meanwhile: then the
 * lock is not held and @library is gone.
 */
CK_RV library_resume(struct library *library) _must_check_;

/** library_wake() - who waits for events shall look again: something changed, or the end came. */
void library_wake(struct library *library);

/**
 * library_wait() - both, until a condition of the library may hold
 * @condition:   guarded by the library's lock
 * @deadline_us: on CLOCK_MONOTONIC
 *
 * Return: as library_resume().
 */
CK_RV library_wait(struct library *library, pthread_cond_t *condition,
                   uint64_t deadline_us) _must_check_;

/**
 * library_poll() - both, and poll(2) in between: the one place where a thread may be cancelled
 *
 * Return: as library_resume().
 */
CK_RV library_poll(struct library *library, struct pollfd *fds, nfds_t count,
                   int timeout_ms) _must_check_;

#endif
