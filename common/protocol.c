/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client protocol messages, both halves of each side by side; see protocol.h. The two replies that
 * hold lists of entries are in protocol_lists.c.
 */
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
    bool is_one_bit = msg.kind != 0 && (msg.kind & (msg.kind - 1)) == 0;
    if (wire_reader_finish(&reader) || !is_one_bit || (msg.kind & ~(uint32_t)EVENT_ALL) != 0)
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

int protocol_set_pin_encode(struct wire_writer *writer, const struct protocol_set_pin *msg)
{
    size_t mark = wire_begin_frame(writer, PROTOCOL_SET_PIN);

    wire_put_u32(writer, msg->id);
    wire_put_string(writer, msg->selector);
    wire_put_u8(writer, (uint8_t)msg->change);
    return wire_end_frame(writer, mark);
}

int protocol_set_pin_parse(struct wire_span body, struct protocol_set_pin *ret_msg)
{
    struct wire_reader reader;
    struct protocol_set_pin msg = {0};

    wire_reader_init(&reader, body);
    msg.id = wire_get_u32(&reader);
    msg.selector = wire_get_text(&reader, PROTOCOL_SELECTOR_MAX);
    uint8_t change = wire_get_u8(&reader);
    if (wire_reader_finish(&reader) || change < PIN_CHANGE_CHANGE || change > PIN_CHANGE_UNBLOCK)
        return WIRE_E_MALFORMED;
    msg.change = (enum pin_change)change;
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
