/* SPDX-License-Identifier: Apache-2.0 */
/* One signature from request to answer; see sign_request.h. */
#include "agent/sign_request.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/audit.h"
#include "agent/connection.h"
#include "agent/keyring.h"
#include "agent/module.h"
#include "agent/module_context.h"
#include "agent/pin_source.h"
#include "agent/policy.h"
#include "agent/remedy.h"
#include "agent/touch.h"
#include "common/clock.h"
#include "common/der_ecdsa.h"

#define SIGN_REQUEST_MOVES_MAX 4u /* between modules that have the same key */

static void sign_request_audit(const struct sign_request *request, uint32_t code,
                               const char *reason)
{
    const struct audit_record record = {
        .peer = request->peer,
        .key_name = request->key_name,
        .key_hash = request->key_hash,
        .kind = request->kind,
        .scheme = request->scheme->name,
        .error_code = request->is_answered ? (uint32_t)PROTOCOL_E_TIMEOUT : code,
        .reason = request->is_answered ? "the client's time was over" : reason,
        .taken_us = clock_monotonic_us() - request->received_us,
        .client_is_gone = request->request.connection == NULL && !request->is_answered,
    };

    audit_write(request->agent->audit, &record);
}

static void sign_request_free(struct sign_request *request)
{
    touch_end(request);
    module_context_end(request);
    connection_remove_request(&request->request);
    list_remove(&request->link);
    hold_end(request);
    (void)pin_source_free(request->pin_source);
    (void)peer_unref(request->peer);
    free(request->key_name);
    free(request->token_label);
    free(request->token_serial);
    free(request->message);
    free(request);
}

int sign_request_set_token(struct sign_request *request, const struct worker_token *token)
{
    char *label = wire_span_to_text(token->label);
    char *serial = wire_span_to_text(token->serial);

    if (!label || !serial) {
        free(label);
        free(serial);
        return -ENOMEM;
    }
    free(request->token_label);
    free(request->token_serial);
    request->token_label = label;
    request->token_serial = serial;
    return 0;
}

struct worker_token sign_request_get_token(const struct sign_request *request)
{
    return (struct worker_token){.label = wire_span_from_text(request->token_label),
                                 .serial = wire_span_from_text(request->token_serial)};
}

struct wire_span sign_request_get_data(const struct sign_request *request)
{
    return (struct wire_span){request->message ? request->message : request->digest,
                              request->data_len};
}

/* A worker is not believed: what it calls a signature has the form of one, or nothing is sent. */
static bool sign_request_has_form(const struct sign_request *request, struct wire_span signature)
{
    uint8_t raw[DER_ECDSA_RAW_MAX];
    size_t raw_len = 0;

    switch (request->scheme->key_type) {
    case KEY_TYPE_ED25519:
        return signature.len == 64;
    case KEY_TYPE_EC:
        return der_ecdsa_to_raw(request->key_bits, signature, raw, &raw_len) == 0;
    case KEY_TYPE_RSA:
    case KEY_TYPE_RSA_PSS:
        return signature.len == (request->key_bits + 7) / 8;
    }
    return false;
}

void sign_request_succeed(struct sign_request *request, struct wire_span signature)
{
    struct connection *connection = request->request.connection;
    const struct protocol_sign_reply reply = {request->request.id, signature};

    if (!sign_request_has_form(request, signature)) {
        sign_request_fail(request, PROTOCOL_E_INTERNAL,
                          "the token's process gave something that is not a signature; it was "
                          "withheld");
        return;
    }
    request->agent->counters.signatures++;
    sign_request_audit(request, 0, "");
    sign_request_free(request);
    if (!connection)
        return;
    if (protocol_sign_reply_encode(&connection->output, &reply))
        connection->is_closing = true; /* over its output cap: it does not read */
    connection_send(connection);
}

/* Every request that is not signed passes here, once. */
static void sign_request_count(struct agent *agent, enum protocol_error_code code,
                               const struct refusal_event *event)
{
    if (code != PROTOCOL_E_POLICY) {
        agent->counters.failures++;
        return;
    }
    agent->counters.refusals++;
    refusals_note(&agent->refusals, event, clock_monotonic_ms());
}

void sign_request_fail(struct sign_request *request, enum protocol_error_code code,
                       const char *text)
{
    struct connection *connection = request->request.connection;
    uint32_t id = request->request.id;

    const struct refusal_event event = {request->peer, request->key_name, request->key_hash,
                                        request->kind, text};

    if (!request->is_answered)
        sign_request_count(request->agent, code, &event);
    sign_request_audit(request, code, text);
    sign_request_free(request);
    if (connection)
        connection_send_error(connection, id, code, text);
}

void sign_request_expire(struct sign_request *request)
{
    struct connection *connection = request->request.connection;
    uint32_t id = request->request.id;
    char text[PROTOCOL_TEXT_MAX];

    if (hold_is_held(request)) {
        (void)snprintf(text, sizeof(text), "the client's time was over: %.900s",
                       request->hold.text);
        sign_request_fail(request, PROTOCOL_E_TIMEOUT, text);
        return;
    }
    if (!request->is_with_worker) {
        if (fair_item_is_queued(&request->item))
            module_forget(request->module, request);
        sign_request_fail(request, PROTOCOL_E_TIMEOUT,
                          request->waits_for_pin
                              ? "the token's PIN was not given within the time that the client gave"
                              : "the token was not free within the time that the client gave");
        return;
    }
    /* Nobody waits for it any more: it is audited as what becomes of it. */
    if (!connection)
        return;
    request->is_answered = true;
    request->agent->counters.failures++;
    connection_remove_request(&request->request);
    connection_send_error(connection, id, PROTOCOL_E_TIMEOUT,
                          "the token did not answer within the time that the client gave");
}

/* The client left. What no worker has yet is never shown to the token. */
static void sign_request_cancel(struct request *base)
{
    struct sign_request *request = list_entry(base, struct sign_request, request);

    if (fair_item_is_queued(&request->item) || request->waits_for_pin) {
        if (!request->waits_for_pin)
            module_forget(request->module, request);
        sign_request_free(request);
        return;
    }
    if (hold_is_held(request)) {
        sign_request_free(request);
        return;
    }
    request->item.line = NULL;
}

void sign_request_enqueue(struct sign_request *request, struct module *module)
{
    struct fair_line *line = fair_line_get(&request->request.connection->lines, module);

    if (!line) {
        sign_request_fail(request, PROTOCOL_E_INTERNAL, "the agent is out of memory");
        return;
    }
    hold_end(request);
    if (request->pin_module != module)
        module_context_drop(request);
    request->module = module;
    request->attempts = 0;
    module_enqueue(module, line, request);
}

bool sign_request_move(struct sign_request *request)
{
    const struct keyring_key *key =
        keyring_find_ready(request->agent->keyring, request->key_hash, request->module);

    if (!key || !request->request.connection || request->is_answered ||
        request->moves == SIGN_REQUEST_MOVES_MAX)
        return false;
    request->moves++;
    sign_request_enqueue(request, key->module);
    return true;
}

void sign_request_give_back(struct sign_request *request, enum protocol_error_code code,
                            const char *text)
{
    if (sign_request_move(request))
        return;
    const struct keyring_key *key = keyring_find(request->agent->keyring, request->key_hash);
    if (!key || !hold_begin(request, key, &code, &text))
        sign_request_fail(request, code, text);
}

/* Answers a request that never came to be: refused, unknown, no room. */
static void sign_request_refuse(struct connection *connection, const struct protocol_sign *message,
                                const struct keyring_key *key, enum protocol_error_code code,
                                const char *text)
{
    const struct scheme *scheme = scheme_find(message->scheme);
    const struct audit_record record = {
        .peer = connection->peer,
        .key_name = key ? key->name : "",
        .key_hash = message->key_hash.data,
        .kind = message->kind,
        .scheme = scheme ? scheme->name : "unknown",
        .error_code = code,
        .reason = text,
    };
    const struct refusal_event event = {connection->peer, record.key_name, record.key_hash,
                                        message->kind, text};

    sign_request_count(connection->agent, code, &event);
    audit_write(connection->agent->audit, &record);
    connection_send_error(connection, message->id, code, text);
}

static void sign_request_refuse_unknown(struct connection *connection,
                                        const struct protocol_sign *message)
{
    agent_look_again(connection->agent);
    sign_request_refuse(connection, message, NULL, PROTOCOL_E_NO_KEY,
                        "the agent has no such key; `mtls list` shows those it has");
}

/* The digest, or a copy of the message where the scheme takes it whole. */
static int sign_request_take_content(struct sign_request *request,
                                     const struct protocol_sign *message)
{
    if (request->scheme->hash == HASH_NONE) {
        request->message = malloc(message->content.len > 0 ? message->content.len : 1);
        if (!request->message)
            return -ENOMEM;
        if (message->content.len > 0)
            memcpy(request->message, message->content.data, message->content.len);
        request->data_len = message->content.len;
        return 0;
    }
    request->data_len = hash_len(request->scheme->hash);
    if (message->kind == SIGN_KIND_DIGEST) {
        memcpy(request->digest, message->content.data, request->data_len);
        return 0;
    }
    return digester_hash(request->agent->digester, request->scheme->hash, message->content,
                         request->digest);
}

static uint64_t sign_request_deadline(const struct protocol_sign *message, uint64_t now_us)
{
    uint32_t wanted_ms = message->deadline_ms;

    if (wanted_ms == 0 || wanted_ms > SIGN_REQUEST_DEADLINE_MS)
        wanted_ms = SIGN_REQUEST_DEADLINE_MS;
    return now_us / 1000 + wanted_ms;
}

static int sign_request_new(struct connection *connection, const struct protocol_sign *message,
                            const struct keyring_key *key, struct sign_request **ret_request)
{
    struct sign_request *request = calloc(1, sizeof(*request));

    if (!request)
        return -ENOMEM;
    list_init(&request->request.link);
    list_init(&request->link);
    list_init(&request->pin_link);
    fair_item_init(&request->item);
    request->agent = connection->agent;
    request->module = key->module;
    request->peer = peer_ref(connection->peer);
    request->scheme = scheme_find(message->scheme);
    request->kind = message->kind;
    request->received_us = clock_monotonic_us();
    request->deadline_ms = sign_request_deadline(message, request->received_us);
    request->key_bits = key->key->info.bits;
    memcpy(request->key_hash, key->hash, PROTOCOL_KEY_HASH_LEN);
    request->key_name = strdup(key->name);
    int r = request->key_name ? sign_request_set_token(request, key->token) : -ENOMEM;
    if (!r)
        r = sign_request_take_content(request, message);
    if (r) {
        sign_request_free(request);
        return r;
    }
    *ret_request = request;
    return 0;
}

/* Whether it may be signed at all, and now. 0, or the code to answer with. */
static enum protocol_error_code sign_request_check(const struct connection *connection,
                                                   const struct protocol_sign *message,
                                                   const struct keyring_key *key,
                                                   const char **ret_text)
{
    const struct worker_key *info = &key->key->info;
    uint32_t schemes[SCHEMES_MAX];
    /* A key that is not there just now is judged by what it could do when it was. */
    size_t scheme_count = module_list_schemes(key->module, key->hash, schemes);
    const struct policy_question question = {
        .peer_is_served = agent_serves(connection->agent, connection->peer),
        .key_policy = keyring_key_policy(key),
        .key_type = info->type,
        .key_bits = info->bits,
        .schemes = scheme_count > 0 ? schemes : info->schemes,
        .scheme_count = scheme_count > 0 ? scheme_count : info->scheme_count,
        .kind = message->kind,
        .scheme = message->scheme,
        .content = message->content,
    };
    const char *reason = NULL;
    static char text[PROTOCOL_TEXT_MAX];

    enum policy_decision decision = policy_decide(&question, &reason);
    if (decision == POLICY_ALLOW)
        return module_admit(key->module, key, ret_text);
    char sentence[512];
    (void)snprintf(sentence, sizeof(sentence), "refused to sign: %s", reason);
    if (decision == POLICY_REFUSE_DIGEST)
        remedy_for_digest(connection->agent->keyring, key, sentence, text);
    else
        (void)snprintf(text, sizeof(text), "%s", sentence);
    *ret_text = text;
    return PROTOCOL_E_POLICY;
}

int sign_request_start(struct connection *connection, const struct protocol_sign *message)
{
    const struct keyring_key *key =
        keyring_find(connection->agent->keyring, message->key_hash.data);
    struct sign_request *request = NULL;
    const char *text = NULL;

    if (!key) {
        sign_request_refuse_unknown(connection, message);
        return 0;
    }
    enum protocol_error_code code = sign_request_check(connection, message, key, &text);
    if (code == PROTOCOL_E_TOKEN_GONE)
        agent_look_again(connection->agent);
    if (code && code != PROTOCOL_E_TOKEN_GONE && code != PROTOCOL_E_LOCKED) {
        sign_request_refuse(connection, message, key, code, text);
        return 0;
    }
    int r = sign_request_new(connection, message, key, &request);
    if (r)
        return r;
    connection_add_request(connection, &request->request, message->id, sign_request_cancel);
    list_append(&request->agent->sign_requests, &request->link);
    agent_watch(request->agent);
    if (code == 0)
        sign_request_enqueue(request, key->module);
    else if (!hold_begin(request, key, &code, &text))
        sign_request_fail(request, code, text);
    return 0;
}
