/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions; see sessions.h. */
#include "client/module/sessions.h"

#include "client/module/crypto_load.h"

#define SESSIONS_INDEX_BITS 16u
#define SESSIONS_INDEX_MASK ((1UL << SESSIONS_INDEX_BITS) - 1)

_Static_assert(SESSIONS_MAX <= SESSIONS_INDEX_MASK, "an index fits its bits");

void session_end_find(struct session *session)
{
    free(session->found);
    session->found = NULL;
    session->found_count = 0;
    session->found_taken = 0;
    session->is_finding = false;
}

void session_end_digest(struct session *session)
{
    if (session->digest)
        session->digest = module_crypto_load()->hash_free(session->digest);
    session->digest_hash = HASH_NONE;
    session->digest_is_multipart = false;
}

static struct session *session_free(struct session *session)
{
    session_end_find(session);
    session_end_digest(session);
    operation_deinit(&session->signing);
    operation_deinit(&session->verifying);
    free(session);
    return NULL;
}

static CK_RV sessions_find_room(struct sessions *sessions, size_t *ret_index)
{
    size_t index = 0;

    while (index < sessions->count && sessions->items[index])
        index++;
    if (index == sessions->count) {
        if (sessions->count == SESSIONS_MAX)
            return CKR_SESSION_COUNT;
        struct session **items =
            reallocarray(sessions->items, sessions->count + 1, sizeof(struct session *));
        if (!items)
            return CKR_HOST_MEMORY;
        sessions->items = items;
        sessions->items[sessions->count++] = NULL;
    }
    *ret_index = index;
    return CKR_OK;
}

/* The number above the index is never 0, so no handle is CK_INVALID_HANDLE. */
static CK_SESSION_HANDLE sessions_make_handle(struct sessions *sessions, size_t index)
{
    const CK_ULONG most = ~0UL >> SESSIONS_INDEX_BITS;

    sessions->last_number = sessions->last_number == most ? 1 : sessions->last_number + 1;
    return sessions->last_number << SESSIONS_INDEX_BITS | index;
}

CK_RV sessions_open(struct sessions *sessions, CK_SLOT_ID slot_id, CK_FLAGS flags,
                    CK_SESSION_HANDLE *ret_handle)
{
    size_t index = 0;
    CK_RV rv = sessions_find_room(sessions, &index);

    if (rv != CKR_OK)
        return rv;
    struct session *session = calloc(1, sizeof(*session));
    if (!session)
        return CKR_HOST_MEMORY;
    session->handle = sessions_make_handle(sessions, index);
    session->slot_id = slot_id;
    session->flags = flags;
    sessions->items[index] = session;
    sessions->open_count++;
    *ret_handle = session->handle;
    return CKR_OK;
}

struct session *sessions_get(const struct sessions *sessions, CK_SESSION_HANDLE handle)
{
    size_t index = handle & SESSIONS_INDEX_MASK;
    struct session *session = index < sessions->count ? sessions->items[index] : NULL;

    return session && session->handle == handle ? session : NULL;
}

void sessions_close(struct sessions *sessions, struct session *session)
{
    sessions->items[session->handle & SESSIONS_INDEX_MASK] = NULL;
    sessions->open_count--;
    (void)session_free(session);
}

void sessions_close_slot(struct sessions *sessions, CK_SLOT_ID slot_id)
{
    for (size_t i = 0; i < sessions->count; i++)
        if (sessions->items[i] && sessions->items[i]->slot_id == slot_id)
            sessions_close(sessions, sessions->items[i]);
}

void sessions_close_absent(struct sessions *sessions, const struct slots *slots)
{
    for (size_t i = 0; sessions->open_count > 0 && i < slots->count; i++)
        if (!slots->items[i]->is_present)
            sessions_close_slot(sessions, i);
}

CK_ULONG sessions_count_slot(const struct sessions *sessions, CK_SLOT_ID slot_id)
{
    CK_ULONG count = 0;

    for (size_t i = 0; i < sessions->count; i++)
        count += sessions->items[i] && sessions->items[i]->slot_id == slot_id ? 1 : 0;
    return count;
}

void sessions_deinit(struct sessions *sessions)
{
    for (size_t i = 0; i < sessions->count; i++)
        if (sessions->items[i])
            sessions_close(sessions, sessions->items[i]);
    free(sessions->items);
    *sessions = (struct sessions){0};
}
