/* SPDX-License-Identifier: Apache-2.0 */
/* Unlock, lock and new PINs: the requests about a token. A PIN passes by here as a descriptor only.
 */
#include <fcntl.h>

#include "client/lib/call.h"
#include "client/lib/error.h"
#include "client/lib/selector.h"

struct token_context {
    const char *selector; /* NULL: none */
    enum pin_change change;
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

static int token_encode_set_pin(struct wire_writer *writer, const struct call *call)
{
    const struct token_context *context = call->context;
    const struct protocol_set_pin msg = {
        .id = call->id,
        .selector = wire_span_from_text(context->selector),
        .change = context->change,
    };

    return protocol_set_pin_encode(writer, &msg);
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

static const struct call_type set_pin_type = {
    .reply = PROTOCOL_SET_PIN_REPLY,
    .encode = token_encode_set_pin,
    .handle_reply = token_handle_reply,
};

static const struct call_type lock_type = {
    .reply = PROTOCOL_LOCK_REPLY,
    .is_idempotent = true,
    .encode = token_encode_lock,
    .handle_reply = token_handle_reply,
};

static int token_run(struct mtls_agent *agent, const struct call_type *type, const char *token,
                     enum pin_change change, int pass_fd, struct mtls_agent_error *error)
{
    struct token_context context = {.selector = token, .change = change};
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
    return token_run(agent, &unlock_type, token, PIN_CHANGE_CHANGE, pin_fd, error);
}

int mtls_agent_ask_unlock(struct mtls_agent *agent, const char *token,
                          struct mtls_agent_error *error)
{
    return token_run(agent, &unlock_type, token, PIN_CHANGE_CHANGE, -1, error);
}

int mtls_agent_set_pin(struct mtls_agent *agent, const char *token,
                       enum mtls_agent_pin_change change, int pin_fd,
                       struct mtls_agent_error *error)
{
    if (fcntl(pin_fd, F_GETFD) < 0)
        return client_error_set(error, MTLS_AGENT_E_ARGUMENT, "the PINs' descriptor %d is not open",
                                pin_fd);
    if (change != MTLS_AGENT_PIN_CHANGE && change != MTLS_AGENT_PIN_UNBLOCK)
        return client_error_set(error, MTLS_AGENT_E_ARGUMENT, "this is no way to change a PIN");
    return token_run(agent, &set_pin_type, token, (enum pin_change)change, pin_fd, error);
}

int mtls_agent_lock(struct mtls_agent *agent, const char *token, struct mtls_agent_error *error)
{
    return token_run(agent, &lock_type, token, PIN_CHANGE_CHANGE, -1, error);
}
