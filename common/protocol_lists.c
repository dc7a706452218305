/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LIST_REPLY with its keys, STATUS_REPLY with its modules, tokens and refusals: the two messages
 * whose fields hold entries of several fields; see protocol.h.
 */
#include "common/protocol.h"

static bool protocol_value_is_in(uint32_t value, uint32_t first, uint32_t last)
{
    return value >= first && value <= last;
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

int protocol_list_reply_end(struct wire_writer *writer, const struct protocol_list_reply_mark *mark,
                            uint32_t key_count, uint32_t next)
{
    wire_patch_u32(writer, mark->next, next);
    wire_patch_u32(writer, mark->count, key_count);
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

bool protocol_list_reply_next_key(struct wire_span *keys, struct protocol_key *ret_key)
{
    struct wire_span entry;

    return protocol_take_entry(keys, &entry) && protocol_key_parse(entry, ret_key) == 0;
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
        !protocol_value_is_in(state, MODULE_STATE_STARTING, MODULE_STATE_RELEASED))
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

static void protocol_status_refusal_put(struct wire_writer *writer,
                                        const struct protocol_status_refusal *refusal)
{
    wire_put_u64(writer, refusal->age_ms);
    wire_put_u32(writer, refusal->count);
    wire_put_u32(writer, refusal->uid);
    wire_put_u32(writer, refusal->pid);
    wire_put_string(writer, refusal->program);
    wire_put_string(writer, refusal->key);
    wire_put_u8(writer, refusal->kind);
    wire_put_string(writer, refusal->text);
}

static int protocol_status_refusal_parse(struct wire_span bytes,
                                         struct protocol_status_refusal *ret_refusal)
{
    struct wire_reader reader;
    struct protocol_status_refusal refusal = {0};

    wire_reader_init(&reader, bytes);
    refusal.age_ms = wire_get_u64(&reader);
    refusal.count = wire_get_u32(&reader);
    refusal.uid = wire_get_u32(&reader);
    refusal.pid = wire_get_u32(&reader);
    refusal.program = wire_get_text(&reader, PROTOCOL_SELECTOR_MAX);
    refusal.key = wire_get_text(&reader, PROTOCOL_NAME_MAX);
    refusal.kind = wire_get_u8(&reader);
    refusal.text = wire_get_text(&reader, PROTOCOL_TEXT_MAX);
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;
    *ret_refusal = refusal;
    return 0;
}

static void protocol_status_reader_put(struct wire_writer *writer,
                                       const struct protocol_status_reader *reader)
{
    wire_put_string(writer, reader->name);
    wire_put_u32(writer, reader->state);
    wire_put_string(writer, reader->text);
}

static int protocol_status_reader_parse(struct wire_span bytes,
                                        struct protocol_status_reader *ret_reader)
{
    struct wire_reader fields;
    struct protocol_status_reader reader = {0};

    wire_reader_init(&fields, bytes);
    reader.name = wire_get_text(&fields, PROTOCOL_NAME_MAX);
    uint32_t state = wire_get_u32(&fields);
    reader.text = wire_get_text(&fields, PROTOCOL_TEXT_MAX);
    if (wire_reader_finish(&fields) ||
        !protocol_value_is_in(state, READER_STATE_EMPTY, READER_STATE_UNAVAILABLE))
        return WIRE_E_MALFORMED;
    reader.state = (enum reader_state)state;
    *ret_reader = reader;
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

/* Bytes of all refusals and readers at most: their texts, and what stands around these. */
#define PROTOCOL_REFUSALS_LEN_MAX \
    (PROTOCOL_REFUSALS_MAX * (PROTOCOL_SELECTOR_MAX + PROTOCOL_NAME_MAX + PROTOCOL_TEXT_MAX + 64u))
#define PROTOCOL_READERS_LEN_MAX \
    (PROTOCOL_TEXT_MAX + PROTOCOL_READERS_MAX * (PROTOCOL_NAME_MAX + PROTOCOL_TEXT_MAX + 64u))
#define PROTOCOL_TOKEN_OVERHEAD 64u /* bytes of one token beside its texts: generous */

bool protocol_status_reply_add_token(struct wire_writer *writer,
                                     const struct protocol_status_mark *mark,
                                     const struct protocol_status_token *token)
{
    size_t used = writer->len - mark->frame + PROTOCOL_REFUSALS_LEN_MAX + PROTOCOL_READERS_LEN_MAX;
    size_t need = PROTOCOL_TOKEN_OVERHEAD + token->label.len + token->serial.len +
                  token->module.len + token->text.len;

    if (used > WIRE_FRAME_MAX || need > WIRE_FRAME_MAX - used)
        return false;
    size_t entry = wire_begin_string(writer);
    protocol_status_token_put(writer, token);
    wire_end_string(writer, entry);
    return true;
}

void protocol_status_reply_begin_refusals(struct wire_writer *writer,
                                          struct protocol_status_mark *mark)
{
    wire_end_string(writer, mark->list);
    mark->list = wire_begin_string(writer);
}

void protocol_status_reply_add_refusal(struct wire_writer *writer,
                                       const struct protocol_status_refusal *refusal)
{
    size_t mark = wire_begin_string(writer);

    protocol_status_refusal_put(writer, refusal);
    wire_end_string(writer, mark);
}

void protocol_status_reply_begin_readers(struct wire_writer *writer,
                                         struct protocol_status_mark *mark, struct wire_span text)
{
    wire_end_string(writer, mark->list);
    wire_put_string(writer, text);
    mark->list = wire_begin_string(writer);
}

void protocol_status_reply_add_reader(struct wire_writer *writer,
                                      const struct protocol_status_reader *reader)
{
    size_t mark = wire_begin_string(writer);

    protocol_status_reader_put(writer, reader);
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
    msg.recent_refusals = wire_get_string(&reader, WIRE_FRAME_MAX);
    msg.readers_text = wire_get_text(&reader, PROTOCOL_TEXT_MAX);
    msg.readers = wire_get_string(&reader, WIRE_FRAME_MAX);
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
    struct wire_span refusals = msg.recent_refusals;
    struct protocol_status_refusal refusal;
    size_t refusal_count = 0;
    while (protocol_status_next_refusal(&refusals, &refusal))
        refusal_count++;
    struct wire_span readers = msg.readers;
    struct protocol_status_reader a_reader;
    size_t reader_count = 0;
    while (protocol_status_next_reader(&readers, &a_reader))
        reader_count++;
    if (modules.len > 0 || tokens.len > 0 || refusals.len > 0 || readers.len > 0 ||
        refusal_count > PROTOCOL_REFUSALS_MAX || reader_count > PROTOCOL_READERS_MAX)
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

bool protocol_status_next_refusal(struct wire_span *refusals,
                                  struct protocol_status_refusal *ret_refusal)
{
    struct wire_span rest = *refusals;
    struct wire_span entry;

    if (!protocol_take_entry(&rest, &entry) || protocol_status_refusal_parse(entry, ret_refusal))
        return false;
    *refusals = rest;
    return true;
}

bool protocol_status_next_reader(struct wire_span *readers,
                                 struct protocol_status_reader *ret_reader)
{
    struct wire_span rest = *readers;
    struct wire_span entry;

    if (!protocol_take_entry(&rest, &entry) || protocol_status_reader_parse(entry, ret_reader))
        return false;
    *readers = rest;
    return true;
}
