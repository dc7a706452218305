/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PKCS #11 v2.40 section 5.10: message digests. The state of a digest leaves its session while it
 * is worked on: libcrypto is never called with the lock held (crypto/crypto.h).
 */
#include <string.h>

#include "client/module/crypto_load.h"
#include "client/module/library.h"

/* A digest outside of its session. */
struct digest_work {
    enum hash_id hash;
    bool is_multipart;
    struct crypto_hash *state;
};

static void cleanup_digest_work(struct digest_work *work)
{
    if (work->state)
        work->state = module_crypto_load()->hash_free(work->state);
}

/* Puts it into the session, which must have none. */
static CK_RV digest_put(CK_SESSION_HANDLE handle, struct digest_work *work)
{
    struct library *library = NULL;
    struct session *session = NULL;
    CK_RV rv = library_enter_session(handle, &library, &session);

    if (rv != CKR_OK)
        return rv;
    if (session->digest) {
        rv = CKR_OPERATION_ACTIVE;
    } else {
        session->digest = TAKE_PTR(work->state);
        session->digest_hash = work->hash;
        session->digest_is_multipart = work->is_multipart;
    }
    library_leave();
    return rv;
}

static CK_RV digest_take(CK_SESSION_HANDLE handle, struct digest_work *work)
{
    struct library *library = NULL;
    struct session *session = NULL;
    CK_RV rv = library_enter_session(handle, &library, &session);

    if (rv != CKR_OK)
        return rv;
    if (session->digest)
        *work = (struct digest_work){session->digest_hash, session->digest_is_multipart,
                                     TAKE_PTR(session->digest)};
    else
        rv = CKR_OPERATION_NOT_INITIALIZED;
    library_leave();
    return rv;
}

/* The session is open and has no digest; the lock is given up again. */
static CK_RV digest_check(CK_SESSION_HANDLE handle)
{
    struct library *library = NULL;
    struct session *session = NULL;
    CK_RV rv = library_enter_session(handle, &library, &session);

    if (rv != CKR_OK)
        return rv;
    rv = session->digest ? CKR_OPERATION_ACTIVE : CKR_OK;
    library_leave();
    return rv;
}

CK_RV C_DigestInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism)
{
    _cleanup_(cleanup_digest_work) struct digest_work work = {0};

    if (!mechanism) {
        CK_RV rv = digest_take(handle, &work);
        return rv == CKR_OPERATION_NOT_INITIALIZED ? CKR_OK : rv;
    }
    CK_RV rv = digest_check(handle);
    if (rv != CKR_OK)
        return rv;
    const struct mechanism *found = mechanism_find(mechanism->mechanism, false);
    if (!found || found->family != MECHANISM_DIGEST)
        return CKR_MECHANISM_INVALID;
    if (mechanism->ulParameterLen > 0)
        return CKR_MECHANISM_PARAM_INVALID;
    const struct module_crypto *crypto = module_crypto_load();
    if (!crypto)
        return CKR_FUNCTION_FAILED;
    work.hash = found->hash;
    work.state = crypto->hash_new(found->hash);
    return work.state ? digest_put(handle, &work) : CKR_HOST_MEMORY;
}

static CK_RV digest_add(struct digest_work *work, const uint8_t *part, CK_ULONG len)
{
    struct wire_span span = {part, len};

    return len == 0 || module_crypto_load()->hash_update(work->state, span) == 0
               ? CKR_OK
               : CKR_FUNCTION_FAILED;
}

CK_RV C_DigestUpdate(CK_SESSION_HANDLE handle, unsigned char *part, unsigned long part_len)
{
    _cleanup_(cleanup_digest_work) struct digest_work work = {0};

    if (!part && part_len > 0)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = digest_take(handle, &work);
    if (rv != CKR_OK)
        return rv;
    work.is_multipart = true;
    rv = digest_add(&work, part, part_len);
    return rv == CKR_OK ? digest_put(handle, &work) : rv;
}

/* The last step of both ways; a question about the length leaves the digest where it was. */
static CK_RV digest_finish(CK_SESSION_HANDLE handle, bool is_multipart, struct wire_span data,
                           unsigned char *digest, unsigned long *digest_len)
{
    _cleanup_(cleanup_digest_work) struct digest_work work = {0};
    uint8_t bytes[DIGEST_LEN_MAX];

    if (!digest_len || (!data.data && data.len > 0))
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = digest_take(handle, &work);
    if (rv != CKR_OK)
        return rv;
    size_t len = hash_len(work.hash);
    bool is_wrong = !is_multipart && work.is_multipart;
    bool has_room = digest && *digest_len >= len;
    if (is_wrong || !has_room) {
        *digest_len = is_wrong ? *digest_len : len;
        rv = digest_put(handle, &work);
        if (rv != CKR_OK)
            return rv;
        if (is_wrong)
            return CKR_OPERATION_ACTIVE;
        return digest ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    }
    rv = digest_add(&work, data.data, data.len);
    if (rv != CKR_OK || module_crypto_load()->hash_final(work.state, bytes))
        return CKR_FUNCTION_FAILED;
    memcpy(digest, bytes, len);
    *digest_len = len;
    return CKR_OK;
}

CK_RV C_Digest(CK_SESSION_HANDLE handle, unsigned char *data, unsigned long data_len,
               unsigned char *digest, unsigned long *digest_len)
{
    return digest_finish(handle, false, (struct wire_span){data, data_len}, digest, digest_len);
}

CK_RV C_DigestFinal(CK_SESSION_HANDLE handle, unsigned char *digest, unsigned long *digest_len)
{
    return digest_finish(handle, true, (struct wire_span){0}, digest, digest_len);
}

/* There is no secret key that could be hashed. */
CK_RV C_DigestKey(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE key)
{
    (void)key;
    return library_answer(handle, CKR_KEY_INDIGESTIBLE);
}
