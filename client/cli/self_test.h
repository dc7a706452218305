/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A signature that proves a key works and is of use to nobody: a TLS 1.3 client CertificateVerify
 * content (RFC 8446 section 4.4.3) whose "transcript hash" is the hash of a fixed sentence, so that
 * it fits no handshake. Pure.
 */
#ifndef MTLS_CLI_SELF_TEST_H
#define MTLS_CLI_SELF_TEST_H

#include "client/lib/mtls-agent.h"
#include "common/cleanup.h"
#include "common/scheme.h"

#define SELF_TEST_CONTENT_LEN 130 /* 64 spaces, 33 letters, one zero, 32 bytes of hash */

enum {
    SELF_TEST_E_WRONG = 1, /* the signature is not this key's, or not of this scheme */
};

/**
 * self_test_content() - the message to sign
 * @ret_content: filled
 *
 * Return: 0, or -ENOMEM when OpenSSL fails.
 */
int self_test_content(uint8_t ret_content[static SELF_TEST_CONTENT_LEN]) _must_check_;

/**
 * self_test_verify() - whether the signature is the key's, over self_test_content()
 * @spki:       DER SubjectPublicKeyInfo
 *
 * Return: 0, SELF_TEST_E_WRONG, or -ENOMEM when OpenSSL fails.
 */
int self_test_verify(struct mtls_agent_bytes spki, const struct scheme *scheme,
                     struct mtls_agent_bytes signature) _must_check_;

#endif
