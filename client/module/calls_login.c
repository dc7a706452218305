/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PKCS #11 v2.40 section 5.6: login and logout. The agent has logged in already, and nothing here
 * depends on it: a program that logs in all the same is told that it may. Only where the agent
 * itself waits for the PIN does one go anywhere: through a pipe to the token's own process. Logging
 * out concerns this program alone.
 */
#include <fcntl.h>
#include <string.h>

#include "client/module/answer.h"
#include "client/module/calls.h"
#include "client/module/library.h"

#define LOGIN_PIN_MAX 255u /* bytes; goes into a pipe without waiting */
#define LOGIN_URI_MAX 1024u

/* pkcs11:serial=...;token=...?module-name=..., every byte spelled out (RFC 7512 section 2.3). */
static void login_put_escaped(struct wire_writer *uri, const char *name, const char *value)
{
    char byte[4];

    wire_put_raw(uri, name, strlen(name));
    for (; *value; value++) {
        (void)snprintf(byte, sizeof(byte), "%%%02x", (unsigned int)(unsigned char)*value);
        wire_put_raw(uri, byte, 3);
    }
}

static char *login_make_uri(const struct slot *slot)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer uri = {0};

    wire_writer_init(&uri, 2 * LOGIN_URI_MAX);
    login_put_escaped(&uri, "pkcs11:serial=", slot->serial);
    login_put_escaped(&uri, ";token=", slot->label);
    /* one card may be seen through two modules */
    login_put_escaped(&uri, "?module-name=", slot->module);
    wire_put_u8(&uri, '\0');
    return uri.failed ? NULL : strdup((const char *)uri.data);
}

/* The PIN is in the pipe, and the pipe closed for writing, before the agent is asked. */
static int login_fill_pipe(const unsigned char *pin, size_t len, int *ret_fd)
{
    int ends[2] = {-1, -1};

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    ssize_t written = write(ends[1], pin, len);
    int r = written == (ssize_t)len ? 0 : -EIO;
    (void)close_fd(ends[1]);
    if (r) {
        (void)close_fd(ends[0]);
        return r;
    }
    *ret_fd = ends[0];
    return 0;
}

static CK_RV login_unlock(struct mtls_agent *agent, const char *uri, const unsigned char *pin,
                          size_t len)
{
    _cleanup_close_ int fd = -1;

    if (login_fill_pipe(pin, len, &fd))
        return CKR_FUNCTION_FAILED;
    return answer_from_unlock(mtls_agent_unlock(agent, uri, fd, NULL));
}

/* The agent waits for the PIN of this token. */
static CK_RV login_at_agent(struct library *library, CK_SLOT_ID slot_id, const unsigned char *pin,
                            size_t len)
{
    _cleanup_free_ char *uri = login_make_uri(slots_get(&library->slots, slot_id));

    if (!uri)
        return CKR_HOST_MEMORY;
    library_pause(library);
    CK_RV unlocked = login_unlock(library->agent, uri, pin, len);
    CK_RV rv = library_resume(library);
    if (rv != CKR_OK)
        return rv;
    library->watch.is_stale = true;
    if (unlocked == CKR_OK)
        slots_get(&library->slots, slot_id)->is_logged_in = true;
    library_leave();
    return unlocked;
}

static CK_RV login_user(struct library *library, CK_SLOT_ID slot_id, const unsigned char *pin,
                        CK_ULONG len)
{
    struct slot *slot = slots_get(&library->slots, slot_id);
    CK_RV rv = CKR_OK;

    if (slot->is_logged_in) {
        rv = CKR_USER_ALREADY_LOGGED_IN;
    } else if (slot->is_locked) {
        if (pin && len > 0 && len <= LOGIN_PIN_MAX)
            return login_at_agent(library, slot_id, pin, len);
        rv = pin ? CKR_PIN_LEN_RANGE : CKR_ARGUMENTS_BAD;
    } else {
        slot->is_logged_in = true;
    }
    library_leave();
    return rv;
}

/* Whether the token waits for its PIN may have changed since the last look: the slots are fresh. */
CK_RV C_Login(CK_SESSION_HANDLE handle, CK_USER_TYPE user_type, unsigned char *pin,
              unsigned long pin_len)
{
    struct library *library = NULL;
    CK_RV rv = library_enter_fresh(&library);

    if (rv != CKR_OK)
        return rv;
    const struct session *session = sessions_get(&library->sessions, handle);
    if (session && user_type == CKU_USER)
        return login_user(library, session->slot_id, pin, pin_len);
    if (!session)
        rv = CKR_SESSION_HANDLE_INVALID;
    else if (user_type == CKU_CONTEXT_SPECIFIC)
        rv = session->signing.is_active ? CKR_OK : CKR_OPERATION_NOT_INITIALIZED;
    else
        rv = CKR_USER_TYPE_INVALID;
    library_leave();
    return rv;
}

CK_RV C_LoginUser(CK_SESSION_HANDLE handle, CK_USER_TYPE user_type, unsigned char *pin,
                  CK_ULONG pin_len, unsigned char *name, CK_ULONG name_len)
{
    (void)name;
    (void)name_len;
    return C_Login(handle, user_type, pin, pin_len);
}

CK_RV C_Logout(CK_SESSION_HANDLE handle)
{
    struct library *library = NULL;
    struct session *session = NULL;
    CK_RV rv = library_enter_session(handle, &library, &session);

    if (rv != CKR_OK)
        return rv;
    struct slot *slot = slots_get(&library->slots, session->slot_id);
    rv = slot->is_logged_in ? CKR_OK : CKR_USER_NOT_LOGGED_IN;
    slot->is_logged_in = false;
    library_leave();
    return rv;
}
