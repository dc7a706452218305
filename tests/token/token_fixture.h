/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the worker share: digests, verification by OpenSSL, files, a worker over
 * SoftHSM. */
#ifndef MTLS_TESTS_TOKEN_FIXTURE_H
#define MTLS_TESTS_TOKEN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "token_builder.h"
#include "worker_process.h"

struct token_fixture {
    char dir[BUILDER_PATH_MAX];
    char env[8][BUILDER_PATH_MAX + 32]; /* the worker's environment */
    size_t env_count;
    struct worker_process worker;
};

/** token_fixture_new() - a token with these keys; no worker yet. NULL when it cannot be made. */
struct token_fixture *token_fixture_new(const struct builder_key *keys, size_t count);

/** token_fixture_free() - stop the worker, remove the directory. */
void token_fixture_free(struct token_fixture *fixture);

/** token_fixture_set_env() - one more variable for workers started from now on. */
void token_fixture_set_env(struct token_fixture *fixture, const char *name, const char *value);

/** token_fixture_load() - stop the worker if there is one, start another, send it LOAD. */
void token_fixture_load(struct token_fixture *fixture, const struct worker_load *load);

/** token_fixture_start() - token_fixture_load() and the inventory; @threads threads. */
void token_fixture_start(struct token_fixture *fixture, const char *module, unsigned int threads,
                         enum verify_mode verify);

/** token_fixture_login() - with the right PIN; asserts that it works. */
void token_fixture_login(struct token_fixture *fixture);

/** token_fixture_key() - by label; asserts that it is there. */
const struct worker_key *token_fixture_key(const struct token_fixture *fixture, const char *label);

/** token_fixture_read() - a file of the builder; the buffer is static. */
struct wire_span token_fixture_read(const struct token_fixture *fixture, const char *name);

/** token_fixture_write() - replace a file of the directory by rename(2). */
void token_fixture_write(const struct token_fixture *fixture, const char *name, const char *text);

/** digest_for() - what is signed under a scheme; Ed25519: a message of 130 bytes. Static buffer. */
struct wire_span digest_for(uint32_t scheme);

/** signature_is_valid() - by OpenSSL alone, with a DER SubjectPublicKeyInfo. */
bool signature_is_valid(struct wire_span spki, uint32_t scheme, struct wire_span data,
                        struct wire_span signature);

#endif
