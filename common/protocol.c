/* SPDX-License-Identifier: Apache-2.0 */
/* Client protocol messages, both halves of each side by side; see protocol.h. */
#include "common/protocol.h"

#include <string.h>

int protocol_hello_encode(struct wire_writer *writer, const struct protocol_hello *msg)
{
    size_t mark = wire_begin_frame(writer, PROTOCOL_HELLO);

    wire_put_u32(writer, msg->version_min);
    wire_put_u32(writer, msg->version_max);
    wire_put_string(writer, msg->client_name);
    return wire_end_frame(writer, mark);
}

int protocol_hello_parse(struct wire_span body, struct protocol_hello *ret_msg)
{
    struct wire_reader reader;
    struct protocol_hello msg = {0};

    wire_reader_init(&reader, body);
    msg.version_min = wire_get_u32(&reader);
    msg.version_max = wire_get_u32(&reader);
    msg.client_name = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    if (wire_reader_finish(&reader) || msg.version_min > msg.version_max)
        return WIRE_E_MALFORMED;
    *ret_msg = msg;
    return 0;
}

int protocol_hello_reply_encode(struct wire_writer *writer, const struct protocol_hello_reply *msg)
{
    size_t mark = wire_begin_frame(writer, PROTOCOL_HELLO_REPLY);

    wire_put_u32(writer, msg->version);
    wire_put_string(writer, msg->agent_version);
    return wire_end_frame(writer, mark);
}

int protocol_hello_reply_parse(struct wire_span body, struct protocol_hello_reply *ret_msg)
{
    struct wire_reader reader;
    struct protocol_hello_reply msg = {0};

    wire_reader_init(&reader, body);
    msg.version = wire_get_u32(&reader);
    msg.agent_version = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;
    *ret_msg = msg;
    return 0;
}

int protocol_list_encode(struct wire_writer *writer, const struct protocol_list *msg)
{
    size_t mark = wire_begin_frame(writer, PROTOCOL_LIST);

    wire_put_u32(writer, msg->id);
    wire_put_u32(writer, msg->start);
    wire_put_string(writer, msg->selector);
    return wire_end_frame(writer, mark);
}

int protocol_list_parse(struct wire_span body, struct protocol_list *ret_msg)
{
    struct wire_reader reader;
    struct protocol_list msg = {0};

    wire_reader_init(&reader, body);
    msg.id = wire_get_u32(&reader);
    msg.start = wire_get_u32(&reader);
    msg.selector = wire_get_text(&reader, PROTOCOL_SELECTOR_MAX);
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;
    *ret_msg = msg;
    return 0;
}

static void protocol_key_put(struct wire_writer *writer, const struct protocol_key *key)
{
    size_t mark = wire_begin_string(writer);

    wire_put_string(writer, key->name);
    wire_put_string(writer, key->key_hash);
    wire_put_u32(writer, key->type);
    wire_put_u32(writer, key->bits);
    wire_put_u32(writer, key->state);
    wire_put_u32(writer, key->policy);
    wire_put_bool(writer, key->always_authenticate);
    wire_put_string(writer, key->label);
    wire_put_string(writer, key->ck_id);
    wire_put_string(writer, key->token_label);
    wire_put_string(writer, key->token_serial);
    wire_put_string(writer, key->module);
    wire_put_string(writer, key->spki);
    wire_put_u32(writer, (uint32_t)key->scheme_count);
    for (size_t i = 0; i < key->scheme_count; i++)
        wire_put_u32(writer, key->schemes[i]);
    wire_put_u32(writer, (uint32_t)key->cert_count);
    for (size_t i = 0; i < key->cert_count; i++)
        wire_put_string(writer, key->certs[i]);
    wire_end_string(writer, mark);
}

/* The two counted lists at the end of a key. */
static void protocol_key_get_lists(struct wire_reader *reader, struct protocol_key *key)
{
    uint32_t scheme_count = wire_get_u32(reader);

    if (scheme_count > SCHEMES_MAX) {
        reader->failed = true;
        return;
    }
    for (uint32_t i = 0; i < scheme_count; i++)
        key->schemes[i] = wire_get_u32(reader);
    key->scheme_count = scheme_count;

    uint32_t cert_count = wire_get_u32(reader);
    if (cert_count > PROTOCOL_CERTS_MAX) {
        reader->failed = true;
        return;
    }
    for (uint32_t i = 0; i < cert_count; i++)
        key->certs[i] = wire_get_string(reader, PROTOCOL_DER_MAX);
    key->cert_count = cert_count;
}

static bool protocol_value_is_in(uint32_t value, uint32_t first, uint32_t last)
{
    return value >= first && value <= last;
}

static int protocol_key_parse(struct wire_span bytes, struct protocol_key *ret_key)
{
    struct wire_reader reader;
    struct protocol_key key = {0};

    wire_reader_init(&reader, bytes);
    key.name = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    key.key_hash = wire_get_fixed(&reader, PROTOCOL_KEY_HASH_LEN);
    uint32_t type = wire_get_u32(&reader);
    key.bits = wire_get_u32(&reader);
    uint32_t state = wire_get_u32(&reader);
    uint32_t policy = wire_get_u32(&reader);
    key.always_authenticate = wire_get_bool(&reader);
    key.label = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    key.ck_id = wire_get_string(&reader, PROTOCOL_ID_MAX);
    key.token_label = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    key.token_serial = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    key.module = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    key.spki = wire_get_string(&reader, PROTOCOL_DER_MAX);
    protocol_key_get_lists(&reader, &key);
    if (wire_reader_finish(&reader) ||
        !protocol_value_is_in(type, KEY_TYPE_RSA, KEY_TYPE_ED25519) ||
        !protocol_value_is_in(state, KEY_STATE_READY, KEY_STATE_ABSENT) ||
        !protocol_value_is_in(policy, KEY_POLICY_TLS, KEY_POLICY_DIGEST))
        return WIRE_E_MALFORMED;
    key.type = (enum key_type)type;
    key.state = (enum key_state)state;
    key.policy = (enum key_policy)policy;
    *ret_key = key;
    return 0;
}

/* Bytes of one list entry beside its strings' content: generous. */
#define PROTOCOL_KEY_OVERHEAD 256u

_Static_assert(PROTOCOL_DER_MAX < WIRE_FRAME_MAX / 2, "a certificate fits a frame");

struct protocol_list_reply_mark protocol_list_reply_begin(struct wire_writer *writer, uint32_t id,
                                                          uint32_t total)
{
    struct protocol_list_reply_mark mark = {.frame = wire_begin_frame(writer, PROTOCOL_LIST_REPLY)};

    wire_put_u32(writer, id);
    wire_put_u32(writer, total);
    mark.next = writer->len;
    wire_put_u32(writer, 0);
    mark.count = writer->len;
    wire_put_u32(writer, 0);
    mark.keys = wire_begin_string(writer);
    return mark;
}

static size_t protocol_key_size_bound(const struct protocol_key *key)
{
    size_t size = PROTOCOL_KEY_OVERHEAD + key->name.len + key->label.len + key->ck_id.len +
                  key->token_label.len + key->token_serial.len + key->module.len + key->spki.len;

    for (size_t i = 0; i < key->cert_count; i++)
        size += 4 + key->certs[i].len;
    return size;
}

bool protocol_list_reply_add(struct wire_writer *writer,
                             const struct protocol_list_reply_mark *mark,
                             const struct protocol_key *key)
{
    size_t used = writer->len - mark->frame;
    size_t need = protocol_key_size_bound(key);

    if (need > WIRE_FRAME_MAX - used)
        return false;
    protocol_key_put(writer, key);
    return true;
}

static void protocol_patch_u32(struct wire_writer *writer, size_t at, uint32_t value)
{
    if (writer->failed)
        return;
    writer->data[at] = (uint8_t)(value >> 24);
    writer->data[at + 1] = (uint8_t)(value >> 16);
    writer->data[at + 2] = (uint8_t)(value >> 8);
    writer->data[at + 3] = (uint8_t)value;
}

int protocol_list_reply_end(struct wire_writer *writer, const struct protocol_list_reply_mark *mark,
                            uint32_t key_count, uint32_t next)
{
    protocol_patch_u32(writer, mark->next, next);
    protocol_patch_u32(writer, mark->count, key_count);
    wire_end_string(writer, mark->keys);
    return wire_end_frame(writer, mark->frame);
}

int protocol_list_reply_parse(struct wire_span body, struct protocol_list_reply *ret_msg)
{
    struct wire_reader reader;
    struct protocol_list_reply msg = {0};
    uint32_t found = 0;

    wire_reader_init(&reader, body);
    msg.id = wire_get_u32(&reader);
    msg.total = wire_get_u32(&reader);
    msg.next = wire_get_u32(&reader);
    msg.key_count = wire_get_u32(&reader);
    msg.keys = wire_get_string(&reader, WIRE_FRAME_MAX);
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;

    struct wire_reader keys;
    wire_reader_init(&keys, msg.keys);
    while (keys.left > 0 && !keys.failed) {
        struct protocol_key key;
        struct wire_span entry = wire_get_string(&keys, WIRE_FRAME_MAX);
        if (keys.failed || protocol_key_parse(entry, &key))
            return WIRE_E_MALFORMED;
        found++;
    }
    if (found != msg.key_count)
        return WIRE_E_MALFORMED;
    *ret_msg = msg;
    return 0;
}

/* Takes one nested entry off the front of @list; false when none is left. */
static bool protocol_take_entry(struct wire_span *list, struct wire_span *ret_entry)
{
    struct wire_reader reader;

    if (list->len == 0)
        return false;
    wire_reader_init(&reader, *list);
    struct wire_span entry = wire_get_string(&reader, WIRE_FRAME_MAX);
    if (reader.failed)
        return false;
    *list = (struct wire_span){reader.at, reader.left};
    *ret_entry = entry;
    return true;
}

bool protocol_list_reply_next_key(struct wire_span *keys, struct protocol_key *ret_key)
{
    struct wire_span entry;

    return protocol_take_entry(keys, &entry) && protocol_key_parse(entry, ret_key) == 0;
}

int protocol_sign_encode(struct wire_writer *writer, const struct protocol_sign *msg)
{
    size_t mark = wire_begin_frame(writer, PROTOCOL_SIGN);

    wire_put_u32(writer, msg->id);
    wire_put_u32(writer, msg->deadline_ms);
    wire_put_string(writer, msg->key_hash);
    wire_put_u32(writer, msg->scheme);
    wire_put_u8(writer, msg->kind);
    wire_put_string(writer, msg->content);
    return wire_end_frame(writer, mark);
}

int protocol_sign_parse(struct wire_span body, struct protocol_sign *ret_msg)
{
    struct wire_reader reader;
    struct protocol_sign msg = {0};

    wire_reader_init(&reader, body);
    msg.id = wire_get_u32(&reader);
    msg.deadline_ms = wire_get_u32(&reader);
    msg.key_hash = wire_get_fixed(&reader, PROTOCOL_KEY_HASH_LEN);
    msg.scheme = wire_get_u32(&reader);
    msg.kind = wire_get_u8(&reader);
    msg.content = wire_get_string(&reader, WIRE_FRAME_MAX);
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;
    *ret_msg = msg;
    return 0;
}

int protocol_sign_reply_encode(struct wire_writer *writer, const struct protocol_sign_reply *msg)
{
    size_t mark = wire_begin_frame(writer, PROTOCOL_SIGN_REPLY);

    wire_put_u32(writer, msg->id);
    wire_put_string(writer, msg->signature);
    return wire_end_frame(writer, mark);
}

int protocol_sign_reply_parse(struct wire_span body, struct protocol_sign_reply *ret_msg)
{
    struct wire_reader reader;
    struct protocol_sign_reply msg = {0};

    wire_reader_init(&reader, body);
    msg.id = wire_get_u32(&reader);
    msg.signature = wire_get_string(&reader, PROTOCOL_SIGNATURE_MAX);
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;
    *ret_msg = msg;
    return 0;
}

int protocol_bare_encode(struct wire_writer *writer, uint8_t type, uint32_t id)
{
    size_t mark = wire_begin_frame(writer, type);

    wire_put_u32(writer, id);
    return wire_end_frame(writer, mark);
}

int protocol_bare_parse(struct wire_span body, uint32_t *ret_id)
{
    struct wire_reader reader;

    wire_reader_init(&reader, body);
    uint32_t id = wire_get_u32(&reader);
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;
    *ret_id = id;
    return 0;
}

static void protocol_status_module_put(struct wire_writer *writer,
                                       const struct protocol_status_module *module)
{
    wire_put_string(writer, module->name);
    wire_put_string(writer, module->path);
    wire_put_u32(writer, module->state);
    wire_put_u32(writer, module->workers);
    wire_put_u32(writer, module->restarts);
    wire_put_string(writer, module->text);
}

static int protocol_status_module_parse(struct wire_span bytes,
                                        struct protocol_status_module *ret_module)
{
    struct wire_reader reader;
    struct protocol_status_module module = {0};

    wire_reader_init(&reader, bytes);
    module.name = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    module.path = wire_get_text(&reader, PROTOCOL_SELECTOR_MAX);
    uint32_t state = wire_get_u32(&reader);
    module.workers = wire_get_u32(&reader);
    module.restarts = wire_get_u32(&reader);
    module.text = wire_get_text(&reader, PROTOCOL_TEXT_MAX);
    if (wire_reader_finish(&reader) ||
        !protocol_value_is_in(state, MODULE_STATE_STARTING, MODULE_STATE_FAILED))
        return WIRE_E_MALFORMED;
    module.state = (enum module_state)state;
    *ret_module = module;
    return 0;
}

static void protocol_status_token_put(struct wire_writer *writer,
                                      const struct protocol_status_token *token)
{
    wire_put_string(writer, token->label);
    wire_put_string(writer, token->serial);
    wire_put_string(writer, token->module);
    wire_put_u32(writer, token->state);
    wire_put_u32(writer, token->keys);
    wire_put_string(writer, token->text);
}

static int protocol_status_token_parse(struct wire_span bytes,
                                       struct protocol_status_token *ret_token)
{
    struct wire_reader reader;
    struct protocol_status_token token = {0};

    wire_reader_init(&reader, bytes);
    token.label = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    token.serial = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    token.module = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    uint32_t state = wire_get_u32(&reader);
    token.keys = wire_get_u32(&reader);
    token.text = wire_get_text(&reader, PROTOCOL_TEXT_MAX);
    if (wire_reader_finish(&reader) ||
        !protocol_value_is_in(state, TOKEN_STATE_READY, TOKEN_STATE_PIN_BLOCKED))
        return WIRE_E_MALFORMED;
    token.state = (enum token_state)state;
    *ret_token = token;
    return 0;
}

struct protocol_status_mark protocol_status_reply_begin(struct wire_writer *writer,
                                                        const struct protocol_status_reply *fixed)
{
    struct protocol_status_mark mark = {.frame = wire_begin_frame(writer, PROTOCOL_STATUS_REPLY)};

    wire_put_u32(writer, fixed->id);
    wire_put_string(writer, fixed->agent_version);
    wire_put_u32(writer, fixed->pid);
    wire_put_u64(writer, fixed->uptime_ms);
    wire_put_u64(writer, fixed->signatures);
    wire_put_u64(writer, fixed->refusals);
    wire_put_u64(writer, fixed->failures);
    wire_put_u32(writer, fixed->connections);
    wire_put_u32(writer, fixed->queued);
    wire_put_string(writer, fixed->config_text);
    mark.list = wire_begin_string(writer);
    return mark;
}

void protocol_status_reply_add_module(struct wire_writer *writer,
                                      const struct protocol_status_module *module)
{
    size_t mark = wire_begin_string(writer);

    protocol_status_module_put(writer, module);
    wire_end_string(writer, mark);
}

void protocol_status_reply_begin_tokens(struct wire_writer *writer,
                                        struct protocol_status_mark *mark)
{
    wire_end_string(writer, mark->list);
    mark->list = wire_begin_string(writer);
}

void protocol_status_reply_add_token(struct wire_writer *writer,
                                     const struct protocol_status_token *token)
{
    size_t mark = wire_begin_string(writer);

    protocol_status_token_put(writer, token);
    wire_end_string(writer, mark);
}

int protocol_status_reply_end(struct wire_writer *writer, const struct protocol_status_mark *mark)
{
    wire_end_string(writer, mark->list);
    return wire_end_frame(writer, mark->frame);
}

int protocol_status_reply_parse(struct wire_span body, struct protocol_status_reply *ret_msg)
{
    struct wire_reader reader;
    struct protocol_status_reply msg = {0};

    wire_reader_init(&reader, body);
    msg.id = wire_get_u32(&reader);
    msg.agent_version = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    msg.pid = wire_get_u32(&reader);
    msg.uptime_ms = wire_get_u64(&reader);
    msg.signatures = wire_get_u64(&reader);
    msg.refusals = wire_get_u64(&reader);
    msg.failures = wire_get_u64(&reader);
    msg.connections = wire_get_u32(&reader);
    msg.queued = wire_get_u32(&reader);
    msg.config_text = wire_get_text(&reader, PROTOCOL_TEXT_MAX);
    msg.modules = wire_get_string(&reader, WIRE_FRAME_MAX);
    msg.tokens = wire_get_string(&reader, WIRE_FRAME_MAX);
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;

    struct wire_span modules = msg.modules;
    struct protocol_status_module module;
    while (protocol_status_next_module(&modules, &module))
        continue;
    struct wire_span tokens = msg.tokens;
    struct protocol_status_token token;
    while (protocol_status_next_token(&tokens, &token))
        continue;
    if (modules.len > 0 || tokens.len > 0)
        return WIRE_E_MALFORMED;
    *ret_msg = msg;
    return 0;
}

bool protocol_status_next_module(struct wire_span *modules,
                                 struct protocol_status_module *ret_module)
{
    struct wire_span rest = *modules;
    struct wire_span entry;

    if (!protocol_take_entry(&rest, &entry) || protocol_status_module_parse(entry, ret_module))
        return false;
    *modules = rest;
    return true;
}

bool protocol_status_next_token(struct wire_span *tokens, struct protocol_status_token *ret_token)
{
    struct wire_span rest = *tokens;
    struct wire_span entry;

    if (!protocol_take_entry(&rest, &entry) || protocol_status_token_parse(entry, ret_token))
        return false;
    *tokens = rest;
    return true;
}

int protocol_subscribe_encode(struct wire_writer *writer, const struct protocol_subscribe *msg)
{
    size_t mark = wire_begin_frame(writer, PROTOCOL_SUBSCRIBE);

    wire_put_u32(writer, msg->id);
    wire_put_u32(writer, msg->mask);
    return wire_end_frame(writer, mark);
}

int protocol_subscribe_parse(struct wire_span body, struct protocol_subscribe *ret_msg)
{
    struct wire_reader reader;
    struct protocol_subscribe msg = {0};

    wire_reader_init(&reader, body);
    msg.id = wire_get_u32(&reader);
    msg.mask = wire_get_u32(&reader);
    if (wire_reader_finish(&reader) || msg.mask == 0 || (msg.mask & ~(uint32_t)EVENT_ALL) != 0)
        return WIRE_E_MALFORMED;
    *ret_msg = msg;
    return 0;
}

int protocol_event_encode(struct wire_writer *writer, const struct protocol_event *msg)
{
    size_t mark = wire_begin_frame(writer, PROTOCOL_EVENT);

    wire_put_u32(writer, msg->id);
    wire_put_u32(writer, msg->kind);
    wire_put_string(writer, msg->subject);
    wire_put_string(writer, msg->text);
    return wire_end_frame(writer, mark);
}

int protocol_event_parse(struct wire_span body, struct protocol_event *ret_msg)
{
    struct wire_reader reader;
    struct protocol_event msg = {0};

    wire_reader_init(&reader, body);
    msg.id = wire_get_u32(&reader);
    msg.kind = wire_get_u32(&reader);
    msg.subject = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    msg.text = wire_get_text(&reader, PROTOCOL_TEXT_MAX);
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;
    *ret_msg = msg;
    return 0;
}

int protocol_token_request_encode(struct wire_writer *writer, uint8_t type,
                                  const struct protocol_token_request *msg)
{
    size_t mark = wire_begin_frame(writer, type);

    wire_put_u32(writer, msg->id);
    wire_put_string(writer, msg->selector);
    return wire_end_frame(writer, mark);
}

int protocol_token_request_parse(struct wire_span body, struct protocol_token_request *ret_msg)
{
    struct wire_reader reader;
    struct protocol_token_request msg = {0};

    wire_reader_init(&reader, body);
    msg.id = wire_get_u32(&reader);
    msg.selector = wire_get_text(&reader, PROTOCOL_SELECTOR_MAX);
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;
    *ret_msg = msg;
    return 0;
}

int protocol_error_encode(struct wire_writer *writer, const struct protocol_error *msg)
{
    size_t mark = wire_begin_frame(writer, PROTOCOL_ERROR);

    wire_put_u32(writer, msg->id);
    wire_put_u32(writer, msg->code);
    wire_put_string(writer, msg->text);
    return wire_end_frame(writer, mark);
}

int protocol_error_parse(struct wire_span body, struct protocol_error *ret_msg)
{
    struct wire_reader reader;
    struct protocol_error msg = {0};

    wire_reader_init(&reader, body);
    msg.id = wire_get_u32(&reader);
    msg.code = wire_get_u32(&reader);
    msg.text = wire_get_text(&reader, PROTOCOL_TEXT_MAX);
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;
    *ret_msg = msg;
    return 0;
}

struct wire_span protocol_text(const char *text)
{
    struct wire_span span = wire_span_from_text(text);

    if (span.len <= PROTOCOL_TEXT_MAX)
        return span;
    span.len = PROTOCOL_TEXT_MAX;
    /* Bytes 10xxxxxx go on with a character (RFC 3629 section 3). */
    while (span.len > 0 && (span.data[span.len] & 0xc0) == 0x80)
        span.len--;
    return span;
}

const char *protocol_error_name(uint32_t code)
{
    static const char *const names[] = {
        [PROTOCOL_E_PROTO] = "protocol",      [PROTOCOL_E_VERSION] = "version",
        [PROTOCOL_E_POLICY] = "policy",       [PROTOCOL_E_NO_KEY] = "no-key",
        [PROTOCOL_E_AMBIGUOUS] = "ambiguous", [PROTOCOL_E_TOKEN_GONE] = "token-gone",
        [PROTOCOL_E_LOCKED] = "locked",       [PROTOCOL_E_PIN] = "pin",
        [PROTOCOL_E_BUSY] = "busy",           [PROTOCOL_E_TIMEOUT] = "timeout",
        [PROTOCOL_E_INTERNAL] = "internal",
    };

    if (code >= ARRAY_SIZE(names) || !names[code])
        return "unknown";
    return names[code];
}

const char *sign_kind_name(uint32_t kind)
{
    switch (kind) {
    case SIGN_KIND_TLS13:
        return "tls13";
    case SIGN_KIND_TLS12:
        return "tls12";
    case SIGN_KIND_DIGEST:
        return "digest";
    default:
        return NULL;
    }
}
