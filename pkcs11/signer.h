/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making signatures. Each thread has a signer: its buffers, and one open session for each token it
 * has signed with, so that a signature costs two calls of the module and nothing else.
 */
#ifndef MTLS_PKCS11_SIGNER_H
#define MTLS_PKCS11_SIGNER_H

#include "pkcs11/verify.h"
#include "pkcs11/worker.h"

/* One that is in use (session.h). */
struct session {
    CK_SESSION_HANDLE handle; /* CK_INVALID_HANDLE: none */
    bool is_reading;          /* it is the token's own, borrowed */
};

struct signer {
    struct worker *worker;
    _Atomic CK_SESSION_HANDLE *sessions; /* by token number, while idle; CK_INVALID_HANDLE: none */
    struct verifier verifier;
    struct wire_writer writer; /* messages to the core */
    uint8_t *packet;           /* LINK_PACKET_MAX bytes, for receiving */
    uint8_t raw[PROTOCOL_SIGNATURE_MAX];
    uint8_t signature[PROTOCOL_SIGNATURE_MAX];
    char text[PROTOCOL_TEXT_MAX];
};

/** signer_init() - buffers, for as long as the process lives; no session yet. Return: 0, -ENOMEM.
 */
int signer_init(struct signer *signer, struct worker *worker) _must_check_;

/**
 * signer_handle() - SIGN: make, check, verify, answer
 * @pin_fd:     read end of a PIN's pipe for an always-authenticate key, or -1; borrowed
 * @pin_ms:     how long reading the PIN may take
 *
 * Return: 0 when the core was answered, else -errno.
 */
int signer_handle(struct signer *signer, const struct worker_sign *msg, int pin_fd,
                  unsigned int pin_ms) _must_check_;

#endif
