/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public half of a key, taken from its SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7, RFC
 * 3279, RFC 4055, RFC 5480, RFC 8410) or from the parameters of another provider. Immutable once
 * filled.
 */
#ifndef MTLS_PROVIDER_PUBLIC_KEY_H
#define MTLS_PROVIDER_PUBLIC_KEY_H

#include <openssl/bn.h>
#include <openssl/core.h>

#include "client/provider/curve.h"
#include "common/scheme.h"
#include "common/wire.h"

#define PUBLIC_KEY_POINT_MAX 133u /* bytes: an uncompressed point of P-521 */
#define PUBLIC_KEY_RSA_BITS_MIN 1024u
#define PUBLIC_KEY_RSA_BITS_MAX 16384u /* its signature is MTLS_AGENT_SIGNATURE_MAX bytes */
#define PUBLIC_KEY_ED25519_LEN 32u

enum {
    PUBLIC_KEY_E_UNSUPPORTED = 1, /* not of a form that this project knows */
};

struct public_key {
    enum key_type type;
    unsigned int bits; /* 0: nothing in it yet */
    BIGNUM *n;         /* RSA, RSA-PSS */
    BIGNUM *e;
    enum hash_id pss_hash; /* RSA-PSS: the only hash that the key may be used with, or HASH_NONE */
    int pss_salt_len;      /* with pss_hash: least salt in bytes */
    const struct curve *curve;           /* EC */
    uint8_t point[PUBLIC_KEY_POINT_MAX]; /* EC: encoded point; Ed25519: the key itself */
    size_t point_len;
};

/**
 * public_key_parse_spki() - fill from DER
 * @ret_key:    filled; released with public_key_deinit()
 *
 * Return: 0, PUBLIC_KEY_E_UNSUPPORTED, or -ENOMEM.
 */
int public_key_parse_spki(struct wire_span spki, struct public_key *ret_key) _must_check_;
int public_key_copy(const struct public_key *key, struct public_key *ret_copy) _must_check_;
void public_key_deinit(struct public_key *key);

/** public_key_is_equal() - the same key; RSA and RSA-PSS count as different. */
bool public_key_is_equal(const struct public_key *a, const struct public_key *b);

/** public_key_signature_max() - bytes that a signature needs at most. */
size_t public_key_signature_max(const struct public_key *key);

/**
 * public_key_import() - fill from OpenSSL's parameters
 * @type:       what the parameters are those of
 *
 * Return: 0; PUBLIC_KEY_E_UNSUPPORTED, also when there is a private part among them; -ENOMEM.
 */
int public_key_import(enum key_type type, const OSSL_PARAM params[],
                      struct public_key *ret_key) _must_check_;

/** public_key_import_types() - names and types that public_key_import() and _export() use. */
const OSSL_PARAM *public_key_import_types(enum key_type type);

/** public_key_export() - hand the key to @callback as parameters. Return: its answer, or 0. */
int public_key_export(const struct public_key *key, OSSL_CALLBACK *callback,
                      void *arg) _must_check_;

/** public_key_get_params() - answer what OSSL_FUNC_keymgmt_get_params asks. Return: 1, or 0. */
int public_key_get_params(const struct public_key *key, OSSL_PARAM params[]) _must_check_;
const OSSL_PARAM *public_key_gettable_params(enum key_type type);

#endif
