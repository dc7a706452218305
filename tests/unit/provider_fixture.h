/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of the provider: a fake agent with one software key of each type in a directory of
 * its own, and a library context in which `default` and the built mtls-agent.so are active.
 * Everything lives in the struct, so that a teardown ends it also after a failed assertion.
 */
#ifndef MTLS_TESTS_PROVIDER_FIXTURE_H
#define MTLS_TESTS_PROVIDER_FIXTURE_H

#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <sys/types.h>

#include "tests/unit/unit.h"

/* The key number is the index into fixture_keys, and into the arrays of struct fixture. */
enum {
    FIXTURE_P256,
    FIXTURE_P384,
    FIXTURE_P521,
    FIXTURE_RSA,
    FIXTURE_PSS,
    FIXTURE_ED25519,
    FIXTURE_KEY_COUNT,
};

struct fixture_key {
    const char *name;
    const char *type; /* EVP_PKEY_is_a() */
    const char *digest;
    const char *padding; /* of RSA: "pkcs1", "pss" */
};
extern const struct fixture_key fixture_keys[FIXTURE_KEY_COUNT];

struct fixture {
    char dir[64];
    char socket[96];
    char log[96];
    pid_t agent;
    EVP_PKEY *keys[FIXTURE_KEY_COUNT]; /* the software keys themselves, in the default context */
    X509 *certs[FIXTURE_KEY_COUNT];
    OSSL_LIB_CTX *libctx;
    OSSL_PROVIDER *default_provider;
    OSSL_PROVIDER *provider;
};

/* cmocka: group setup and teardown; *state is a struct fixture. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/** fixture_start_agent() - with further options; a running one is ended first. */
void fixture_start_agent(struct fixture *fixture, const char *const options[]);
void fixture_stop_agent(struct fixture *fixture);

/** fixture_log_count() - lines of the agent's log that start with @prefix */
size_t fixture_log_count(const struct fixture *fixture, const char *prefix);

/** fixture_load() - the agent's key through the store; fails the test when there is none. */
EVP_PKEY *fixture_load(const struct fixture *fixture, int key) _must_check_;

/** fixture_reference() - the key reference of a name, as PEM; owned by the caller. */
char *fixture_reference(const char *name) _must_check_;

/** fixture_read_pem() - PEM_read_bio_PrivateKey_ex() over bytes; NULL when it fails. */
EVP_PKEY *fixture_read_pem(const struct fixture *fixture, const void *pem, size_t len) _must_check_;

/** fixture_certificate_verify() - the content that a TLS 1.3 client signs, 130 or 146 bytes. */
struct wire_span fixture_certificate_verify(size_t len);

/** fixture_handshake() - whole handshake messages, starting with a ClientHello. */
struct wire_span fixture_handshake(void);

/** fixture_sign_init() - EVP_DigestSignInit with the key's digest and padding; NULL: it failed. */
EVP_MD_CTX *fixture_sign_init(const struct fixture *fixture, int key, EVP_PKEY *pkey) _must_check_;

/** fixture_is_signature() - checked with the software key. */
bool fixture_is_signature(const struct fixture *fixture, int key, struct wire_span message,
                          const unsigned char *signature, size_t len);

/** fixture_assert_signs() - one shot over a CertificateVerify content, and it verifies. */
void fixture_assert_signs(const struct fixture *fixture, int key, EVP_PKEY *pkey);

/** fixture_assert_error() - the queue has this reason of the provider; clears it. */
void fixture_assert_error(int reason);

#endif
