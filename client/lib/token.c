/* SPDX-License-Identifier: Apache-2.0 */
/* Unlock and lock: the requests about a token. A PIN passes by here as a descriptor only. */
#include <fcntl.h>

#include "client/lib/call.h"
#include "client/lib/error.h"
#include "client/lib/selector.h"

struct token_context {
    const char *selector; /* NULL: none */
};

static int token_encode(struct wire_writer *writer, const struct call *call, uint8_t type)
{
    const struct token_context *context = call->context;
    const struct protocol_token_request msg = {
        .id = call->id,
        .selector = wire_span_from_text(context->selector),
    };

    return protocol_token_request_encode(writer, type, &msg);
}

static int token_encode_unlock(struct wire_writer *writer, const struct call *call)
{
    return token_encode(writer, call, PROTOCOL_UNLOCK);
}

static int token_encode_lock(struct wire_writer *writer, const struct call *call)
{
    return token_encode(writer, call, PROTOCOL_LOCK);
}

static int token_handle_reply(struct call *call, struct wire_span body)
{
    uint32_t id = 0;

    (void)call;
    return protocol_bare_parse(body, &id) ? MTLS_AGENT_E_PROTOCOL : 0;
}

static const struct call_type unlock_type = {
    .reply = PROTOCOL_UNLOCK_REPLY,
    .encode = token_encode_unlock,
    .handle_reply = token_handle_reply,
};

static const struct call_type lock_type = {
    .reply = PROTOCOL_LOCK_REPLY,
    .is_idempotent = true,
    .encode = token_encode_lock,
    .handle_reply = token_handle_reply,
};

static int token_run(struct mtls_agent *agent, const struct call_type *type, const char *token,
                     int pass_fd, struct mtls_agent_error *error)
{
    struct token_context context = {.selector = token};
    struct call call = {.type = type, .context = &context, .pass_fd = pass_fd, .error = error};
    int code = selector_check(token, error);

    return code ? code : call_run(agent, &call);
}

int mtls_agent_unlock(struct mtls_agent *agent, const char *token, int pin_fd,
                      struct mtls_agent_error *error)
{
    if (fcntl(pin_fd, F_GETFD) < 0)
        return client_error_set(error, MTLS_AGENT_E_ARGUMENT, "the PIN's descriptor %d is not open",
                                pin_fd);
    return token_run(agent, &unlock_type, token, pin_fd, error);
}

int mtls_agent_ask_unlock(struct mtls_agent *agent, const char *token,
                          struct mtls_agent_error *error)
{
    return token_run(agent, &unlock_type, token, -1, error);
}

int mtls_agent_lock(struct mtls_agent *agent, const char *token, struct mtls_agent_error *error)
{
    return token_run(agent, &lock_type, token, -1, error);
}
