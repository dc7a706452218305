/* SPDX-License-Identifier: Apache-2.0 */
/* PKCS #11 v2.40 section 5.5: slots and tokens. All of it is answered from the slots in memory. */
#include <sys/eventfd.h>

#include "client/module/library.h"

/* Without a subscription, as when no agent is there, or after a list that failed, a waiting thread
 * looks again after so long. */
#define SLOT_RETRY_MS 1000

CK_RV C_GetSlotList(CK_BBOOL token_present, CK_SLOT_ID *slot_list, CK_ULONG *count)
{
    struct library *library = NULL;
    CK_ULONG found = 0;

    if (!count)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = library_enter_fresh(&library);
    if (rv != CKR_OK)
        return rv;
    for (size_t i = 0; i < library->slots.count; i++) {
        if (token_present && !library->slots.items[i]->is_present)
            continue;
        if (slot_list && found < *count)
            slot_list[found] = i;
        found++;
    }
    rv = slot_list && found > *count ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    *count = found;
    library_leave();
    return rv;
}

CK_RV C_GetSlotInfo(CK_SLOT_ID slot_id, CK_SLOT_INFO *info)
{
    struct library *library = NULL;

    if (!info)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = library_enter_fresh(&library);
    if (rv != CKR_OK)
        return rv;
    const struct slot *slot = slots_get(&library->slots, slot_id);
    if (slot)
        slot_fill_info(slot, info);
    library_leave();
    return slot ? CKR_OK : CKR_SLOT_ID_INVALID;
}

/* The slot, with its token in it; else the lock is not held. */
static CK_RV slot_enter(CK_SLOT_ID slot_id, struct library **ret_library,
                        const struct slot **ret_slot)
{
    CK_RV rv = library_enter_fresh(ret_library);

    if (rv != CKR_OK)
        return rv;
    *ret_slot = slots_get(&(*ret_library)->slots, slot_id);
    if (*ret_slot && (*ret_slot)->is_present)
        return CKR_OK;
    rv = *ret_slot ? CKR_TOKEN_NOT_PRESENT : CKR_SLOT_ID_INVALID;
    library_leave();
    return rv;
}

CK_RV C_GetTokenInfo(CK_SLOT_ID slot_id, CK_TOKEN_INFO *info)
{
    struct library *library = NULL;
    const struct slot *slot = NULL;

    if (!info)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = slot_enter(slot_id, &library, &slot);
    if (rv != CKR_OK)
        return rv;
    slot_fill_token_info(slot, sessions_count_slot(&library->sessions, slot_id), info);
    library_leave();
    return CKR_OK;
}

CK_RV C_GetMechanismList(CK_SLOT_ID slot_id, CK_MECHANISM_TYPE *mechanism_list_, CK_ULONG *count)
{
    struct library *library = NULL;
    const struct slot *slot = NULL;

    if (!count)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = slot_enter(slot_id, &library, &slot);
    if (rv != CKR_OK)
        return rv;
    size_t found = mechanism_list(slot->is_edwards, content_has_pss(&slot->content),
                                  mechanism_list_, mechanism_list_ ? *count : 0);
    rv = mechanism_list_ && found > *count ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    *count = found;
    library_leave();
    return rv;
}

CK_RV C_GetMechanismInfo(CK_SLOT_ID slot_id, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    struct library *library = NULL;
    const struct slot *slot = NULL;

    if (!info)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = slot_enter(slot_id, &library, &slot);
    if (rv != CKR_OK)
        return rv;
    const struct mechanism *mechanism = mechanism_find(type, slot->is_edwards);
    if (mechanism && mechanism->padding == PADDING_PSS && !content_has_pss(&slot->content))
        mechanism = NULL;
    if (mechanism)
        mechanism_fill_info(mechanism, info);
    library_leave();
    return mechanism ? CKR_OK : CKR_MECHANISM_INVALID;
}

/*
 * Until the agent sends an event, the library ends, or it is time to look for an agent. Another
 * thread may read the event, or end the subscription: it wakes this one when it has looked.
 */
static CK_RV slot_wait(struct library *library)
{
    const struct mtls_agent_events *events = library->watch.events;
    bool is_heard = events && !library->watch.is_stale;
    struct pollfd fds[2] = {
        {.fd = library->wake_fd, .events = POLLIN},
        {.fd = events ? mtls_agent_events_get_fd(events) : -1, .events = POLLIN},
    };

    /* This thread has just looked itself. After the end it stays readable, for all that wait. */
    (void)eventfd_read(library->wake_fd, &(eventfd_t){0});
    return library_poll(library, fds, 2, is_heard ? -1 : SLOT_RETRY_MS);
}

/* One thread waits for events at a time: PKCS #11 has no more than one event for each slot. */
CK_RV C_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved)
{
    struct library *library = NULL;

    if (!slot || reserved)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = library_enter(&library);
    while (rv == CKR_OK) {
        rv = watch_look(library, true);
        if (rv != CKR_OK || slots_take_event(&library->slots, slot))
            break;
        if (flags & CKF_DONT_BLOCK) {
            rv = CKR_NO_EVENT;
            break;
        }
        rv = slot_wait(library);
    }
    if (rv == CKR_OK || rv == CKR_NO_EVENT)
        library_leave();
    return rv;
}

/* Tokens are made and changed by the tools of their vendors. */
CK_RV C_InitToken(CK_SLOT_ID slot_id, unsigned char *pin, unsigned long pin_len,
                  unsigned char *label)
{
    struct library *library = NULL;
    const struct slot *slot = NULL;

    (void)pin;
    (void)pin_len;
    (void)label;
    CK_RV rv = slot_enter(slot_id, &library, &slot);
    if (rv != CKR_OK)
        return rv;
    library_leave();
    return CKR_TOKEN_WRITE_PROTECTED;
}
