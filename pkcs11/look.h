/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking again for tokens in a worker that goes on: one that holds a login for which a person
 * would have to type the PIN again. All others are replaced by fresh ones instead.
 */
#ifndef MTLS_PKCS11_LOOK_H
#define MTLS_PKCS11_LOOK_H

#include "pkcs11/worker.h"

/**
 * look_handle() - LOOK: drop the tokens that are gone, add those that are there, tell the core
 *
 * A token that was out and is back is another one: its sessions and its login are gone.
 * Return: 0, or -errno, which ends the worker.
 */
int look_handle(struct worker *worker, struct wire_writer *writer) _must_check_;

#endif
