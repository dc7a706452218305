/* SPDX-License-Identifier: Apache-2.0 */
/* Telling the status; see status_request.h. */
#include "agent/status_request.h"

#include "agent/agent.h"
#include "agent/module.h"
#include "agent/module_readers.h"
#include "agent/readers.h"
#include "build-config.h"
#include "common/clock.h"

static void status_add_module(struct wire_writer *output, const struct module *module)
{
    const struct protocol_status_module entry = {
        .name = wire_span_from_text(module->config->name),
        .path = wire_span_from_text(module->config->path),
        .state = module->state,
        .workers = (uint32_t)module->worker_count,
        .restarts = module->restarts,
        .text = protocol_text(module->text),
    };

    protocol_status_reply_add_module(output, &entry);
}

/* The same card seen by another module, too: its entry there is left out. */
static struct wire_span status_say_also(const struct module *module,
                                        const struct worker_token *token, char *text, size_t size)
{
    const struct module *other = module_readers_also(module, token);

    if (!other)
        return (struct wire_span){0};
    (void)snprintf(text, size, "also through module %s", module_get_name(other));
    return wire_span_from_text(text);
}

/* Who uses a card is for its users' eyes: programs of the agent's own uid are named. */
static void status_add_readers(struct wire_writer *output, const struct connection *connection)
{
    const struct agent *agent = connection->agent;
    bool may_see_users = connection->peer->uid == agent->uid || connection->peer->uid == 0;
    const struct reader *reader = NULL;
    size_t count = 0;

    for (size_t i = 0; (reader = readers_get(agent->readers, i)); i++) {
        const struct protocol_status_reader entry = {
            .name = wire_span_from_text(reader->name),
            .state = reader->state,
            .text = wire_span_from_text(may_see_users ? reader->users : ""),
        };
        if (reader->is_there && count++ < PROTOCOL_READERS_MAX)
            protocol_status_reply_add_reader(output, &entry);
    }
}

/* What has no room is left out: a program that serves thousands of tokens lists keys instead. */
static void status_add_tokens(struct wire_writer *output, const struct protocol_status_mark *mark,
                              const struct module *module)
{
    if (!module->inventory || module->is_leaving)
        return;
    for (size_t i = 0; i < module->inventory->token_count; i++) {
        const struct worker_token *token = &module->inventory->tokens[i].info;
        const char *text = "";
        if (module_readers_first(module, token))
            continue;
        char also[PROTOCOL_NAME_MAX + 32];
        struct protocol_status_token entry = {
            .label = token->label,
            .serial = token->serial,
            .module = wire_span_from_text(module->config->name),
            .state = module_token_state(module, token, &text),
            .keys = module->inventory->tokens[i].key_count,
            .text = protocol_text(text),
        };
        if (entry.text.len == 0)
            entry.text = status_say_also(module, token, also, sizeof(also));
        if (!protocol_status_reply_add_token(output, mark, &entry))
            return;
    }
}

static uint32_t status_count_queued(const struct agent *agent)
{
    uint32_t count = 0;

    list_for_each (link, &agent->sign_requests)
        count++;
    return count;
}

static void status_add_refusals(const struct connection *connection, struct wire_writer *output)
{
    const struct agent *agent = connection->agent;
    uint64_t now_ms = clock_monotonic_ms();
    struct protocol_status_refusal entry;

    list_for_each (link, &agent->refusals.latest_first) {
        const struct refusal *refusal = list_entry(link, struct refusal, link);
        if (!refusal_is_visible(refusal, agent->uid, connection->peer->uid))
            continue;
        refusal_describe(refusal, now_ms, &entry);
        protocol_status_reply_add_refusal(output, &entry);
    }
}

int status_request_answer(struct connection *connection, uint32_t id)
{
    const struct agent *agent = connection->agent;
    struct wire_writer *output = &connection->output;
    const struct protocol_status_reply fixed = {
        .id = id,
        .agent_version = wire_span_from_text(MTLS_VERSION),
        .pid = (uint32_t)getpid(),
        .uptime_ms = clock_monotonic_ms() - agent->started_ms,
        .signatures = agent->counters.signatures,
        .refusals = agent->counters.refusals,
        .failures = agent->counters.failures,
        .connections = agent->counters.connections,
        .queued = status_count_queued(agent),
        .config_text = protocol_text(agent->config_text),
    };
    struct protocol_status_mark mark = protocol_status_reply_begin(output, &fixed);

    list_for_each (link, &agent->modules)
        status_add_module(output, list_entry(link, struct module, link));
    protocol_status_reply_begin_tokens(output, &mark);
    list_for_each (link, &agent->modules)
        status_add_tokens(output, &mark, list_entry(link, struct module, link));
    protocol_status_reply_begin_refusals(output, &mark);
    status_add_refusals(connection, output);
    protocol_status_reply_begin_readers(output, &mark, protocol_text(readers_text(agent->readers)));
    status_add_readers(output, connection);
    return protocol_status_reply_end(output, &mark) ? -ENOBUFS : 0;
}
