/* SPDX-License-Identifier: Apache-2.0 */
/* `mtls list`: the agent's keys, as a table for people or as JSON for programs. */
#include "client/cli/cli.h"

#include <string.h>

#include "client/cli/cert_info.h"
#include "client/cli/expiry.h"
#include "client/cli/json.h"
#include "client/cli/key_view.h"
#include "client/cli/list_watch.h"
#include "client/cli/patience.h"
#include "client/cli/pkcs11_uri.h"
#include "client/cli/table.h"
#include "common/escape.h"
#include "common/scheme.h"

#define LIST_STATE_MAX 32u

enum {
    LIST_JSON,
    LIST_WATCH,
};

static const struct cli_option list_options[] = {
    [LIST_JSON] = {"json", 0, NULL, "print a JSON array with all that is known"},
    [LIST_WATCH] = {"watch", 'w', NULL, "then print a line for each change, until Ctrl-C"},
};

static const struct table_column list_columns[] = {
    {"KEY", 8}, {"ALGORITHM", 0}, {"SUBJECT", 8}, {"EXPIRES", 0}, {"TOKEN", 6}, {"STATE", 0},
};

static const char *list_expiry(const struct mtls_agent_key *key, const struct cert_info *info,
                               bool readable, char buffer[static EXPIRY_TEXT_MAX])
{
    if (key->cert_count == 0)
        return "no certificate";
    if (!readable)
        return "unreadable certificate";
    return expiry_format(info->not_before, info->not_after, time(NULL), buffer);
}

static int list_add_row(struct table *table, const struct mtls_agent_key *key)
{
    _cleanup_cert_info_ struct cert_info info = CERT_INFO_INIT;
    bool readable = key->cert_count > 0 && cert_info_parse(key->certs[0], &info) == 0;
    _cleanup_free_ char *name = key_view_escape(key->name);
    _cleanup_free_ char *title = key_view_escape(readable && *info.title ? info.title : "-");
    _cleanup_free_ char *token = key_view_escape(key->token_label);
    char algorithm[KEY_VIEW_ALGORITHM_MAX];
    char expiry[EXPIRY_TEXT_MAX];
    char state[LIST_STATE_MAX];

    (void)snprintf(state, sizeof(state), "%s%s", key_view_state(key->state),
                   key_view_is_tls12_only(key) ? ", TLS 1.2 only" : "");
    if (!name || !title || !token)
        return -ENOMEM;
    const char *const cells[] = {
        name,  key_view_algorithm(key->type, key->bits, algorithm),
        title, list_expiry(key, &info, readable, expiry),
        token, state,
    };
    return table_add_row(table, cells);
}

static int list_print_table(const struct mtls_agent_keys *keys, struct wire_writer *out)
{
    _cleanup_table_ struct table table = TABLE_INIT(list_columns);
    const struct mtls_agent_key *key = NULL;

    if (mtls_agent_keys_count(keys) == 0) {
        cli_note("the agent has no keys. See its modules and tokens: mtls status");
        return CLI_OK;
    }
    for (size_t i = 0; (key = mtls_agent_keys_get(keys, i)); i++) {
        int r = list_add_row(&table, key);
        if (r)
            return cli_fail_errno("cannot show the keys", r);
    }
    table_format(&table, table_terminal_width(), out);
    return CLI_OK;
}

static void list_put_certificate(struct json *json, const struct mtls_agent_key *key)
{
    _cleanup_cert_info_ struct cert_info info = CERT_INFO_INIT;
    bool readable = key->cert_count > 0 && cert_info_parse(key->certs[0], &info) == 0;
    char when[EXPIRY_TEXT_MAX];

    json_put_text(json, "subject", info.subject);
    json_put_text(json, "issuer", info.issuer);
    json_put_text(json, "certificate_serial", info.serial);
    json_put_text(json, "not_before",
                  readable ? expiry_format_rfc3339(info.not_before, when) : NULL);
    json_put_text(json, "not_after", readable ? expiry_format_rfc3339(info.not_after, when) : NULL);
    json_put_uint(json, "certificates", key->cert_count);
}

static void list_put_schemes(struct json *json, const struct mtls_agent_key *key)
{
    json_begin_array(json, "schemes");
    for (size_t i = 0; i < key->scheme_count; i++) {
        const struct scheme *scheme = scheme_find(key->schemes[i]);
        char code[8];
        (void)snprintf(code, sizeof(code), "0x%04x", key->schemes[i]);
        json_put_text(json, NULL, scheme ? scheme->name : code);
    }
    json_end_array(json);
}

static void list_put_token(struct json *json, const struct mtls_agent_key *key)
{
    json_begin_object(json, "token");
    json_put_text(json, "label", key->token_label);
    json_put_text(json, "serial", key->token_serial);
    json_put_text(json, "module", key->module);
    json_end_object(json);
}

static void list_put_uri(struct json *json, const struct mtls_agent_key *key)
{
    _cleanup_wire_writer_ struct wire_writer uri = {0};

    wire_writer_init(&uri, CLI_OUTPUT_MAX);
    pkcs11_uri_format(key, &uri);
    wire_put_u8(&uri, '\0');
    json_put_text(json, "uri", uri.failed ? NULL : (const char *)uri.data);
}

static void list_put_key(struct json *json, const struct mtls_agent_key *key)
{
    char algorithm[KEY_VIEW_ALGORITHM_MAX];
    char hash[KEY_VIEW_HASH_MAX];

    json_begin_object(json, NULL);
    json_put_text(json, "name", key->name);
    json_put_text(json, "hash", key_view_hash(key->hash, hash));
    json_put_text(json, "algorithm", key_view_algorithm(key->type, key->bits, algorithm));
    json_put_uint(json, "bits", key->bits);
    json_put_text(json, "state", key_view_state(key->state));
    json_put_bool(json, "signs_digests", key->signs_digests != 0);
    json_put_bool(json, "always_authenticate", key->always_authenticate != 0);
    list_put_schemes(json, key);
    json_put_bool(json, "tls12_only", key_view_is_tls12_only(key));
    list_put_certificate(json, key);
    json_put_text(json, "label", key->label);
    list_put_token(json, key);
    list_put_uri(json, key);
    json_end_object(json);
}

static int list_print_json(const struct mtls_agent_keys *keys, struct wire_writer *out)
{
    struct json json = JSON_INIT(out);
    const struct mtls_agent_key *key = NULL;

    json_begin_array(&json, NULL);
    for (size_t i = 0; (key = mtls_agent_keys_get(keys, i)); i++)
        list_put_key(&json, key);
    json_end_array(&json);
    json_finish(&json);
    return CLI_OK;
}

static int list_show(const struct mtls_agent_keys *keys)
{
    _cleanup_wire_writer_ struct wire_writer out = {0};

    wire_writer_init(&out, CLI_OUTPUT_MAX);
    int r = list_print_table(keys, &out);
    return r ? r : cli_print(&out);
}

static int list_run(const struct cli_args *args)
{
    _cleanup_agent_ struct mtls_agent *agent = cli_agent_new();
    _cleanup_agent_keys_ struct mtls_agent_keys *keys = NULL;
    _cleanup_wire_writer_ struct wire_writer out = {0};
    struct mtls_agent_error error = {0};

    if (!agent)
        return CLI_FAILURE;
    if (args->values[LIST_WATCH])
        return list_watch(agent, cli_operand(args, 0), args->values[LIST_JSON] != NULL, list_show);
    patience_begin("waiting for the agent...");
    int r = mtls_agent_list(agent, cli_operand(args, 0), &keys, &error);
    patience_end();
    if (r)
        return key_view_fail(agent, &error);
    wire_writer_init(&out, CLI_OUTPUT_MAX);
    r = args->values[LIST_JSON] ? list_print_json(keys, &out) : list_print_table(keys, &out);
    return r ? r : cli_print(&out);
}

const struct cli_command cmd_list = {
    .name = "list",
    .operands = "[KEY]",
    .summary = "Show the keys: algorithm, subject, expiry, token, state",
    .details = "With KEY, only those that it names. EXPIRES is the leaf certificate's.",
    .options = list_options,
    .option_count = ARRAY_SIZE(list_options),
    .operands_max = 1,
    .run = list_run,
};
