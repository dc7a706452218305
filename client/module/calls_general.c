/* SPDX-License-Identifier: Apache-2.0 */
/* PKCS #11 v2.40 section 5.4: beginning, end, and who we are. */
#include "client/module/library.h"
#include "client/module/padded.h"

/*
 * Locks are always those of the operating system: on Linux there is no other kind of thread, and
 * callbacks for locks of the program's own add nothing. The module makes no threads.
 */
CK_RV C_Initialize(void *init_args)
{
    const CK_C_INITIALIZE_ARGS *args = init_args;

    if (args) {
        int callbacks = (args->CreateMutex != NULL) + (args->DestroyMutex != NULL) +
                        (args->LockMutex != NULL) + (args->UnlockMutex != NULL);
        if (args->pReserved || (callbacks != 0 && callbacks != 4))
            return CKR_ARGUMENTS_BAD;
    }
    return library_start();
}

CK_RV C_Finalize(void *reserved)
{
    return reserved ? CKR_ARGUMENTS_BAD : library_stop();
}

CK_RV C_GetInfo(CK_INFO *info)
{
    struct library *library = NULL;

    if (!info)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = library_enter(&library);
    if (rv != CKR_OK)
        return rv;
    *info = (CK_INFO){.cryptokiVersion = {2, 40}, .libraryVersion = {0, 1}};
    PADDED_FILL(info->manufacturerID, "mtls-agent");
    PADDED_FILL(info->libraryDescription, "Keys of mtls-agent");
    library_leave();
    return CKR_OK;
}
