/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures from a PKCS#11 module in this process, through its function list: the vendor's module
 * itself, or p11-kit-client.so before a `p11-kit server`. One session per thread.
 */
#include <dlfcn.h>
#include <string.h>

#include <p11-kit/pkcs11.h>

#include "signer.h"

struct signer {
    void *library;
    CK_FUNCTION_LIST *functions;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE login_session;
    CK_OBJECT_HANDLE key;
    bool is_rsa;
};

struct signer_thread {
    const struct signer *signer;
    CK_SESSION_HANDLE session;
};

static int failed(const char *what, CK_RV rv)
{
    (void)fprintf(stderr, "%s: 0x%lx\n", what, rv);
    return 1;
}

static int load(struct signer *signer, const char *path)
{
    CK_RV (*get)(CK_FUNCTION_LIST * *list) = NULL;
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};

    signer->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!signer->library) {
        (void)fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    *(void **)&get = dlsym(signer->library, "C_GetFunctionList");
    if (!get || get(&signer->functions) != CKR_OK)
        return failed("C_GetFunctionList", 0);
    CK_RV rv = signer->functions->C_Initialize(&args);
    return rv == CKR_OK ? 0 : failed("C_Initialize", rv);
}

/* Token labels are padded with spaces to 32 bytes. */
static bool has_label(const CK_TOKEN_INFO *info, const char *label)
{
    char padded[33];

    (void)snprintf(padded, sizeof(padded), "%-32s", label);
    return memcmp(info->label, padded, 32) == 0;
}

static int find_slot(struct signer *signer, const char *label)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = ARRAY_SIZE(slots);
    CK_RV rv = signer->functions->C_GetSlotList(CK_TRUE, slots, &count);

    for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++) {
        CK_TOKEN_INFO info;
        if (signer->functions->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            has_label(&info, label)) {
            signer->slot = slots[i];
            return 0;
        }
    }
    return failed("no such token", rv);
}

static int find_key(struct signer *signer, const char *label)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    char *name = strdup(label);
    CK_ATTRIBUTE wanted[] = {
        {CKA_CLASS, &class, sizeof(class)},
        {CKA_LABEL, name, strlen(label)},
    };
    CK_ULONG count = 0;
    CK_RV rv = signer->functions->C_FindObjectsInit(signer->login_session, wanted, 2);

    if (rv == CKR_OK)
        rv = signer->functions->C_FindObjects(signer->login_session, &signer->key, 1, &count);
    if (rv == CKR_OK)
        rv = signer->functions->C_FindObjectsFinal(signer->login_session);
    free(name);
    return rv == CKR_OK && count == 1 ? 0 : failed("no such key", rv);
}

static int login(struct signer *signer, const char *pin)
{
    CK_UTF8CHAR buffer[64];
    size_t len = strnlen(pin, sizeof(buffer));
    CK_RV rv = signer->functions->C_OpenSession(signer->slot, CKF_SERIAL_SESSION, NULL, NULL,
                                                &signer->login_session);

    if (rv != CKR_OK)
        return failed("C_OpenSession", rv);
    memcpy(buffer, pin, len);
    rv = signer->functions->C_Login(signer->login_session, CKU_USER, buffer, len);
    return rv == CKR_OK ? 0 : failed("C_Login", rv);
}

int signer_open(const struct signer_options *options, struct signer **ret_signer)
{
    if (!options->module || !options->token || !options->pin) {
        (void)fputs("a module needs --module, --token and --pin\n", stderr);
        return 1;
    }
    _cleanup_free_ struct signer *signer = calloc(1, sizeof(*signer));
    if (!signer)
        return 1;
    signer->is_rsa = options->is_rsa;
    if (load(signer, options->module) || find_slot(signer, options->token) ||
        login(signer, options->pin) || find_key(signer, options->key))
        return 1;
    *ret_signer = TAKE_PTR(signer);
    return 0;
}

int signer_thread_open(struct signer *signer, struct signer_thread **ret_thread)
{
    _cleanup_free_ struct signer_thread *thread = calloc(1, sizeof(*thread));

    if (!thread)
        return 1;
    thread->signer = signer;
    CK_RV rv = signer->functions->C_OpenSession(signer->slot, CKF_SERIAL_SESSION, NULL, NULL,
                                                &thread->session);
    if (rv != CKR_OK)
        return failed("C_OpenSession", rv);
    *ret_thread = TAKE_PTR(thread);
    return 0;
}

int signer_sign(struct signer_thread *thread)
{
    CK_FUNCTION_LIST *functions = thread->signer->functions;
    CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32};
    CK_MECHANISM rsa = {CKM_RSA_PKCS_PSS, &pss, sizeof(pss)};
    CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0};
    CK_BYTE digest[sizeof(signer_digest)];
    CK_BYTE signature[512];
    CK_ULONG len = sizeof(signature);

    memcpy(digest, signer_digest, sizeof(digest));
    CK_RV rv = functions->C_SignInit(thread->session, thread->signer->is_rsa ? &rsa : &ecdsa,
                                     thread->signer->key);
    if (rv != CKR_OK)
        return failed("C_SignInit", rv);
    rv = functions->C_Sign(thread->session, digest, sizeof(digest), signature, &len);
    return rv == CKR_OK ? 0 : failed("C_Sign", rv);
}

void signer_thread_close(struct signer_thread *thread)
{
    (void)thread->signer->functions->C_CloseSession(thread->session);
    free(thread);
}

/* SoftHSM's own exit handlers crash in a process with OpenSSL 3: finalise, and leave without them.
 */
void signer_close(struct signer *signer)
{
    (void)signer->functions->C_Finalize(NULL);
    free(signer);
}
