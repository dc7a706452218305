/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one activated provider owns: the way back into the program's libcrypto, the handle of the
 * agent, and a library context of its own for hashing. Errors go to the caller's OpenSSL error
 * queue through it; nothing is ever printed.
 */
#ifndef MTLS_PROVIDER_CONTEXT_H
#define MTLS_PROVIDER_CONTEXT_H

#include <openssl/core_dispatch.h>
#include <openssl/types.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "client/lib/mtls-agent.h"
#include "client/provider/precedence.h"
#include "common/cleanup.h"

/* Reasons in the error queue. Below 64: enum mtls_agent_code, with the agent's own sentence. */
enum provider_reason {
    PROVIDER_R_REFERENCE = 64, /* a key reference or URI that cannot be read */
    PROVIDER_R_KEY,            /* the key is of a kind that this provider does not know */
    PROVIDER_R_DIGEST,         /* the digest belongs to no scheme of the key */
    PROVIDER_R_PADDING,
    PROVIDER_R_SALT,
    PROVIDER_R_MESSAGE, /* too long, or not of the digest's length */
    PROVIDER_R_BUFFER,  /* the caller's buffer is too small */
    PROVIDER_R_STATE,   /* the call came before the one that prepares it */
    PROVIDER_R_MEMORY,
};

struct provider_context {
    const OSSL_CORE_HANDLE *core;
    OSSL_FUNC_core_new_error_fn *core_new_error;
    OSSL_FUNC_core_set_error_debug_fn *core_set_error_debug;
    OSSL_FUNC_core_vset_error_fn *core_vset_error;
    OSSL_FUNC_core_get_params_fn *core_get_params;
    OSSL_FUNC_BIO_gets_fn *bio_gets;
    OSSL_FUNC_BIO_read_ex_fn *bio_read_ex;
    bool is_library;          /* linked into libmtls-agent: agent handles come with the keys */
    struct mtls_agent *agent; /* owned; NULL when is_library */
    struct precedence precedence;
    _Atomic(OSSL_LIB_CTX *) hashing; /* owned; made by digest_compute() at first use */
};

/**
 * provider_context_new() - from what OSSL_provider_init is given
 * @core:       the provider's handle in the program's libcrypto
 * @in:         its functions
 * @is_library: see above
 *
 * Connects to nothing. The configuration key `socket` names another socket than the usual one.
 * Return: the context, owned by the caller, or NULL when memory is short.
 */
struct provider_context *provider_context_new(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in,
                                              bool is_library) _must_check_;
struct provider_context *provider_context_free(struct provider_context *context);

/**
 * provider_raise() - one entry in the caller's error queue
 * @reason:     enum provider_reason, or enum mtls_agent_code
 *
 * Return: 0, OpenSSL's failure, so that `return provider_raise(...)` reads well.
 */
#define provider_raise(context, reason, ...) \
    provider_raise_at(context, __FILE__, __LINE__, __func__, reason, __VA_ARGS__)
int provider_raise_at(const struct provider_context *context, const char *file, int line,
                      const char *function, unsigned int reason, const char *format, ...)
    _printf_(6, 7);

/** provider_raise_agent() - an entry with the agent's code and sentence. Return: 0. */
#define provider_raise_agent(context, error) \
    provider_raise(context, (unsigned int)(error)->code, "%s", (error)->text)

/* provider-base(7): the functions that are the same in the module and in libmtls-agent. */
void provider_teardown(void *context);
const OSSL_PARAM *provider_gettable_params(void *context);
int provider_get_params(void *context, OSSL_PARAM params[]);
const OSSL_ITEM *provider_reasons(void *context);

#define PROVIDER_FUNCTION(id, function)                     \
    {                                                       \
        OSSL_FUNC_PROVIDER_##id, (void (*)(void))(function) \
    }
#define PROVIDER_COMMON_FUNCTIONS                                     \
    PROVIDER_FUNCTION(TEARDOWN, provider_teardown),                   \
        PROVIDER_FUNCTION(GETTABLE_PARAMS, provider_gettable_params), \
        PROVIDER_FUNCTION(GET_PARAMS, provider_get_params),           \
        PROVIDER_FUNCTION(GET_REASON_STRINGS, provider_reasons)

#endif
