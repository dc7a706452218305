/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing the PIN of a token, and unblocking one with its PUK (the SO PIN). What a person gave is
 * tried once; what cannot be right is refused before the token sees it.
 */
#ifndef MTLS_PKCS11_SET_PIN_H
#define MTLS_PKCS11_SET_PIN_H

#include "pkcs11/worker.h"

/**
 * set_pin_handle() - SET_PIN: read both PINs, have the token take the new one, tell the core
 * @pin_fd:     read end of a pipe with two lines, or -1; borrowed
 * @pin_ms:     how long reading them may take
 * @writer:     for the message to the core
 *
 * Return: 0 when the core was answered, else -errno.
 */
int set_pin_handle(struct worker *worker, const struct worker_set_pin *msg, int pin_fd,
                   unsigned int pin_ms, struct wire_writer *writer) _must_check_;

#endif
