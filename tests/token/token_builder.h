/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A SoftHSM token in a directory of its own, filled with keys and certificates as a test wants
 * them. Everything happens in a child process, so that no test ever has SoftHSM loaded beside the
 * worker.
 */
#ifndef MTLS_TESTS_TOKEN_BUILDER_H
#define MTLS_TESTS_TOKEN_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUILDER_PIN "123456"
#define BUILDER_PATH_MAX 256

enum builder_kind {
    BUILDER_P256,
    BUILDER_P384,
    BUILDER_P521,
    BUILDER_RSA2048,
    BUILDER_ED25519,
};

/* Bits of struct builder_key.flags. */
enum builder_flags {
    BUILDER_CERT = 1 << 0,      /* a certificate on the token, same CKA_ID and label */
    BUILDER_CERT_FILE = 1 << 1, /* a certificate in LABEL.der in the directory, not on the token */
    BUILDER_NO_PUBLIC = 1 << 2, /* no public key object */
    BUILDER_ALWAYS_AUTH = 1 << 3, /* CKA_ALWAYS_AUTHENTICATE */
    BUILDER_PSS_CERT = 1 << 4,    /* the certificate's key is id-RSASSA-PSS */
    BUILDER_OTHER_ID = 1 << 5, /* the certificate on the token has a CKA_ID and label of its own */
    BUILDER_INTERMEDIATE = 1 << 6, /* issued by an intermediate CA, which is on the token, too */
    BUILDER_NO_SIGN = 1 << 7,      /* CKA_SIGN false */
    BUILDER_CA_CERT = 1 << 8,      /* the certificate says CA:TRUE */
    BUILDER_OLD_CERT = 1 << 10,    /* before it, one of another key, expired, of the same name */
    BUILDER_ODD_CERTS = 1 << 9,    /* before it, certificate objects that are not X.509 */
};

struct builder_key {
    const char *label;
    uint8_t id;
    enum builder_kind kind;
    unsigned int flags;
};

/**
 * builder_module() - SoftHSM's module on this machine
 *
 * Return: its path, or NULL when it is not installed.
 */
const char *builder_module(void);

/**
 * builder_make() - a directory with a configuration, a token and its keys
 * @token_label: of the token
 * @ret_dir:    filled with the directory's path; its file softhsm2.conf is for $SOFTHSM2_CONF
 *
 * Return: true, or false with a reason on standard error.
 */
bool builder_make(const char *token_label, const struct builder_key *keys, size_t count,
                  char ret_dir[BUILDER_PATH_MAX]);

/** builder_add_token() - another token without keys in that directory. Return: as above. */
bool builder_add_token(const char *dir, const char *token_label);

/** builder_remove() - the directory and everything in it. */
void builder_remove(const char *dir);

#endif
