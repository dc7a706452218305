/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sessions of the program: handles, and what is under way in each. A handle is never used for
 * another session within the next thousands, so that a program that goes on with a closed one
 * hears of it. When a token goes, its sessions are closed.
 */
#ifndef MTLS_MODULE_SESSIONS_H
#define MTLS_MODULE_SESSIONS_H

#include "client/module/operation.h"
#include "client/module/slots.h"

#define SESSIONS_MAX 65535u

struct session {
    CK_SESSION_HANDLE handle;
    CK_SLOT_ID slot_id;
    CK_FLAGS flags;

    bool is_finding; /* C_FindObjectsInit to C_FindObjectsFinal */
    CK_OBJECT_HANDLE *found;
    size_t found_count;
    size_t found_taken;

    struct operation signing;
    struct operation verifying;

    enum hash_id digest_hash; /* HASH_NONE: no digest under way */
    bool digest_is_multipart;
    struct crypto_hash *digest;
};

struct sessions {
    struct session **items; /* by the low bits of the handle; NULL: free */
    size_t count;
    size_t open_count;
    CK_ULONG last_number; /* makes the next handle differ */
};

/**
 * sessions_open() - a new one
 * @ret_handle: filled
 *
 * Return: CKR_OK, CKR_SESSION_COUNT, CKR_HOST_MEMORY.
 */
CK_RV sessions_open(struct sessions *sessions, CK_SLOT_ID slot_id, CK_FLAGS flags,
                    CK_SESSION_HANDLE *ret_handle) _must_check_;

/** sessions_get() - NULL when it is not open. */
struct session *sessions_get(const struct sessions *sessions, CK_SESSION_HANDLE handle);

void sessions_close(struct sessions *sessions, struct session *session);

/** sessions_close_slot() - all of a slot. */
void sessions_close_slot(struct sessions *sessions, CK_SLOT_ID slot_id);

/** sessions_close_absent() - all of slots without a token. */
void sessions_close_absent(struct sessions *sessions, const struct slots *slots);

/** sessions_count_slot() - how many a slot has. */
CK_ULONG sessions_count_slot(const struct sessions *sessions, CK_SLOT_ID slot_id);

void sessions_deinit(struct sessions *sessions);

void session_end_find(struct session *session);
void session_end_digest(struct session *session);

#endif
