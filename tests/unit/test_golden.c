/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The golden frames of protocol version 1, for ever: each parses to the values that the manifest
 * states and encodes back to the same bytes. frames.py checks beside it that the bytes follow from
 * the manifest without this codec. The directory comes in $GOLDEN_DIR.
 */
#include <inttypes.h>
#include <string.h>

#include "golden_frames.h"
#include "message_table.h"
#include "unit.h"

/* The manifest's notation, one line per field. */
static void show_u32(FILE *out, const char *field, uint32_t value)
{
    (void)fprintf(out, "uint32 %s %" PRIu32 "\n", field, value);
}

static void show_u64(FILE *out, const char *field, uint64_t value)
{
    (void)fprintf(out, "uint64 %s %" PRIu64 "\n", field, value);
}

static void show_bool(FILE *out, const char *field, bool value)
{
    (void)fprintf(out, "boolean %s %s\n", field, value ? "true" : "false");
}

static void show_scheme(FILE *out, uint32_t scheme)
{
    (void)fprintf(out, "uint32 scheme 0x%04" PRIx32 "\n", scheme);
}

static void show_text(FILE *out, const char *field, struct wire_span text)
{
    (void)fprintf(out, "text %s \"%.*s\"\n", field, (int)text.len, (const char *)text.data);
}

static void show_bytes(FILE *out, const char *field, struct wire_span bytes)
{
    (void)fprintf(out, "bytes %s%s", field, bytes.len > 0 ? " " : "");
    for (size_t i = 0; i < bytes.len; i++)
        (void)fprintf(out, "%02x", bytes.data[i]);
    (void)fputc('\n', out);
}

static int show_hello(FILE *out, struct wire_span body)
{
    struct protocol_hello msg;

    if (protocol_hello_parse(body, &msg))
        return WIRE_E_MALFORMED;
    show_u32(out, "version_min", msg.version_min);
    show_u32(out, "version_max", msg.version_max);
    show_text(out, "client_name", msg.client_name);
    return 0;
}

static int show_hello_reply(FILE *out, struct wire_span body)
{
    struct protocol_hello_reply msg;

    if (protocol_hello_reply_parse(body, &msg))
        return WIRE_E_MALFORMED;
    show_u32(out, "version", msg.version);
    show_text(out, "agent_version", msg.agent_version);
    return 0;
}

static int show_list(FILE *out, struct wire_span body)
{
    struct protocol_list msg;

    if (protocol_list_parse(body, &msg))
        return WIRE_E_MALFORMED;
    show_u32(out, "id", msg.id);
    show_u32(out, "start", msg.start);
    show_text(out, "selector", msg.selector);
    return 0;
}

static void show_key(FILE *out, const struct protocol_key *key)
{
    (void)fputs("begin key\n", out);
    show_text(out, "name", key->name);
    show_bytes(out, "key_hash", key->key_hash);
    show_u32(out, "type", key->type);
    show_u32(out, "bits", key->bits);
    show_u32(out, "state", key->state);
    show_u32(out, "policy", key->policy);
    show_bool(out, "always_authenticate", key->always_authenticate);
    show_text(out, "label", key->label);
    show_bytes(out, "ck_id", key->ck_id);
    show_text(out, "token_label", key->token_label);
    show_text(out, "token_serial", key->token_serial);
    show_text(out, "module", key->module);
    show_bytes(out, "spki", key->spki);
    show_u32(out, "scheme_count", (uint32_t)key->scheme_count);
    for (size_t i = 0; i < key->scheme_count; i++)
        show_scheme(out, key->schemes[i]);
    show_u32(out, "cert_count", (uint32_t)key->cert_count);
    for (size_t i = 0; i < key->cert_count; i++)
        show_bytes(out, "cert", key->certs[i]);
    (void)fputs("end\n", out);
}

static int show_list_reply(FILE *out, struct wire_span body)
{
    struct protocol_list_reply msg;
    struct protocol_key key;

    if (protocol_list_reply_parse(body, &msg))
        return WIRE_E_MALFORMED;
    show_u32(out, "id", msg.id);
    show_u32(out, "total", msg.total);
    show_u32(out, "next", msg.next);
    show_u32(out, "key_count", msg.key_count);
    (void)fputs("begin keys\n", out);
    while (protocol_list_reply_next_key(&msg.keys, &key))
        show_key(out, &key);
    (void)fputs("end\n", out);
    return 0;
}

static int show_sign(FILE *out, struct wire_span body)
{
    struct protocol_sign msg;

    if (protocol_sign_parse(body, &msg))
        return WIRE_E_MALFORMED;
    show_u32(out, "id", msg.id);
    show_u32(out, "deadline_ms", msg.deadline_ms);
    show_bytes(out, "key_hash", msg.key_hash);
    show_scheme(out, msg.scheme);
    (void)fprintf(out, "byte kind %u\n", msg.kind);
    show_bytes(out, "content", msg.content);
    return 0;
}

static int show_sign_reply(FILE *out, struct wire_span body)
{
    struct protocol_sign_reply msg;

    if (protocol_sign_reply_parse(body, &msg))
        return WIRE_E_MALFORMED;
    show_u32(out, "id", msg.id);
    show_bytes(out, "signature", msg.signature);
    return 0;
}

static int show_bare(FILE *out, struct wire_span body)
{
    uint32_t id = 0;

    if (protocol_bare_parse(body, &id))
        return WIRE_E_MALFORMED;
    show_u32(out, "id", id);
    return 0;
}

static void show_status_module(FILE *out, const struct protocol_status_module *module)
{
    (void)fputs("begin module\n", out);
    show_text(out, "name", module->name);
    show_text(out, "path", module->path);
    show_u32(out, "state", module->state);
    show_u32(out, "workers", module->workers);
    show_u32(out, "restarts", module->restarts);
    show_text(out, "text", module->text);
    (void)fputs("end\n", out);
}

static void show_status_token(FILE *out, const struct protocol_status_token *token)
{
    (void)fputs("begin token\n", out);
    show_text(out, "label", token->label);
    show_text(out, "serial", token->serial);
    show_text(out, "module", token->module);
    show_u32(out, "state", token->state);
    show_u32(out, "keys", token->keys);
    show_text(out, "text", token->text);
    (void)fputs("end\n", out);
}

static void show_status_refusal(FILE *out, const struct protocol_status_refusal *refusal)
{
    (void)fputs("begin refusal\n", out);
    show_u64(out, "age_ms", refusal->age_ms);
    show_u32(out, "count", refusal->count);
    show_u32(out, "uid", refusal->uid);
    show_u32(out, "pid", refusal->pid);
    show_text(out, "program", refusal->program);
    show_text(out, "key", refusal->key);
    (void)fprintf(out, "byte kind %u\n", refusal->kind);
    show_text(out, "text", refusal->text);
    (void)fputs("end\n", out);
}

static void show_status_reader(FILE *out, const struct protocol_status_reader *reader)
{
    (void)fputs("begin reader\n", out);
    show_text(out, "name", reader->name);
    show_u32(out, "state", reader->state);
    show_text(out, "text", reader->text);
    (void)fputs("end\n", out);
}

static int show_status_reply(FILE *out, struct wire_span body)
{
    struct protocol_status_reply msg;
    struct protocol_status_module module;
    struct protocol_status_token token;
    struct protocol_status_refusal refusal;
    struct protocol_status_reader reader;

    if (protocol_status_reply_parse(body, &msg))
        return WIRE_E_MALFORMED;
    show_u32(out, "id", msg.id);
    show_text(out, "agent_version", msg.agent_version);
    show_u32(out, "pid", msg.pid);
    show_u64(out, "uptime_ms", msg.uptime_ms);
    show_u64(out, "signatures", msg.signatures);
    show_u64(out, "refusals", msg.refusals);
    show_u64(out, "failures", msg.failures);
    show_u32(out, "connections", msg.connections);
    show_u32(out, "queued", msg.queued);
    show_text(out, "config_text", msg.config_text);
    (void)fputs("begin modules\n", out);
    while (protocol_status_next_module(&msg.modules, &module))
        show_status_module(out, &module);
    (void)fputs("end\nbegin tokens\n", out);
    while (protocol_status_next_token(&msg.tokens, &token))
        show_status_token(out, &token);
    (void)fputs("end\nbegin recent_refusals\n", out);
    while (protocol_status_next_refusal(&msg.recent_refusals, &refusal))
        show_status_refusal(out, &refusal);
    (void)fputs("end\n", out);
    show_text(out, "readers_text", msg.readers_text);
    (void)fputs("begin readers\n", out);
    while (protocol_status_next_reader(&msg.readers, &reader))
        show_status_reader(out, &reader);
    (void)fputs("end\n", out);
    return 0;
}

static int show_subscribe(FILE *out, struct wire_span body)
{
    struct protocol_subscribe msg;

    if (protocol_subscribe_parse(body, &msg))
        return WIRE_E_MALFORMED;
    show_u32(out, "id", msg.id);
    show_u32(out, "mask", msg.mask);
    return 0;
}

static int show_token_request(FILE *out, struct wire_span body)
{
    struct protocol_token_request msg;

    if (protocol_token_request_parse(body, &msg))
        return WIRE_E_MALFORMED;
    show_u32(out, "id", msg.id);
    show_text(out, "selector", msg.selector);
    return 0;
}

static int show_event(FILE *out, struct wire_span body)
{
    struct protocol_event msg;

    if (protocol_event_parse(body, &msg))
        return WIRE_E_MALFORMED;
    show_u32(out, "id", msg.id);
    show_u32(out, "kind", msg.kind);
    show_text(out, "subject", msg.subject);
    show_text(out, "text", msg.text);
    return 0;
}

static int show_error(FILE *out, struct wire_span body)
{
    struct protocol_error msg;

    if (protocol_error_parse(body, &msg))
        return WIRE_E_MALFORMED;
    show_u32(out, "id", msg.id);
    show_u32(out, "code", msg.code);
    show_text(out, "text", msg.text);
    return 0;
}

static int show_set_pin(FILE *out, struct wire_span body)
{
    struct protocol_set_pin msg;

    if (protocol_set_pin_parse(body, &msg))
        return WIRE_E_MALFORMED;
    show_u32(out, "id", msg.id);
    show_text(out, "selector", msg.selector);
    (void)fprintf(out, "byte change %u\n", (unsigned int)msg.change);
    return 0;
}

static int (*const show_by_type[256])(FILE *out, struct wire_span body) = {
    [PROTOCOL_HELLO] = show_hello,
    [PROTOCOL_LIST] = show_list,
    [PROTOCOL_SIGN] = show_sign,
    [PROTOCOL_STATUS] = show_bare,
    [PROTOCOL_SUBSCRIBE] = show_subscribe,
    [PROTOCOL_UNLOCK] = show_token_request,
    [PROTOCOL_LOCK] = show_token_request,
    [PROTOCOL_SET_PIN] = show_set_pin,
    [PROTOCOL_HELLO_REPLY] = show_hello_reply,
    [PROTOCOL_LIST_REPLY] = show_list_reply,
    [PROTOCOL_SIGN_REPLY] = show_sign_reply,
    [PROTOCOL_STATUS_REPLY] = show_status_reply,
    [PROTOCOL_SUBSCRIBE_REPLY] = show_bare,
    [PROTOCOL_UNLOCK_REPLY] = show_bare,
    [PROTOCOL_LOCK_REPLY] = show_bare,
    [PROTOCOL_SET_PIN_REPLY] = show_bare,
    [PROTOCOL_EVENT] = show_event,
    [PROTOCOL_ERROR] = show_error,
};

static int setup_group(void **state)
{
    const char *dir = getenv("GOLDEN_DIR");
    struct golden_frames *frames = calloc(1, sizeof(*frames));

    *state = frames;
    if (!dir || !frames)
        return -1;
    return golden_frames_load(dir, frames);
}

static int teardown_group(void **state)
{
    if (*state)
        golden_frames_deinit(*state);
    free(*state);
    return 0;
}

static struct frame parse_frame(const struct golden_frame *golden)
{
    struct frame frame = {0};

    if (frame_parse((struct wire_span){golden->data, golden->len}, &frame))
        fail_msg("%s: no frame", golden->name);
    return frame;
}

static void test_frames_have_the_stated_type(void **state)
{
    const struct golden_frames *frames = *state;

    for (size_t i = 0; i < frames->count; i++)
        if (parse_frame(&frames->frames[i]).type != frames->frames[i].type)
            fail_msg("%s", frames->frames[i].name);
}

static void test_frames_parse_to_the_stated_values(void **state)
{
    const struct golden_frames *frames = *state;

    for (size_t i = 0; i < frames->count; i++) {
        struct frame frame = parse_frame(&frames->frames[i]);
        _cleanup_free_ char *shown = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&shown, &len);
        assert_non_null(out);
        int r = show_by_type[frame.type](out, frame.body);
        (void)fclose(out);
        if (r)
            fail_msg("%s does not parse", frames->frames[i].name);
        assert_string_equal(shown, frames->frames[i].fields);
    }
}

static void test_frames_encode_back_to_the_same_bytes(void **state)
{
    const struct golden_frames *frames = *state;

    for (size_t i = 0; i < frames->count; i++) {
        _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
        struct frame frame = parse_frame(&frames->frames[i]);
        const struct message_row *row =
            message_find(client_messages, client_message_count, frame.type);
        assert_non_null(row);
        wire_writer_init(&writer, WIRE_HEADER_LEN + WIRE_FRAME_MAX);
        assert_int_equal(row->recode(frame.body, frame.type, &writer), 0);
        assert_span_equal(((struct wire_span){writer.data, writer.len}),
                          ((struct wire_span){frames->frames[i].data, frames->frames[i].len}));
    }
}

static void test_frames_cover_every_message_type(void **state)
{
    const struct golden_frames *frames = *state;

    for (size_t row = 0; row < client_message_count; row++) {
        bool is_covered = false;
        for (size_t i = 0; i < frames->count; i++)
            is_covered = is_covered || frames->frames[i].type == client_messages[row].type;
        if (!is_covered)
            fail_msg("no golden frame of type %s", client_messages[row].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_have_the_stated_type),
        cmocka_unit_test(test_frames_parse_to_the_stated_values),
        cmocka_unit_test(test_frames_encode_back_to_the_same_bytes),
        cmocka_unit_test(test_frames_cover_every_message_type),
    };

    return cmocka_run_group_tests_name("golden", tests, setup_group, teardown_group);
}
