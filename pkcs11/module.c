/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a module; see module.h. The function list is taken beside libp11 for what libp11 cannot
 * do (versions 0.4.12 and 0.4.13): one Ed25519 key makes it find no private key at all, and one
 * certificate object that is not X.509 no certificate at all; a wrong context PIN leaves its pooled
 * session unusable; it keeps a copy of each PIN and waits for ever for a session that the token
 * does not give; its token flags are a snapshot; its EVP path hides the module's answer and the
 * mechanism.
 */
#include "pkcs11/module.h"

#include <dlfcn.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/stat.h>

#include "pkcs11/ckr.h"
#include "pkcs11/own_module.h"

#define MODULE_WHAT_MAX 512u /* bytes of what is said about a module */

/* The file itself is the reason: it will be the same next time. */
static int module_fail(struct module_failure *failure, const char *path, const char *what)
{
    *failure = (struct module_failure){.permanent = true, .rv = CKR_OK};
    (void)snprintf(failure->text, sizeof(failure->text), "the module %s %s", path, what);
    return MODULE_E_UNUSABLE;
}

/* The module answered so; the next time it may answer otherwise. */
static int module_fail_rv(struct module_failure *failure, const char *path, const char *what,
                          CK_RV rv)
{
    *failure = (struct module_failure){.permanent = false, .rv = rv};
    (void)snprintf(failure->text, sizeof(failure->text), "the module %s %s: %s (0x%lx)", path, what,
                   ckr_name(rv), rv);
    return MODULE_E_UNUSABLE;
}

CK_RV module_error(void)
{
    CK_RV rv = CKR_OK;
    unsigned long code;

    while ((code = ERR_get_error()) != 0)
        if (ERR_GET_LIB(code) == ERR_get_CKR_code())
            rv = (CK_RV)ERR_GET_REASON(code);
    return rv;
}

static int module_fail_own(struct module_failure *failure, const char *path, const char *how)
{
    char what[MODULE_WHAT_MAX];

    (void)snprintf(what, sizeof(what),
                   "%s mtls-agent's own module, which is for programs: the agent would be its own "
                   "client. Write the module of the token's maker as path =, e.g. "
                   "opensc-pkcs11.so, or remove the section",
                   how);
    return module_fail(failure, path, what);
}

static CK_RV module_error_or_general(void)
{
    CK_RV rv = module_error();

    return rv == CKR_OK ? CKR_GENERAL_ERROR : rv;
}

static int module_check_file(const char *path, struct module_failure *failure)
{
    struct stat st;
    char what[MODULE_WHAT_MAX];

    if (stat(path, &st) < 0) {
        (void)snprintf(what, sizeof(what), "cannot be read: %s", strerror(errno));
        return module_fail(failure, path, what);
    }
    if (!S_ISREG(st.st_mode))
        return module_fail(failure, path, "is not a regular file");
    return 0;
}

/* What dlopen() said, without the path that it puts in front. */
static const char *module_dl_reason(const char *path)
{
    const char *reason = dlerror();
    size_t len = strlen(path);

    if (!reason)
        return "no reason given";
    if (strncmp(reason, path, len) == 0 && strncmp(reason + len, ": ", 2) == 0)
        return reason + len + 2;
    return reason;
}

/* All that the worker calls directly must be there: a list with holes would crash later. */
static bool module_is_complete(const CK_FUNCTION_LIST *calls)
{
    return calls->C_GetSlotList && calls->C_GetSlotInfo && calls->C_GetTokenInfo &&
           calls->C_GetMechanismList && calls->C_OpenSession && calls->C_CloseSession &&
           calls->C_Login && calls->C_FindObjectsInit && calls->C_FindObjects &&
           calls->C_FindObjectsFinal && calls->C_GetAttributeValue && calls->C_SignInit &&
           calls->C_Sign && calls->C_Initialize && calls->C_GetInfo && calls->C_Logout;
}

/*
 * Opens the file before libp11 does, as libp11 keeps the reason of a failure to itself. The handle
 * stays open for good; libp11's own dlopen() of the same path then gives the same instance.
 */
static int module_open(const char *path, CK_FUNCTION_LIST **ret_calls,
                       struct module_failure *failure)
{
    CK_RV (*get_list)(CK_FUNCTION_LIST **) = NULL;
    CK_FUNCTION_LIST *calls = NULL;
    char what[MODULE_WHAT_MAX];
    void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);

    if (!handle) {
        (void)snprintf(what, sizeof(what), "cannot be loaded: %s", module_dl_reason(path));
        return module_fail(failure, path, what);
    }
    /* Before any of its code runs. */
    if (own_module_is_file(handle))
        return module_fail_own(failure, path, "is");
    *(void **)&get_list = dlsym(handle, "C_GetFunctionList");
    if (!get_list)
        return module_fail(failure, path, "is not a PKCS#11 module: it has no C_GetFunctionList");
    CK_RV rv = get_list(&calls);
    if (rv != CKR_OK)
        return module_fail_rv(failure, path, "gives no function list", rv);
    if (!calls || !module_is_complete(calls))
        return module_fail(failure, path, "cannot be used: its function list has holes");
    *ret_calls = calls;
    return 0;
}

/* Lists the slots, once: PKCS11_update_slots() crashes in libp11 0.4.12. */
static int module_list_slots(const char *path, struct module *module,
                             struct module_failure *failure)
{
    CK_ULONG count = 0;
    CK_RV rv = module->calls->C_GetSlotList(CK_FALSE, NULL, &count);

    if (rv != CKR_OK)
        return module_fail_rv(failure, path, "does not list its slots", rv);
    /* libp11 takes "no slots" for a failure: malloc(0). */
    if (count == 0)
        return 0;
    if (PKCS11_enumerate_slots(module->ctx, &module->slots, &module->slot_count) != 0)
        return module_fail_rv(failure, path, "does not tell about its slots",
                              module_error_or_general());
    return 0;
}

int module_load(const char *path, const char *init_args, struct module *ret_module,
                struct module_failure *ret_failure)
{
    struct module module = {0};

    if (module_check_file(path, ret_failure) || module_open(path, &module.calls, ret_failure))
        return MODULE_E_UNUSABLE;
    module.ctx = PKCS11_CTX_new();
    if (!module.ctx)
        return module_fail_rv(ret_failure, path, "cannot be used", CKR_HOST_MEMORY);
    if (init_args[0] != '\0')
        PKCS11_CTX_init_args(module.ctx, init_args);
    ERR_clear_error();
    if (PKCS11_CTX_load(module.ctx, path) != 0)
        return module_fail_rv(ret_failure, path, "cannot be initialised",
                              module_error_or_general());
    if (module_list_slots(path, &module, ret_failure))
        return MODULE_E_UNUSABLE;
    if (own_module_is_reached(module.ctx, module.slots, module.slot_count))
        return module_fail_own(ret_failure, path, "leads to");
    *ret_module = module;
    return 0;
}
