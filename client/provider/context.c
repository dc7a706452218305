/* SPDX-License-Identifier: Apache-2.0 */
/* The provider's context and error entries; see context.h. */
#include "client/provider/context.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <stdarg.h>

#include "build-config.h"

#define PROVIDER_PARAM_SOCKET "socket"

static void provider_context_take_functions(struct provider_context *context,
                                            const OSSL_DISPATCH *in)
{
    for (; in->function_id != 0; in++) {
        switch (in->function_id) {
        case OSSL_FUNC_CORE_NEW_ERROR:
            context->core_new_error = OSSL_FUNC_core_new_error(in);
            break;
        case OSSL_FUNC_CORE_SET_ERROR_DEBUG:
            context->core_set_error_debug = OSSL_FUNC_core_set_error_debug(in);
            break;
        case OSSL_FUNC_CORE_VSET_ERROR:
            context->core_vset_error = OSSL_FUNC_core_vset_error(in);
            break;
        case OSSL_FUNC_CORE_GET_PARAMS:
            context->core_get_params = OSSL_FUNC_core_get_params(in);
            break;
        case OSSL_FUNC_BIO_GETS:
            context->bio_gets = OSSL_FUNC_BIO_gets(in);
            break;
        case OSSL_FUNC_BIO_READ_EX:
            context->bio_read_ex = OSSL_FUNC_BIO_read_ex(in);
            break;
        default:
            break;
        }
    }
}

/* The socket that the provider's section in openssl.cnf names; NULL: the usual one. */
static const char *provider_context_socket(const struct provider_context *context)
{
    char *path = NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_ptr(PROVIDER_PARAM_SOCKET, &path, 0),
        OSSL_PARAM_END,
    };

    if (!context->core_get_params || !context->core_get_params(context->core, params))
        return NULL;
    return path && *path ? path : NULL;
}

struct provider_context *provider_context_new(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in,
                                              bool is_library)
{
    struct provider_context *context = calloc(1, sizeof(*context));

    if (!context)
        return NULL;
    context->core = core;
    context->is_library = is_library;
    provider_context_take_functions(context, in);
    precedence_init(&context->precedence, core, in);
    if (is_library)
        return context;
    context->agent = mtls_agent_new(provider_context_socket(context));
    if (!context->agent)
        return provider_context_free(context);
    return context;
}

struct provider_context *provider_context_free(struct provider_context *context)
{
    if (!context)
        return NULL;
    context->agent = mtls_agent_free(context->agent);
    OSSL_LIB_CTX_free(context->hashing);
    free(context);
    return NULL;
}

int provider_raise_at(const struct provider_context *context, const char *file, int line,
                      const char *function, unsigned int reason, const char *format, ...)
{
    va_list args;

    if (!context->core_new_error || !context->core_vset_error)
        return 0;
    context->core_new_error(context->core);
    if (context->core_set_error_debug)
        context->core_set_error_debug(context->core, file, line, function);
    va_start(args, format);
    context->core_vset_error(context->core, reason, format, args);
    va_end(args);
    return 0;
}

void provider_teardown(void *context)
{
    (void)provider_context_free(context);
}

const OSSL_PARAM *provider_gettable_params(void *context)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_NAME, NULL, 0),
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_VERSION, NULL, 0),
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_BUILDINFO, NULL, 0),
        OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, NULL),
        OSSL_PARAM_END,
    };

    (void)context;
    return params;
}

int provider_get_params(void *context, OSSL_PARAM params[])
{
    OSSL_PARAM *name = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_NAME);
    OSSL_PARAM *version = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_VERSION);
    OSSL_PARAM *build = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_BUILDINFO);
    OSSL_PARAM *status = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS);

    (void)context;
    return (!name || OSSL_PARAM_set_utf8_ptr(name, "mtls-agent: TLS client keys of an agent")) &&
           (!version || OSSL_PARAM_set_utf8_ptr(version, MTLS_VERSION)) &&
           (!build || OSSL_PARAM_set_utf8_ptr(build, MTLS_VERSION)) &&
           (!status || OSSL_PARAM_set_int(status, 1));
}

/* Many programs show this and nothing more, so it names the remedy where there is one.
 * OSSL_ITEM has no const; nobody writes through it. */
#define REASON(reason, text)                \
    {                                       \
        (reason), (void *)(uintptr_t)(text) \
    }

const OSSL_ITEM *provider_reasons(void *context)
{
    static const OSSL_ITEM reasons[] = {
        REASON(MTLS_AGENT_E_PROTOCOL, "the agent speaks another protocol"),
        REASON(MTLS_AGENT_E_VERSION, "no common protocol version with the agent"),
        REASON(MTLS_AGENT_E_POLICY, "refused by the agent's policy"),
        REASON(MTLS_AGENT_E_NO_KEY, "the agent has no such key (mtls list)"),
        REASON(MTLS_AGENT_E_AMBIGUOUS, "the name fits several keys (mtls list)"),
        REASON(MTLS_AGENT_E_TOKEN_GONE, "the token is not there"),
        REASON(MTLS_AGENT_E_LOCKED, "the token is locked (mtls unlock)"),
        REASON(MTLS_AGENT_E_PIN, "the token refused its PIN"),
        REASON(MTLS_AGENT_E_BUSY, "the agent is busy"),
        REASON(MTLS_AGENT_E_TIMEOUT, "no answer from the agent in time"),
        REASON(MTLS_AGENT_E_INTERNAL, "the agent or its token failed"),
        REASON(MTLS_AGENT_E_NO_AGENT, "no mtls-agent listens at the socket"),
        REASON(MTLS_AGENT_E_CONNECTION, "connection to the agent lost"),
        REASON(MTLS_AGENT_E_MEMORY, "out of memory"),
        REASON(MTLS_AGENT_E_ARGUMENT, "bad argument"),
        REASON(PROVIDER_R_REFERENCE, "damaged key reference (mtls key-ref)"),
        REASON(PROVIDER_R_KEY, "unsupported key"),
        REASON(PROVIDER_R_DIGEST, "unsupported digest"),
        REASON(PROVIDER_R_PADDING, "unsupported padding"),
        REASON(PROVIDER_R_SALT, "unsupported salt length"),
        REASON(PROVIDER_R_MESSAGE, "bad message"),
        REASON(PROVIDER_R_BUFFER, "buffer too small"),
        REASON(PROVIDER_R_STATE, "not initialised"),
        REASON(PROVIDER_R_MEMORY, "out of memory"),
        {0, NULL},
    };

    (void)context;
    return reasons;
}
