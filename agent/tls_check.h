/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether bytes are what a TLS client signs, and nothing else: the first promise of the project.
 * Pure functions over the message; they hold no state and allocate nothing.
 */
#ifndef MTLS_AGENT_TLS_CHECK_H
#define MTLS_AGENT_TLS_CHECK_H

#include "common/scheme.h"
#include "common/wire.h"

/* Positive answer: the message is refused; the reason is a sentence fragment for the error text. */
enum {
    TLS_CHECK_E_REFUSED = 1,
};

/**
 * tls_check_tls13() - the content of a TLS 1.3 client CertificateVerify
 * @content:    borrowed
 * @ret_reason: filled with a static text when refused
 *
 * Exactly 64 spaces, "TLS 1.3, client CertificateVerify", a zero byte, and a hash of 32 or 48 bytes
 * (the suites of TLS 1.3 hash with SHA-256 or SHA-384).
 * Spec: RFC 8446 section 4.4.3. Return: 0 or TLS_CHECK_E_REFUSED.
 */
int tls_check_tls13(struct wire_span content, const char **ret_reason) _must_check_;

/**
 * tls_check_tls12() - the handshake messages that a TLS 1.2 client CertificateVerify covers
 * @content:    borrowed: every handshake message so far, with its 4-byte header
 * @ret_reason: filled with a static text when refused
 *
 * Exactly ClientHello, ServerHello, Certificate, optionally CertificateStatus, ServerKeyExchange,
 * CertificateRequest, ServerHelloDone, the client's Certificate and ClientKeyExchange. Both hellos
 * must carry extended_master_secret (RFC 7627) and no renegotiation (RFC 5746): together they close
 * the triple handshake attack. Version 1.2 only; static RSA key exchange has no ServerKeyExchange
 * and is refused.
 * Spec: RFC 5246 section 7.4.8. Return: 0 or TLS_CHECK_E_REFUSED.
 */
int tls_check_tls12(struct wire_span content, const char **ret_reason) _must_check_;

#endif
