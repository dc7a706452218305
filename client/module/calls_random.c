/* SPDX-License-Identifier: Apache-2.0 */
/* PKCS #11 v2.40 section 5.15: random numbers, which are the kernel's. NSS wants them of a token.
 */
#include <errno.h>
#include <sys/random.h>

#include "client/module/library.h"

/* The kernel needs none, and a program's seed is no reason to fail. */
CK_RV C_SeedRandom(CK_SESSION_HANDLE handle, unsigned char *seed, unsigned long seed_len)
{
    if (!seed && seed_len > 0)
        return CKR_ARGUMENTS_BAD;
    return library_answer(handle, CKR_OK);
}

CK_RV C_GenerateRandom(CK_SESSION_HANDLE handle, unsigned char *random, unsigned long random_len)
{
    if (!random && random_len > 0)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = library_answer(handle, CKR_OK);
    while (rv == CKR_OK && random_len > 0) {
        ssize_t got = getrandom(random, random_len, 0);
        if (got < 0 && errno != EINTR)
            return CKR_FUNCTION_FAILED;
        if (got > 0) {
            random += got;
            random_len -= (unsigned long)got;
        }
    }
    return rv;
}
