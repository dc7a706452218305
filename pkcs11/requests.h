/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a signing thread: take a packet, do what it says, answer. What waits for a PIN is
 * laid aside until the PIN comes, so that a person who types slowly holds up nobody's signature. No
 * further threads: a process with a single one pays less for its locks and allocations, for good.
 */
#ifndef MTLS_PKCS11_REQUESTS_H
#define MTLS_PKCS11_REQUESTS_H

#include "pkcs11/signer.h"

/**
 * requests_serve() - take packets until the core goes
 *
 * Ends the process: nobody may return through a module's atexit handlers.
 */
_Noreturn void requests_serve(struct signer *signer);

#endif
