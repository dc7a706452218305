/* SPDX-License-Identifier: Apache-2.0 */
/* Error codes, their names, and the caller's error structure; see error.h. */
#include "client/lib/error.h"

#include <stdarg.h>

#include "common/escape.h"

#define SAME_CODE(ours, wire) \
    _Static_assert((int)(ours) == (int)(wire), "the library's codes are those of the wire")

SAME_CODE(MTLS_AGENT_E_PROTOCOL, PROTOCOL_E_PROTO);
SAME_CODE(MTLS_AGENT_E_VERSION, PROTOCOL_E_VERSION);
SAME_CODE(MTLS_AGENT_E_POLICY, PROTOCOL_E_POLICY);
SAME_CODE(MTLS_AGENT_E_NO_KEY, PROTOCOL_E_NO_KEY);
SAME_CODE(MTLS_AGENT_E_AMBIGUOUS, PROTOCOL_E_AMBIGUOUS);
SAME_CODE(MTLS_AGENT_E_TOKEN_GONE, PROTOCOL_E_TOKEN_GONE);
SAME_CODE(MTLS_AGENT_E_LOCKED, PROTOCOL_E_LOCKED);
SAME_CODE(MTLS_AGENT_E_PIN, PROTOCOL_E_PIN);
SAME_CODE(MTLS_AGENT_E_BUSY, PROTOCOL_E_BUSY);
SAME_CODE(MTLS_AGENT_E_TIMEOUT, PROTOCOL_E_TIMEOUT);
SAME_CODE(MTLS_AGENT_E_INTERNAL, PROTOCOL_E_INTERNAL);

int client_error_set(struct mtls_agent_error *error, enum mtls_agent_code code, const char *format,
                     ...)
{
    va_list args;

    if (!error)
        return (int)code;
    error->code = code;
    va_start(args, format);
    (void)vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    return (int)code;
}

int client_error_set_from_agent(struct mtls_agent_error *error, const struct protocol_error *msg)
{
    bool is_known = msg->code >= PROTOCOL_E_PROTO && msg->code <= PROTOCOL_E_INTERNAL;
    enum mtls_agent_code code = is_known ? (enum mtls_agent_code)msg->code : MTLS_AGENT_E_INTERNAL;

    if (error) {
        error->code = code;
        (void)escape_text(msg->text, error->text, sizeof(error->text));
    }
    return (int)code;
}

int client_error_set_memory(struct mtls_agent_error *error)
{
    return client_error_set(error, MTLS_AGENT_E_MEMORY, "out of memory");
}

const char *mtls_agent_code_name(enum mtls_agent_code code)
{
    switch (code) {
    case MTLS_AGENT_OK:
        return "ok";
    case MTLS_AGENT_E_NO_AGENT:
        return "no-agent";
    case MTLS_AGENT_E_CONNECTION:
        return "connection";
    case MTLS_AGENT_E_MEMORY:
        return "memory";
    case MTLS_AGENT_E_ARGUMENT:
        return "argument";
    case MTLS_AGENT_E_TLS:
        return "tls";
    default:
        return protocol_error_name((uint32_t)code);
    }
}
