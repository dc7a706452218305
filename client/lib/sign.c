/* SPDX-License-Identifier: Apache-2.0 */
/* mtls_agent_sign(): the hot path. One send, one poll, one recv; no memory from the heap. */
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/deadline.h"
#include "client/lib/error.h"

_Static_assert(MTLS_AGENT_KEY_HASH_LEN == PROTOCOL_KEY_HASH_LEN, "one key hash");
_Static_assert(MTLS_AGENT_SIGNATURE_MAX == PROTOCOL_SIGNATURE_MAX, "one signature limit");
_Static_assert((int)MTLS_AGENT_TLS13 == (int)SIGN_KIND_TLS13, "kinds are those of the wire");
_Static_assert((int)MTLS_AGENT_TLS12 == (int)SIGN_KIND_TLS12, "kinds are those of the wire");
_Static_assert((int)MTLS_AGENT_DIGEST == (int)SIGN_KIND_DIGEST, "kinds are those of the wire");

/* Type, id, deadline, key hash, scheme and kind, and the length of the content. */
#define SIGN_OVERHEAD (1u + 4u + 4u + 4u + PROTOCOL_KEY_HASH_LEN + 4u + 1u + 4u)
#define SIGN_CONTENT_MAX (WIRE_FRAME_MAX - SIGN_OVERHEAD)

struct sign_context {
    struct wire_span hash;
    uint16_t scheme;
    uint8_t kind;
    struct wire_span content;
    uint8_t *signature;
    size_t signature_size;
    size_t signature_len;
};

static int sign_encode(struct wire_writer *writer, const struct call *call)
{
    const struct sign_context *context = call->context;
    const struct protocol_sign msg = {
        .id = call->id,
        .deadline_ms = deadline_for_agent_ms(call->deadline_us),
        .key_hash = context->hash,
        .scheme = context->scheme,
        .kind = context->kind,
        .content = context->content,
    };

    return protocol_sign_encode(writer, &msg);
}

static int sign_handle_reply(struct call *call, struct wire_span body)
{
    struct sign_context *context = call->context;
    struct protocol_sign_reply reply;

    if (protocol_sign_reply_parse(body, &reply) || reply.signature.len == 0)
        return MTLS_AGENT_E_PROTOCOL;
    if (reply.signature.len > context->signature_size)
        return client_error_set(call->error, MTLS_AGENT_E_ARGUMENT,
                                "the signature has %zu bytes, the buffer for it only %zu; "
                                "MTLS_AGENT_SIGNATURE_MAX always suffices",
                                reply.signature.len, context->signature_size);
    memcpy(context->signature, reply.signature.data, reply.signature.len);
    context->signature_len = reply.signature.len;
    return 0;
}

static const struct call_type sign_type = {
    .reply = PROTOCOL_SIGN_REPLY,
    .encode = sign_encode,
    .handle_reply = sign_handle_reply,
};

int mtls_agent_sign(struct mtls_agent *agent, const uint8_t hash[MTLS_AGENT_KEY_HASH_LEN],
                    uint16_t scheme, enum mtls_agent_kind kind, const void *content,
                    size_t content_len, uint8_t *signature, size_t signature_size,
                    size_t *signature_len, struct mtls_agent_error *error)
{
    struct sign_context context = {
        .hash = {hash, MTLS_AGENT_KEY_HASH_LEN},
        .scheme = scheme,
        .kind = (uint8_t)kind,
        .content = {content, content_len},
        .signature_size = signature_size,
    };
    struct call call = {.type = &sign_type, .context = &context, .pass_fd = -1, .error = error};

    context.signature = signature;
    if (content_len > SIGN_CONTENT_MAX)
        return client_error_set(error, MTLS_AGENT_E_ARGUMENT,
                                "what is to be signed has %zu bytes, at most %u are taken; no TLS "
                                "handshake is so long",
                                content_len, SIGN_CONTENT_MAX);
    int code = call_run(agent, &call);
    if (code == 0)
        *signature_len = context.signature_len;
    return code;
}
