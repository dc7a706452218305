/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies on the tokens, kept in the ring of keys: read at the start and after each login and
 * logout of a token. Nobody may sign meanwhile (worker.h, `lock`).
 */
#ifndef MTLS_PKCS11_INVENTORY_H
#define MTLS_PKCS11_INVENTORY_H

#include "pkcs11/worker.h"

/**
 * inventory_read() - read one token anew
 *
 * Its keys get the numbers that they had before. Blocks as long as the module wants.
 * Return: the module's CK_RV; CKR_HOST_MEMORY. After a failure none of its keys is in sight.
 */
CK_RV inventory_read(struct worker *worker, struct token *token) _must_check_;

/**
 * inventory_read_all() - read every token
 *
 * One that cannot be read is logged and left out, as if it were not there: the core then looks for
 * it again with a fresh worker when it has seen it before.
 * Return: CKR_OK, or, when there are tokens and none of them can be read, the first failure.
 */
CK_RV inventory_read_all(struct worker *worker) _must_check_;

/**
 * inventory_list_schemes() - what a key can do on its token, preferred first
 * @ret_codes:  filled
 *
 * Return: how many were filled; 0: it is of no use and the core is not told of it.
 */
size_t inventory_list_schemes(const struct worker *worker, const struct key *key,
                              uint32_t ret_codes[SCHEMES_MAX]);

/** inventory_send() - tell the core: TOKEN, KEY and INVENTORY messages. Return: 0, or -errno. */
int inventory_send(struct worker *worker, struct wire_writer *writer) _must_check_;

#endif
