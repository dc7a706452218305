/* SPDX-License-Identifier: Apache-2.0 */
/* `mtls status`: the agent, its modules and tokens, what it refused lately, and what to do about
 * each problem. */
#include "client/cli/cli.h"

#include "client/cli/advice.h"
#include "client/cli/expiry.h"
#include "client/cli/json.h"
#include "client/cli/key_view.h"
#include "client/cli/patience.h"
#include "client/cli/table.h"
#include "common/escape.h"
#include "common/paths.h"
#include "common/protocol.h"
#include <inttypes.h>

enum {
    STATUS_JSON,
};

static const struct cli_option status_options[] = {
    [STATUS_JSON] = {"json", 0, NULL, "print a JSON object with all that is known"},
};

static const struct table_column status_module_columns[] = {
    {"MODULE", 8}, {"STATE", 0}, {"WORKERS", 0}, {"RESTARTS", 0}, {"PATH", 8},
};

static const struct table_column status_token_columns[] = {
    {"TOKEN", 8}, {"SERIAL", 6}, {"MODULE", 6}, {"STATE", 0}, {"KEYS", 0},
};

static const struct table_column status_reader_columns[] = {
    {"READER", 8},
    {"STATE", 0},
    {"USED BY", 8},
};

static const char *status_module_state(enum mtls_agent_module_state state)
{
    switch (state) {
    case MTLS_AGENT_MODULE_STARTING:
        return "starting";
    case MTLS_AGENT_MODULE_READY:
        return "ready";
    case MTLS_AGENT_MODULE_BACKOFF:
        return "restarting";
    case MTLS_AGENT_MODULE_FAILED:
        return "failed";
    case MTLS_AGENT_MODULE_RELEASED:
        return "released";
    default:
        return "unknown";
    }
}

static const char *status_token_state(enum mtls_agent_token_state state)
{
    switch (state) {
    case MTLS_AGENT_TOKEN_READY:
        return "ready";
    case MTLS_AGENT_TOKEN_LOCKED:
        return "locked";
    case MTLS_AGENT_TOKEN_PIN_BAD:
        return "pin-refused";
    case MTLS_AGENT_TOKEN_PIN_BLOCKED:
        return "pin-blocked";
    default:
        return "unknown";
    }
}

static const char *status_reader_state(enum mtls_agent_reader_state state)
{
    switch (state) {
    case MTLS_AGENT_READER_EMPTY:
        return "empty";
    case MTLS_AGENT_READER_PRESENT:
        return "card";
    case MTLS_AGENT_READER_IN_USE:
        return "in-use";
    case MTLS_AGENT_READER_EXCLUSIVE:
        return "exclusive";
    case MTLS_AGENT_READER_MUTE:
        return "mute";
    case MTLS_AGENT_READER_UNAVAILABLE:
        return "unavailable";
    default:
        return "unknown";
    }
}

/* The texts of a row that need escaping, each with memory of its own. */
static int status_add_row(struct table *table, const char *const *cells)
{
    char *escaped[TABLE_COLUMNS_MAX] = {0};
    int r = 0;

    for (size_t i = 0; r == 0 && i < table->column_count; i++) {
        escaped[i] = key_view_escape(*cells[i] ? cells[i] : "-");
        if (!escaped[i])
            r = -ENOMEM;
    }
    if (r == 0)
        r = table_add_row(table, (const char *const *)escaped);
    for (size_t i = 0; i < table->column_count; i++)
        free(escaped[i]);
    return r;
}

static int status_put_modules(const struct mtls_agent_status *status, struct wire_writer *out)
{
    _cleanup_table_ struct table table = TABLE_INIT(status_module_columns);

    for (size_t i = 0; i < status->module_count; i++) {
        const struct mtls_agent_module_status *module = &status->modules[i];
        char workers[16];
        char restarts[16];
        (void)snprintf(workers, sizeof(workers), "%u", module->workers);
        (void)snprintf(restarts, sizeof(restarts), "%u", module->restarts);
        const char *const cells[] = {module->name, status_module_state(module->state), workers,
                                     restarts, module->path};
        int r = status_add_row(&table, cells);
        if (r)
            return r;
    }
    wire_put_u8(out, '\n');
    table_format(&table, table_terminal_width(), out);
    return 0;
}

static int status_put_tokens(const struct mtls_agent_status *status, struct wire_writer *out)
{
    _cleanup_table_ struct table table = TABLE_INIT(status_token_columns);

    for (size_t i = 0; i < status->token_count; i++) {
        const struct mtls_agent_token_status *token = &status->tokens[i];
        char keys[16];
        (void)snprintf(keys, sizeof(keys), "%u", token->keys);
        const char *const cells[] = {token->label, token->serial, token->module,
                                     status_token_state(token->state), keys};
        int r = status_add_row(&table, cells);
        if (r)
            return r;
    }
    wire_put_u8(out, '\n');
    table_format(&table, table_terminal_width(), out);
    return 0;
}

static int status_put_readers(const struct mtls_agent_status *status, struct wire_writer *out)
{
    _cleanup_table_ struct table table = TABLE_INIT(status_reader_columns);

    for (size_t i = 0; i < status->reader_count; i++) {
        const struct mtls_agent_reader_status *reader = &status->readers[i];
        const char *const cells[] = {reader->name, status_reader_state(reader->state),
                                     reader->text};
        int r = status_add_row(&table, cells);
        if (r)
            return r;
    }
    wire_put_u8(out, '\n');
    table_format(&table, table_terminal_width(), out);
    return 0;
}

static void status_put_agent(const struct mtls_agent_status *status, const char *socket_path,
                             struct wire_writer *out)
{
    char uptime[EXPIRY_TEXT_MAX];

    cli_put_line(out, "agent     %s, pid %u, up %s, %s", status->version, status->pid,
                 expiry_format_duration((int64_t)(status->uptime_ms / 1000), uptime), socket_path);
    cli_put_line(out, "requests  %" PRIu64 " signed, %" PRIu64 " refused, %" PRIu64 " failed",
                 status->signatures, status->refusals, status->failures);
    cli_put_line(out, "now       %u connection%s, %u request%s waiting", status->connections,
                 status->connections == 1 ? "" : "s", status->queued,
                 status->queued == 1 ? "" : "s");
}

/* "2 minutes ago, 3 times: digest with key "work" for /usr/bin/browser (pid 4711)" */
static void status_put_refusal(const struct mtls_agent_refusal *refusal, struct wire_writer *out)
{
    const char *kind = sign_kind_name(refusal->kind);
    char age[EXPIRY_TEXT_MAX];
    char times[32] = "";
    char user[32] = "";

    if (refusal->count > 1)
        (void)snprintf(times, sizeof(times), ", %u times", refusal->count);
    if (refusal->uid != geteuid())
        (void)snprintf(user, sizeof(user), "uid %u, ", refusal->uid);
    cli_put_line(out, "  %s ago%s: %s with key \"%s\" for %s (%spid %u)",
                 expiry_format_duration((int64_t)(refusal->age_ms / 1000), age), times,
                 kind ? kind : "an unknown kind", refusal->key,
                 *refusal->program ? refusal->program : "an unknown program", user, refusal->pid);
    cli_put_line(out, "    %s", refusal->text);
}

static void status_put_refusals(const struct mtls_agent_status *status, struct wire_writer *out)
{
    if (status->recent_refusal_count > 0)
        escape_put_raw(out, "\nRefused lately:\n");
    for (size_t i = 0; i < status->recent_refusal_count; i++)
        status_put_refusal(&status->recent_refusals[i], out);
}

struct status_advice {
    struct wire_writer *out;
    bool has_title;
};

static void status_put_advice(void *context, const char *line)
{
    struct status_advice *advice = context;

    if (!advice->has_title)
        escape_put_raw(advice->out, "\nTo do:\n");
    advice->has_title = true;
    cli_put_line(advice->out, "  %s", line);
}

static int status_print_text(const struct mtls_agent_status *status, const char *socket_path,
                             struct wire_writer *out)
{
    struct status_advice advice = {.out = out};
    int r = 0;

    status_put_agent(status, socket_path, out);
    if (status->module_count > 0)
        r = status_put_modules(status, out);
    if (r == 0 && status->token_count > 0)
        r = status_put_tokens(status, out);
    if (r == 0 && status->reader_count > 0)
        r = status_put_readers(status, out);
    if (r)
        return cli_fail_errno("cannot show the status", r);
    status_put_refusals(status, out);
    advice_give(status, status_put_advice, &advice);
    return CLI_OK;
}

static void status_put_json_lists(const struct mtls_agent_status *status, struct json *json)
{
    json_begin_array(json, "modules");
    for (size_t i = 0; i < status->module_count; i++) {
        const struct mtls_agent_module_status *module = &status->modules[i];
        json_begin_object(json, NULL);
        json_put_text(json, "name", module->name);
        json_put_text(json, "path", module->path);
        json_put_text(json, "state", status_module_state(module->state));
        json_put_uint(json, "workers", module->workers);
        json_put_uint(json, "restarts", module->restarts);
        json_put_text(json, "text", module->text);
        json_end_object(json);
    }
    json_end_array(json);
    json_begin_array(json, "tokens");
    for (size_t i = 0; i < status->token_count; i++) {
        const struct mtls_agent_token_status *token = &status->tokens[i];
        json_begin_object(json, NULL);
        json_put_text(json, "label", token->label);
        json_put_text(json, "serial", token->serial);
        json_put_text(json, "module", token->module);
        json_put_text(json, "state", status_token_state(token->state));
        json_put_uint(json, "keys", token->keys);
        json_put_text(json, "text", token->text);
        json_end_object(json);
    }
    json_end_array(json);
}

static void status_put_json_readers(const struct mtls_agent_status *status, struct json *json)
{
    json_begin_array(json, "readers");
    for (size_t i = 0; i < status->reader_count; i++) {
        const struct mtls_agent_reader_status *reader = &status->readers[i];
        json_begin_object(json, NULL);
        json_put_text(json, "name", reader->name);
        json_put_text(json, "state", status_reader_state(reader->state));
        json_put_text(json, "text", reader->text);
        json_end_object(json);
    }
    json_end_array(json);
    json_put_text(json, "readers_text", status->readers_text);
}

static void status_put_json_refusals(const struct mtls_agent_status *status, struct json *json)
{
    json_begin_array(json, "recent_refusals");
    for (size_t i = 0; i < status->recent_refusal_count; i++) {
        const struct mtls_agent_refusal *refusal = &status->recent_refusals[i];
        const char *kind = sign_kind_name(refusal->kind);
        json_begin_object(json, NULL);
        json_put_uint(json, "age_ms", refusal->age_ms);
        json_put_uint(json, "count", refusal->count);
        json_put_uint(json, "uid", refusal->uid);
        json_put_uint(json, "pid", refusal->pid);
        json_put_text(json, "program", *refusal->program ? refusal->program : NULL);
        json_put_text(json, "key", refusal->key);
        json_put_text(json, "kind", kind ? kind : "unknown");
        json_put_text(json, "text", refusal->text);
        json_end_object(json);
    }
    json_end_array(json);
}

static void status_put_json_advice(void *context, const char *line)
{
    json_put_text(context, NULL, line);
}

static void status_print_json(const struct mtls_agent_status *status, const char *socket_path,
                              struct wire_writer *out)
{
    struct json json = JSON_INIT(out);

    json_begin_object(&json, NULL);
    json_put_text(&json, "version", status->version);
    json_put_uint(&json, "pid", status->pid);
    json_put_text(&json, "socket", socket_path);
    json_put_uint(&json, "uptime_ms", status->uptime_ms);
    json_put_uint(&json, "signatures", status->signatures);
    json_put_uint(&json, "refusals", status->refusals);
    json_put_uint(&json, "failures", status->failures);
    json_put_uint(&json, "connections", status->connections);
    json_put_uint(&json, "queued", status->queued);
    json_put_text(&json, "config_text", status->config_text);
    status_put_json_lists(status, &json);
    status_put_json_readers(status, &json);
    status_put_json_refusals(status, &json);
    json_begin_array(&json, "to_do");
    advice_give(status, status_put_json_advice, &json);
    json_end_array(&json);
    json_end_object(&json);
    json_finish(&json);
}

static int status_run(const struct cli_args *args)
{
    _cleanup_agent_ struct mtls_agent *agent = cli_agent_new();
    _cleanup_agent_status_ struct mtls_agent_status *status = NULL;
    _cleanup_wire_writer_ struct wire_writer out = {0};
    _cleanup_free_ char *socket_path = NULL;
    struct mtls_agent_error error = {0};

    if (!agent)
        return CLI_FAILURE;
    patience_begin("waiting for the agent...");
    int r = mtls_agent_get_status(agent, &status, &error);
    patience_end();
    if (r)
        return cli_fail_agent(&error);
    r = paths_socket(&socket_path);
    if (r)
        return cli_fail_errno("cannot show the status", r);
    wire_writer_init(&out, CLI_OUTPUT_MAX);
    if (args->values[STATUS_JSON])
        status_print_json(status, socket_path, &out);
    else
        r = status_print_text(status, socket_path, &out);
    return r ? r : cli_print(&out);
}

const struct cli_command cmd_status = {
    .name = "status",
    .operands = "",
    .summary = "Show the agent, its modules, tokens and readers, what it refused, and what to do",
    .details = "",
    .options = status_options,
    .option_count = ARRAY_SIZE(status_options),
    .run = status_run,
};
