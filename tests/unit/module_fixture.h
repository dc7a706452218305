/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of the built mtls-agent-pkcs11.so: a fake agent with an EC, an RSA and an Ed25519
 * key under one intermediate in a directory of its own, and the module, loaded as a program loads
 * it. Everything lives in the struct, so that a teardown ends it also after a failed assertion.
 */
#ifndef MTLS_TESTS_MODULE_FIXTURE_H
#define MTLS_TESTS_MODULE_FIXTURE_H

#include <p11-kit/pkcs11.h>
#include <sys/types.h>

#include "client_pki.h"
#include "unit.h"

enum {
    FIXTURE_EC,
    FIXTURE_RSA,
    FIXTURE_ED25519, /* on a slot of its own, the second */
    FIXTURE_KEY_COUNT,
};
extern const char *const fixture_names[FIXTURE_KEY_COUNT];

#define FIXTURE_PIN "1234"

struct fixture {
    char dir[64];
    char socket[96];
    char log[96];
    pid_t agent;
    struct pki_identity authority;
    struct pki_identity keys[FIXTURE_KEY_COUNT];
    void *file; /* the module */
    CK_FUNCTION_LIST *p11;
};

/* cmocka: *state is a struct fixture; an agent runs, the module is loaded, not initialized. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* cmocka: the same, for a test within a group; the module is initialized. */
int fixture_begin(void **state);
int fixture_end(void **state);

/** fixture_start_agent() - with further options (NULL: --allow-digest); a running one is ended. */
void fixture_start_agent(struct fixture *fixture, const char *const options[]);
void fixture_stop_agent(struct fixture *fixture);

/** fixture_toggle_token() - the token goes, or comes back. */
void fixture_toggle_token(const struct fixture *fixture);

/** fixture_log_count() - lines of the agent's log that start with @prefix */
size_t fixture_log_count(const struct fixture *fixture, const char *prefix);

/** fixture_open() - a session; fails the test. */
CK_SESSION_HANDLE fixture_open(const struct fixture *fixture, CK_SLOT_ID slot);
/** fixture_find() - the one object of a class with a key's name; fails the test. */
CK_OBJECT_HANDLE fixture_find(const struct fixture *fixture, CK_SESSION_HANDLE session,
                              CK_OBJECT_CLASS class, int key);
/** fixture_sign() - find the EC key of slot 0, sign a digest, check it with the software key.
 *  For any thread and any process. Return: CKR_OK, or what failed; CKR_SIGNATURE_INVALID. */
CK_RV fixture_sign(const struct fixture *fixture, CK_SESSION_HANDLE session);
/** fixture_sign_once() - the same, with a session of its own. */
CK_RV fixture_sign_once(const struct fixture *fixture);

#endif
