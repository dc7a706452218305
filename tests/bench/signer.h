/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One way to make a signature, as the bench sees it. Each backend is one file and one program, so
 * that a fresh process of one way does not load the libraries of another: signer_module.c (any
 * PKCS#11 module), signer_agent.c (libmtls-agent), signer_pem.c (OpenSSL with a key in a file).
 */
#ifndef MTLS_BENCH_SIGNER_H
#define MTLS_BENCH_SIGNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

/* The content that every backend signs, or the digest of it: a TLS 1.3 client CertificateVerify. */
#define SIGNER_CONTENT_LEN 130
extern const uint8_t signer_content[SIGNER_CONTENT_LEN];
extern const uint8_t signer_digest[32];

struct signer_options {
    const char *key;    /* label, key name, or file */
    bool is_rsa;        /* rsa_pss_rsae_sha256, else ecdsa_secp256r1_sha256 */
    const char *module; /* signer_module.c: path, token label and PIN */
    const char *token;
    const char *pin;
    bool own_connection; /* signer_agent.c: a connection for each thread, not one for all */
};

struct signer;        /* shared by the threads of the process */
struct signer_thread; /* what one thread signs with */

/** signer_open() - find the key. Return: 0, or 1 with the reason on stderr. */
int signer_open(const struct signer_options *options, struct signer **ret_signer) _must_check_;
int signer_thread_open(struct signer *signer, struct signer_thread **ret_thread) _must_check_;
/** signer_sign() - one signature. Return: 0, or 1 with the reason on stderr. */
int signer_sign(struct signer_thread *thread) _must_check_;
void signer_thread_close(struct signer_thread *thread);
void signer_close(struct signer *signer);

#endif
