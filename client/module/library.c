/* SPDX-License-Identifier: Apache-2.0 */
/* The one library of the process; see library.h. */
#include "client/module/library.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "client/lib/deadline.h"
#include "client/lib/fork_guard.h"

/*
 * The guard is made by the first C_Initialize and stays for the life of the process: it has to tell
 * a forked child also between C_Finalize and the next C_Initialize. Nobody takes the mutex before
 * it is there, so that no fork leaves a child with a locked mutex and no way to know.
 */
static struct {
    _Atomic(struct fork_guard *) guard; /* NULL: nothing was ever initialized */
    pthread_mutex_t mutex;              /* guards what follows, and the library's content */
    struct library *current;
} state = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* What the thread's cancellation was before it came in. It may come in again while it is in: what
 * libcrypto loads may use this module, too. */
static _Thread_local struct {
    unsigned int depth;
    int state;
} cancellation;

/* A thread that is cancelled with the lock, or while it asks for others, would leave them waiting.
 */
static void library_begin_call(void)
{
    int cancel_state = 0;

    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    if (cancellation.depth++ == 0)
        cancellation.state = cancel_state;
}

static struct library *library_free(struct library *library)
{
    sessions_deinit(&library->sessions);
    slots_deinit(&library->slots);
    watch_deinit(&library->watch);
    library->agent = mtls_agent_free(library->agent);
    library->wake_fd = close_fd(library->wake_fd);
    free(library);
    return NULL;
}

static void library_unref(struct library *library)
{
    if (--library->ref_count == 0)
        (void)library_free(library);
}

/*
 * In the child of a fork, once. What another thread of the parent held the lock over may be half
 * changed: then all but the descriptors is left alone. Threads that waited do not exist here.
 */
static void library_renew_after_fork(void)
{
    bool was_unlocked = pthread_mutex_trylock(&state.mutex) == 0;
    struct library *library = state.current;

    state.current = NULL;
    if (was_unlocked)
        (void)pthread_mutex_unlock(&state.mutex);
    (void)pthread_mutex_init(&state.mutex, NULL);
    if (!library)
        return;
    if (was_unlocked && library->ref_count == 1) {
        (void)library_free(library);
        return;
    }
    (void)mtls_agent_free(library->agent);
    (void)close_fd(library->wake_fd);
    if (library->watch.events)
        (void)close_fd(mtls_agent_events_get_fd(library->watch.events));
}

/* There is a guard. */
static void library_lock(void)
{
    struct fork_guard *guard = atomic_load(&state.guard);

    if (!fork_guard_is_own(guard) && fork_guard_begin_renewal(guard)) {
        library_renew_after_fork();
        fork_guard_end_renewal(guard);
    }
    (void)pthread_mutex_lock(&state.mutex);
}

void library_leave(void)
{
    (void)pthread_mutex_unlock(&state.mutex);
    if (--cancellation.depth == 0)
        (void)pthread_setcancelstate(cancellation.state, NULL);
}

void library_wake(struct library *library)
{
    (void)eventfd_write(library->wake_fd, 1);
}

static int library_init(struct library *library)
{
    int r = watch_init(&library->watch);

    library->ref_count = 1;
    library->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    library->agent = mtls_agent_new(NULL);
    if (r == 0)
        r = slots_init(&library->slots);
    if (r == 0 && (library->wake_fd < 0 || !library->agent))
        r = -ENOMEM;
    return r;
}

/* Without a lock: of two threads that come first together one gives way. */
static int library_make_guard(void)
{
    struct fork_guard *none = NULL;

    if (atomic_load(&state.guard))
        return 0;
    _cleanup_free_ struct fork_guard *fresh = calloc(1, sizeof(*fresh));
    if (!fresh || fork_guard_init(fresh))
        return -ENOMEM;
    if (atomic_compare_exchange_strong(&state.guard, &none, fresh))
        (void)TAKE_PTR(fresh);
    else
        fork_guard_deinit(fresh);
    return 0;
}

static CK_RV library_start_locked(void)
{
    struct library *library = NULL;

    if (state.current)
        return CKR_CRYPTOKI_ALREADY_INITIALIZED;
    library = calloc(1, sizeof(*library));
    if (!library)
        return CKR_HOST_MEMORY;
    if (library_init(library)) {
        (void)library_free(library);
        return CKR_HOST_MEMORY;
    }
    state.current = library;
    return CKR_OK;
}

CK_RV library_start(void)
{
    if (library_make_guard())
        return CKR_HOST_MEMORY;
    library_begin_call();
    library_lock();
    CK_RV rv = library_start_locked();
    library_leave();
    return rv;
}

CK_RV library_stop(void)
{
    struct library *library = NULL;
    CK_RV rv = library_enter(&library);

    if (rv != CKR_OK)
        return rv;
    state.current = NULL;
    library_wake(library);
    (void)pthread_cond_broadcast(&library->watch.asked);
    library_unref(library);
    library_leave();
    return CKR_OK;
}

CK_RV library_enter(struct library **ret_library)
{
    if (!atomic_load(&state.guard))
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    library_begin_call();
    library_lock();
    if (!state.current) {
        library_leave();
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    }
    *ret_library = state.current;
    return CKR_OK;
}

CK_RV library_enter_fresh(struct library **ret_library)
{
    CK_RV rv = library_enter(ret_library);

    return rv == CKR_OK ? watch_look(*ret_library, false) : rv;
}

CK_RV library_enter_session(CK_SESSION_HANDLE handle, struct library **ret_library,
                            struct session **ret_session)
{
    CK_RV rv = library_enter(ret_library);

    if (rv != CKR_OK)
        return rv;
    *ret_session = sessions_get(&(*ret_library)->sessions, handle);
    if (*ret_session)
        return CKR_OK;
    library_leave();
    return CKR_SESSION_HANDLE_INVALID;
}

CK_RV library_answer(CK_SESSION_HANDLE handle, CK_RV answer)
{
    struct library *library = NULL;
    struct session *session = NULL;
    CK_RV rv = library_enter_session(handle, &library, &session);

    if (rv != CKR_OK)
        return rv;
    library_leave();
    return answer;
}

void library_pause(struct library *library)
{
    library->ref_count++;
    (void)pthread_mutex_unlock(&state.mutex);
}

/* The waiting is over and the lock held: is the library still the one of the interface? */
static CK_RV library_return(struct library *library)
{
    bool is_current = library == state.current;

    library_unref(library);
    if (is_current)
        return CKR_OK;
    library_leave();
    return CKR_CRYPTOKI_NOT_INITIALIZED;
}

CK_RV library_resume(struct library *library)
{
    library_lock();
    return library_return(library);
}

CK_RV library_wait(struct library *library, pthread_cond_t *condition, uint64_t deadline_us)
{
    library->ref_count++;
    (void)deadline_wait(condition, &state.mutex, deadline_us);
    return library_return(library);
}

/* A thread that was cancelled while it waited: what it held is given back. */
static void library_give_up(void *userdata)
{
    if (library_resume(userdata) == CKR_OK)
        library_leave();
}

CK_RV library_poll(struct library *library, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    library_pause(library);
    pthread_cleanup_push(library_give_up, library);
    (void)pthread_setcancelstate(cancellation.state, NULL);
    (void)poll(fds, count, timeout_ms);
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_cleanup_pop(0);
    return library_resume(library);
}
