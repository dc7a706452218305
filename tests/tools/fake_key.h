/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A software key as the fake agent serves it: loaded from PEM files, described as in LIST_REPLY,
 * signing the three kinds of SIGN with OpenSSL. Never for use outside the tests.
 */
#ifndef MTLS_TESTS_FAKE_KEY_H
#define MTLS_TESTS_FAKE_KEY_H

#include <openssl/evp.h>

#include "common/protocol.h"

#define FAKE_TOKEN_LABEL "fake"
#define FAKE_TOKEN_SERIAL "0001"

struct fake_key {
    EVP_PKEY *pkey;
    char *name;
    uint8_t hash[PROTOCOL_KEY_HASH_LEN];
    enum key_type type;
    unsigned int bits;
    uint8_t *spki;
    size_t spki_len;
    size_t cert_count;
    struct wire_span certs[PROTOCOL_CERTS_MAX]; /* owned */
};

/**
 * fake_key_new() - from KEY.pem[:CERT.pem[:NAME]]
 * @argument:   borrowed; without NAME the key is named like its file, without ".pem"
 *
 * Return: the key, owned by the caller; NULL with a line on stderr when it cannot be read.
 */
struct fake_key *fake_key_new(const char *argument) _must_check_;
struct fake_key *fake_key_free(struct fake_key *key);

/**
 * fake_key_is_selected() - as the agent does: name, `sha256:` and 8 or more hex digits, `pkcs11:`
 * with object= and token=; an empty selector selects all
 */
bool fake_key_is_selected(const struct fake_key *key, struct wire_span selector);

/** fake_key_describe() - fill @ret_key with spans into @key; state and policy are the caller's. */
void fake_key_describe(const struct fake_key *key, struct protocol_key *ret_key);

/**
 * fake_key_sign() - one signature
 * @signature:  filled
 * @signature_len: room on entry, length on return
 *
 * Return: 0, or WIRE_E_MALFORMED when scheme, key and content do not fit together.
 */
int fake_key_sign(const struct fake_key *key, const struct protocol_sign *request,
                  uint8_t *signature, size_t *signature_len) _must_check_;

#endif
