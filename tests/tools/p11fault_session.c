/* SPDX-License-Identifier: Apache-2.0 */
/* A table of sessions, and a file of counts that all processes share; see p11fault_session.h. */
#include "p11fault_session.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "common/clock.h"

#define PROCESSES_MAX 64

struct session {
    CK_SESSION_HANDLE handle;
    CK_SLOT_ID slot;
    uint64_t used_ms;
};

/* The file: who has how many, and the most there ever were, refused ones among them. */
struct census {
    uint32_t wanted_max;
    struct {
        pid_t pid;
        uint32_t count;
    } processes[PROCESSES_MAX];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct session sessions[FAULT_SESSIONS_MAX];

/* Changes our count by @change and returns the sum over all processes that live; negative: the sum
 * would be over @limit, nothing was changed. */
static int64_t census_change(int change, unsigned int limit)
{
    struct census census = {0};
    int64_t sum = change;
    size_t own = PROCESSES_MAX;
    _cleanup_close_ int fd = fault_rules_open(".sessions");

    if (fd < 0)
        return 0;
    if (pread(fd, &census, sizeof(census), 0) != (ssize_t)sizeof(census))
        census = (struct census){0};
    for (size_t i = 0; i < PROCESSES_MAX; i++) {
        pid_t pid = census.processes[i].pid;
        if (pid != 0 && pid != getpid() && kill(pid, 0) < 0 && errno == ESRCH)
            census.processes[i].pid = pid = 0;
        if (pid == 0)
            census.processes[i].count = 0;
        sum += census.processes[i].count;
        if (pid == getpid() || (pid == 0 && own == PROCESSES_MAX))
            own = i;
    }
    if (sum > census.wanted_max)
        census.wanted_max = (uint32_t)sum;
    bool refused = limit > 0 && sum > (int64_t)limit;
    if (!refused && own < PROCESSES_MAX) {
        census.processes[own].pid = getpid();
        census.processes[own].count = (uint32_t)((int64_t)census.processes[own].count + change);
    }
    (void)!pwrite(fd, &census, sizeof(census), 0);
    return refused ? -1 : sum;
}

CK_RV fault_session_reserve(const struct fault_settings *settings)
{
    return census_change(1, settings->max_sessions) < 0 ? CKR_SESSION_COUNT : CKR_OK;
}

void fault_session_opened(CK_SESSION_HANDLE session, CK_SLOT_ID slot)
{
    bool kept = false;

    (void)pthread_mutex_lock(&mutex);
    for (size_t i = 0; session != CK_INVALID_HANDLE && !kept && i < FAULT_SESSIONS_MAX; i++) {
        if (sessions[i].handle != CK_INVALID_HANDLE)
            continue;
        sessions[i] = (struct session){session, slot, clock_monotonic_ms()};
        kept = true;
    }
    (void)pthread_mutex_unlock(&mutex);
    if (!kept)
        (void)census_change(-1, 0);
}

/* Those that @is_one tells, given @wanted. */
static void forget(bool (*is_one)(const struct session *session, CK_ULONG wanted), CK_ULONG wanted)
{
    int change = 0;

    (void)pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < FAULT_SESSIONS_MAX; i++) {
        if (sessions[i].handle == CK_INVALID_HANDLE || !is_one(&sessions[i], wanted))
            continue;
        sessions[i].handle = CK_INVALID_HANDLE;
        change--;
    }
    (void)pthread_mutex_unlock(&mutex);
    if (change)
        (void)census_change(change, 0);
}

static bool has_handle(const struct session *session, CK_ULONG wanted)
{
    return session->handle == wanted;
}

static bool has_slot(const struct session *session, CK_ULONG wanted)
{
    return session->slot == wanted;
}

static bool is_any(const struct session *session, CK_ULONG wanted)
{
    (void)session;
    (void)wanted;
    return true;
}

void fault_session_closed(CK_SESSION_HANDLE session)
{
    forget(has_handle, session);
}

void fault_session_closed_all(CK_SLOT_ID slot)
{
    forget(has_slot, slot);
}

void fault_session_forget(void)
{
    forget(is_any, 0);
}

void fault_session_touch(CK_SESSION_HANDLE session)
{
    (void)pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < FAULT_SESSIONS_MAX; i++)
        if (sessions[i].handle == session)
            sessions[i].used_ms = clock_monotonic_ms();
    (void)pthread_mutex_unlock(&mutex);
}

CK_SESSION_HANDLE fault_session_take_idle(const struct fault_settings *settings)
{
    CK_SESSION_HANDLE idle = CK_INVALID_HANDLE;
    uint64_t now_ms = clock_monotonic_ms();

    if (settings->drop_sessions_ms == 0)
        return CK_INVALID_HANDLE;
    (void)pthread_mutex_lock(&mutex);
    for (size_t i = 0; idle == CK_INVALID_HANDLE && i < FAULT_SESSIONS_MAX; i++)
        if (sessions[i].handle != CK_INVALID_HANDLE &&
            clock_is_over(now_ms, sessions[i].used_ms, settings->drop_sessions_ms))
            idle = sessions[i].handle;
    (void)pthread_mutex_unlock(&mutex);
    fault_session_closed(idle);
    return idle;
}
