/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures from OpenSSL with a private key in a PEM file. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "signer.h"

struct signer {
    EVP_PKEY *key;
    bool is_rsa;
};

struct signer_thread {
    const struct signer *signer;
    EVP_MD_CTX *context;
};

int signer_open(const struct signer_options *options, struct signer **ret_signer)
{
    _cleanup_free_ struct signer *signer = calloc(1, sizeof(*signer));
    _cleanup_fclose_ FILE *file = fopen(options->key, "re");

    if (!signer || !file) {
        perror(options->key);
        return 1;
    }
    signer->is_rsa = options->is_rsa;
    signer->key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    if (!signer->key) {
        (void)fprintf(stderr, "%s: no private key\n", options->key);
        return 1;
    }
    *ret_signer = TAKE_PTR(signer);
    return 0;
}

int signer_thread_open(struct signer *signer, struct signer_thread **ret_thread)
{
    struct signer_thread *thread = calloc(1, sizeof(*thread));

    if (!thread)
        return 1;
    thread->signer = signer;
    thread->context = EVP_MD_CTX_new();
    *ret_thread = thread;
    return thread->context ? 0 : 1;
}

int signer_sign(struct signer_thread *thread)
{
    EVP_PKEY_CTX *pss = NULL;
    uint8_t signature[512];
    size_t len = sizeof(signature);

    if (EVP_DigestSignInit(thread->context, &pss, EVP_sha256(), NULL, thread->signer->key) != 1)
        return 1;
    if (thread->signer->is_rsa &&
        (EVP_PKEY_CTX_set_rsa_padding(pss, RSA_PKCS1_PSS_PADDING) != 1 ||
         EVP_PKEY_CTX_set_rsa_pss_saltlen(pss, RSA_PSS_SALTLEN_DIGEST) != 1))
        return 1;
    return EVP_DigestSign(thread->context, signature, &len, signer_content, SIGNER_CONTENT_LEN) !=
           1;
}

void signer_thread_close(struct signer_thread *thread)
{
    EVP_MD_CTX_free(thread->context);
    free(thread);
}

void signer_close(struct signer *signer)
{
    EVP_PKEY_free(signer->key);
    free(signer);
}
