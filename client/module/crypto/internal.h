/* SPDX-License-Identifier: Apache-2.0 */
/* What the two files of the module's part for libcrypto share. */
#ifndef MTLS_MODULE_CRYPTO_INTERNAL_H
#define MTLS_MODULE_CRYPTO_INTERNAL_H

#include <openssl/err.h>
#include <openssl/evp.h>

#include "client/module/crypto/crypto.h"

#define CRYPTO_HASH_COUNT (HASH_SHA512 + 1u)

/* Made once, at first use, and kept: threads of the program may still be in here when it exits. */
struct crypto_library {
    OSSL_LIB_CTX *context;
    EVP_MD *md[CRYPTO_HASH_COUNT]; /* by enum hash_id; NULL for HASH_NONE */
};

/** crypto_library_get() - never NULL once the PKCS#11 module has the functions. */
const struct crypto_library *crypto_library_get(void);

/** crypto_verify() - struct module_crypto's verify() */
int crypto_verify(const struct crypto_verify *request) _must_check_;

static inline void cleanup_error_mark(const int *mark)
{
    (void)mark;
    (void)ERR_pop_to_mark();
}

/* Until the end of the scope: what OpenSSL puts into the thread's error queue is taken out again,
 * and what the program has there stays. An empty queue takes no mark, and is emptied. */
#define CRYPTO_KEEP_ERRORS() \
    _cleanup_(cleanup_error_mark) __attribute__((unused)) const int error_mark_ = ERR_set_mark()

#endif
