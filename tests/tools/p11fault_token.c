/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens that go and come back; see p11fault_token.h. */
#include "p11fault_token.h"

#include "p11fault_session.h"

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLOTS_MAX 64
#define EVENT_POLL_NS 20000000L

static CK_FUNCTION_LIST *real;

/* Sessions are not closed under a call that uses them: SoftHSM would read freed memory. */
static pthread_rwlock_t sessions_lock = PTHREAD_RWLOCK_INITIALIZER;

void fault_token_set_module(CK_FUNCTION_LIST *module)
{
    real = module;
}

void fault_token_label(CK_SLOT_ID slot, char ret_label[FAULT_LABEL_LEN + 1])
{
    CK_TOKEN_INFO info;
    size_t len = 0;

    ret_label[0] = '\0';
    if (real->C_GetTokenInfo(slot, &info) != CKR_OK)
        return;
    for (size_t i = 0; i < FAULT_LABEL_LEN; i++)
        len = info.label[i] != ' ' ? i + 1 : len;
    (void)memcpy(ret_label, info.label, len);
    ret_label[len] = '\0';
}

bool fault_token_is_removed(CK_SLOT_ID slot)
{
    struct fault_settings settings;
    char label[FAULT_LABEL_LEN + 1];

    fault_rules_settings(&settings);
    if (settings.removed_all || settings.removed_count == 0)
        return settings.removed_all;
    fault_token_label(slot, label);
    for (size_t i = 0; i < settings.removed_count; i++)
        if (strcmp(settings.removed[i], label) == 0)
            return true;
    return false;
}

/* As a network HSM does it: whatever was idle for too long goes, with the login if it was the last.
 */
static void drop_idle_sessions(void)
{
    struct fault_settings settings;
    CK_SESSION_HANDLE idle = CK_INVALID_HANDLE;

    fault_rules_settings(&settings);
    if (settings.drop_sessions_ms == 0)
        return;
    (void)pthread_rwlock_wrlock(&sessions_lock);
    while ((idle = fault_session_take_idle(&settings)) != CK_INVALID_HANDLE)
        (void)real->C_CloseSession(idle);
    (void)pthread_rwlock_unlock(&sessions_lock);
}

CK_RV fault_token_enter(CK_SESSION_HANDLE session)
{
    CK_SESSION_INFO info = {0};

    drop_idle_sessions();
    CK_RV rv = real->C_GetSessionInfo(session, &info);
    if (rv == CKR_OK && fault_token_is_removed(info.slotID)) {
        (void)pthread_rwlock_wrlock(&sessions_lock);
        (void)real->C_CloseAllSessions(info.slotID);
        fault_session_closed_all(info.slotID);
        (void)pthread_rwlock_unlock(&sessions_lock);
        return CKR_DEVICE_REMOVED;
    }
    fault_session_touch(session);
    (void)pthread_rwlock_rdlock(&sessions_lock);
    return CKR_OK;
}

void fault_token_leave(void)
{
    (void)pthread_rwlock_unlock(&sessions_lock);
}

void fault_token_count_signature(CK_SESSION_HANDLE session)
{
    struct fault_settings settings;
    char suffix[FAULT_LABEL_LEN + sizeof(".signed-")] = ".signed-";
    CK_SESSION_INFO info;

    fault_rules_settings(&settings);
    if (!settings.count_signatures || real->C_GetSessionInfo(session, &info) != CKR_OK)
        return;
    fault_token_label(info.slotID, suffix + sizeof(".signed-") - 1);
    _cleanup_close_ int fd = fault_rules_open(suffix);
    if (fd >= 0 && lseek(fd, 0, SEEK_END) >= 0)
        (void)!write(fd, "+", 1);
}

CK_ULONG fault_token_filter(CK_SLOT_ID *slots, CK_ULONG count)
{
    CK_ULONG kept = 0;

    for (CK_ULONG i = 0; i < count; i++)
        if (!fault_token_is_removed(slots[i]))
            slots[kept++] = slots[i];
    return kept;
}

/* The last one that names the token. */
static const char *find_name(const struct fault_name *names, size_t count, const char *label)
{
    const char *name = NULL;

    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i].label, label) == 0)
            name = names[i].name;
    return name;
}

static void set_padded(CK_UTF8CHAR *field, size_t size, const char *text)
{
    size_t len = strlen(text);

    (void)memset(field, ' ', size);
    (void)memcpy(field, text, len < size ? len : size);
}

void fault_token_set_serial(const char *label, CK_TOKEN_INFO *info)
{
    struct fault_settings settings;

    fault_rules_settings(&settings);
    const char *serial = find_name(settings.serials, settings.serial_count, label);
    if (serial)
        set_padded(info->serialNumber, sizeof(info->serialNumber), serial);
}

void fault_token_set_reader(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    struct fault_settings settings;
    char label[FAULT_LABEL_LEN + 1];

    fault_rules_settings(&settings);
    if (settings.reader_count == 0)
        return;
    fault_token_label(slot, label);
    const char *reader = find_name(settings.readers, settings.reader_count, label);
    if (reader)
        set_padded(info->slotDescription, sizeof(info->slotDescription), reader);
}

/* The slots whose token is gone, one bit for each of the first slots; negative: not known. */
static int64_t removed_slots(CK_SLOT_ID slots[SLOTS_MAX], CK_ULONG *ret_count)
{
    int64_t removed = 0;

    *ret_count = SLOTS_MAX - 1;
    if (real->C_GetSlotList(CK_FALSE, slots, ret_count) != CKR_OK)
        return -1;
    for (CK_ULONG i = 0; i < *ret_count; i++)
        removed |= (int64_t)fault_token_is_removed(slots[i]) << i;
    return removed;
}

CK_RV fault_token_event(CK_FLAGS flags, CK_SLOT_ID *ret_slot)
{
    static _Atomic int64_t last = -1;
    const struct timespec pause = {.tv_nsec = EVENT_POLL_NS};
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = 0;

    for (;;) {
        int64_t now = removed_slots(slots, &count);
        if (now < 0)
            return CKR_CRYPTOKI_NOT_INITIALIZED;
        int64_t before = last;
        last = before < 0 ? now : before;
        for (CK_ULONG i = 0; before >= 0 && i < count; i++) {
            int64_t bit = (int64_t)1 << i;
            if (((now ^ before) & bit) == 0)
                continue;
            last = before ^ bit;
            *ret_slot = slots[i];
            return CKR_OK;
        }
        if (flags & CKF_DONT_BLOCK)
            return CKR_NO_EVENT;
        (void)nanosleep(&pause, NULL);
    }
}
