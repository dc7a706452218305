/* SPDX-License-Identifier: Apache-2.0 */
#include "rsa_key.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

static EVP_PKEY *rsa_key_read(const char *file)
{
    FILE *stream = fopen(file, "re");
    EVP_PKEY *key = stream ? PEM_read_PrivateKey(stream, NULL, NULL, NULL) : NULL;

    if (!key) {
        fprintf(stderr, "no key in %s\n", file);
        abort();
    }
    (void)fclose(stream);
    return key;
}

EVP_PKEY *rsa_key_load(unsigned int bits)
{
    char file[sizeof(RSA_KEYS_DIR) + 32];

    (void)snprintf(file, sizeof(file), RSA_KEYS_DIR "/rsa-%u.pem", bits);
    return rsa_key_read(file);
}

EVP_PKEY *rsa_key_load_other(void)
{
    return rsa_key_read(RSA_KEYS_DIR "/rsa-other.pem");
}

EVP_PKEY *rsa_key_load_pss(void)
{
    return rsa_key_read(RSA_KEYS_DIR "/rsa-pss.pem");
}
