/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's state, copied into one block that the caller owns. */
#include "client/lib/block.h"
#include "client/lib/call.h"
#include "client/lib/error.h"

#define STATUS_TEXTS 3u        /* of the fixed part: each takes a NUL in the block */
#define STATUS_MODULE_TEXTS 3u /* per module */
#define STATUS_TOKEN_TEXTS 4u  /* per token */
#define STATUS_REFUSAL_TEXTS 3u
#define STATUS_READER_TEXTS 2u

_Static_assert((int)MTLS_AGENT_MODULE_RELEASED == (int)MODULE_STATE_RELEASED,
               "states are the wire's");
_Static_assert((int)MTLS_AGENT_TOKEN_PIN_BLOCKED == (int)TOKEN_STATE_PIN_BLOCKED,
               "states are the wire's");
_Static_assert((int)MTLS_AGENT_READER_UNAVAILABLE == (int)READER_STATE_UNAVAILABLE,
               "states are the wire's");

/* What one allocation holds: the public part first, so that its address is the block's. */
struct status_block {
    struct mtls_agent_status status;
    max_align_t data[];
};

static int status_encode(struct wire_writer *writer, const struct call *call)
{
    return protocol_bare_encode(writer, PROTOCOL_STATUS, call->id);
}

struct status_counts {
    size_t modules;
    size_t tokens;
    size_t refusals;
    size_t readers;
};

static struct status_counts status_count(const struct protocol_status_reply *reply)
{
    struct wire_span modules = reply->modules;
    struct wire_span tokens = reply->tokens;
    struct wire_span refusals = reply->recent_refusals;
    struct wire_span readers = reply->readers;
    struct protocol_status_module module;
    struct protocol_status_token token;
    struct protocol_status_refusal refusal;
    struct protocol_status_reader reader;
    struct status_counts counts = {0};

    while (protocol_status_next_module(&modules, &module))
        counts.modules++;
    while (protocol_status_next_token(&tokens, &token))
        counts.tokens++;
    while (protocol_status_next_refusal(&refusals, &refusal))
        counts.refusals++;
    while (protocol_status_next_reader(&readers, &reader))
        counts.readers++;
    return counts;
}

/* Bytes of all texts, each with its NUL. */
static size_t status_text_size(const struct protocol_status_reply *reply,
                               const struct status_counts *counts)
{
    return reply->agent_version.len + reply->config_text.len + reply->modules.len +
           reply->tokens.len + reply->recent_refusals.len + reply->readers.len +
           reply->readers_text.len + STATUS_TEXTS + counts->modules * STATUS_MODULE_TEXTS +
           counts->tokens * STATUS_TOKEN_TEXTS + counts->refusals * STATUS_REFUSAL_TEXTS +
           counts->readers * STATUS_READER_TEXTS;
}

static void status_copy_modules(struct wire_span list, struct mtls_agent_module_status *copy,
                                struct block *block)
{
    struct protocol_status_module module;

    while (protocol_status_next_module(&list, &module)) {
        *copy++ = (struct mtls_agent_module_status){
            .name = block_put_text(block, module.name),
            .path = block_put_text(block, module.path),
            .state = (enum mtls_agent_module_state)module.state,
            .workers = module.workers,
            .restarts = module.restarts,
            .text = block_put_text(block, module.text),
        };
    }
}

static void status_copy_tokens(struct wire_span list, struct mtls_agent_token_status *copy,
                               struct block *block)
{
    struct protocol_status_token token;

    while (protocol_status_next_token(&list, &token)) {
        *copy++ = (struct mtls_agent_token_status){
            .label = block_put_text(block, token.label),
            .serial = block_put_text(block, token.serial),
            .module = block_put_text(block, token.module),
            .state = (enum mtls_agent_token_state)token.state,
            .keys = token.keys,
            .text = block_put_text(block, token.text),
        };
    }
}

static void status_copy_refusals(struct wire_span list, struct mtls_agent_refusal *copy,
                                 struct block *block)
{
    struct protocol_status_refusal refusal;

    while (protocol_status_next_refusal(&list, &refusal)) {
        *copy++ = (struct mtls_agent_refusal){
            .age_ms = refusal.age_ms,
            .count = refusal.count,
            .uid = refusal.uid,
            .pid = refusal.pid,
            .program = block_put_text(block, refusal.program),
            .key = block_put_text(block, refusal.key),
            .kind = refusal.kind,
            .text = block_put_text(block, refusal.text),
        };
    }
}

static void status_copy_readers(struct wire_span list, struct mtls_agent_reader_status *copy,
                                struct block *block)
{
    struct protocol_status_reader reader;

    while (protocol_status_next_reader(&list, &reader)) {
        *copy++ = (struct mtls_agent_reader_status){
            .name = block_put_text(block, reader.name),
            .state = (enum mtls_agent_reader_state)reader.state,
            .text = block_put_text(block, reader.text),
        };
    }
}

static struct mtls_agent_status *status_copy(const struct protocol_status_reply *reply)
{
    const struct status_counts counts = status_count(reply);
    /* The strictest alignment first. */
    size_t refusals_size = counts.refusals * sizeof(struct mtls_agent_refusal);
    size_t modules_size = counts.modules * sizeof(struct mtls_agent_module_status);
    size_t tokens_size = counts.tokens * sizeof(struct mtls_agent_token_status);
    size_t readers_size = counts.readers * sizeof(struct mtls_agent_reader_status);
    size_t lists_size = refusals_size + modules_size + tokens_size + readers_size;
    size_t text_size = status_text_size(reply, &counts);
    struct status_block *memory = calloc(1, sizeof(*memory) + lists_size + text_size);
    if (!memory)
        return NULL;

    uint8_t *data = (uint8_t *)memory->data;
    struct mtls_agent_refusal *refusals = (void *)data;
    struct mtls_agent_module_status *modules = (void *)(data + refusals_size);
    struct mtls_agent_token_status *tokens = (void *)(data + refusals_size + modules_size);
    struct mtls_agent_reader_status *readers =
        (void *)(data + refusals_size + modules_size + tokens_size);
    struct block block = {data + lists_size, text_size};
    memory->status = (struct mtls_agent_status){
        .version = block_put_text(&block, reply->agent_version),
        .pid = reply->pid,
        .uptime_ms = reply->uptime_ms,
        .signatures = reply->signatures,
        .refusals = reply->refusals,
        .failures = reply->failures,
        .connections = reply->connections,
        .queued = reply->queued,
        .config_text = block_put_text(&block, reply->config_text),
        .module_count = counts.modules,
        .modules = modules,
        .token_count = counts.tokens,
        .tokens = tokens,
        .recent_refusal_count = counts.refusals,
        .recent_refusals = refusals,
        .reader_count = counts.readers,
        .readers = readers,
        .readers_text = block_put_text(&block, reply->readers_text),
    };
    status_copy_modules(reply->modules, modules, &block);
    status_copy_tokens(reply->tokens, tokens, &block);
    status_copy_refusals(reply->recent_refusals, refusals, &block);
    status_copy_readers(reply->readers, readers, &block);
    return &memory->status;
}

static int status_handle_reply(struct call *call, struct wire_span body)
{
    struct mtls_agent_status **status = call->context;
    struct protocol_status_reply reply;

    if (protocol_status_reply_parse(body, &reply))
        return MTLS_AGENT_E_PROTOCOL;
    *status = status_copy(&reply);
    return *status ? 0 : client_error_set_memory(call->error);
}

static const struct call_type status_type = {
    .reply = PROTOCOL_STATUS_REPLY,
    .is_idempotent = true,
    .encode = status_encode,
    .handle_reply = status_handle_reply,
};

int mtls_agent_get_status(struct mtls_agent *agent, struct mtls_agent_status **ret_status,
                          struct mtls_agent_error *error)
{
    struct mtls_agent_status *status = NULL;
    struct call call = {.type = &status_type, .context = &status, .pass_fd = -1, .error = error};

    int code = call_run(agent, &call);
    if (code == 0)
        *ret_status = status;
    return code;
}

struct mtls_agent_status *mtls_agent_status_free(struct mtls_agent_status *status)
{
    free(status);
    return NULL;
}
