/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the module's part for libcrypto (crypto/crypto.h) when a program first hashes or verifies.
 */
#ifndef MTLS_MODULE_CRYPTO_LOAD_H
#define MTLS_MODULE_CRYPTO_LOAD_H

#include "client/module/crypto/crypto.h"

/**
 * module_crypto_load() - the functions
 *
 * Any thread, any number of times: the file is loaded once and stays. It is looked for in its one
 * place beside this module, wherever that was loaded from, through symbolic links too.
 * Return: the functions, valid for ever, or NULL when the file is not there or libcrypto is not; a
 * later call tries again.
 */
const struct module_crypto *module_crypto_load(void) _must_check_;

#endif
