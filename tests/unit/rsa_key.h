/* SPDX-License-Identifier: Apache-2.0 */
/* RSA keys that the build has made: to search primes under valgrind takes minutes. */
#ifndef MTLS_TESTS_RSA_KEY_H
#define MTLS_TESTS_RSA_KEY_H

#include <openssl/evp.h>

/**
 * rsa_key_load() - a fresh copy of a key of the build directory
 * @bits:       one of the sizes that meson.build lists
 *
 * Ends the process when there is none. Return: owned by the caller: EVP_PKEY_free().
 */
EVP_PKEY *rsa_key_load(unsigned int bits);

/** rsa_key_load_other() - the same, of 2048 bits, but not the key that rsa_key_load(2048) gives. */
EVP_PKEY *rsa_key_load_other(void);

/** rsa_key_load_pss() - the same, of 2048 bits, for RSA-PSS alone. */
EVP_PKEY *rsa_key_load_pss(void);

#endif
