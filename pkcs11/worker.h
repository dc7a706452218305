/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of the process, shared by its threads. Signing threads hold `lock` for reading; whoever
 * logs in or out, reads the inventory or signs with an always-authenticate key holds it for
 * writing: a login changes what every session may do, and a wrong context PIN logs some tokens out.
 */
#ifndef MTLS_PKCS11_WORKER_H
#define MTLS_PKCS11_WORKER_H

#include <pthread.h>

#include "pkcs11/key.h"
#include "pkcs11/link.h"

struct signer;

struct worker {
    int link; /* the socket to the core */
    struct worker_ledger *ledger;
    enum verify_mode verify;
    struct module module;
    struct cert_list files; /* certificates from the configuration */
    uint32_t session_max;   /* with each token; 0: as many as the module gives */

    pthread_rwlock_t lock;
    struct token *tokens;
    size_t token_count;
    struct keyring keys;
    struct signer *signers; /* one for each thread */
    size_t signer_count;
};

/** worker_get_token() - the token of that number, or NULL. */
static inline struct token *worker_get_token(const struct worker *worker, uint32_t number)
{
    return number < worker->token_count ? &worker->tokens[number] : NULL;
}

#endif
