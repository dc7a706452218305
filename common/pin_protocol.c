/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between the core and ask-pin, both halves side by side; see pin_protocol.h. */
#include "common/pin_protocol.h"

#include <string.h>

int pin_ask_encode(struct wire_writer *writer, const struct pin_ask *msg)
{
    size_t mark = wire_begin_frame(writer, PIN_ASK);

    wire_put_u32(writer, msg->kind);
    wire_put_u32(writer, msg->timeout_ms);
    wire_put_string(writer, msg->argument);
    wire_put_string(writer, msg->refused);
    wire_put_string(writer, msg->ledger);
    wire_put_string(writer, msg->pinentry);
    wire_put_u32(writer, msg->client_pid);
    wire_put_string(writer, msg->text);
    wire_put_string(writer, msg->error);
    return wire_end_frame(writer, mark);
}

int pin_ask_parse(struct wire_span body, struct pin_ask *ret_msg)
{
    struct wire_reader reader;
    struct pin_ask msg = {0};

    wire_reader_init(&reader, body);
    uint32_t kind = wire_get_u32(&reader);
    msg.timeout_ms = wire_get_u32(&reader);
    msg.argument = wire_get_text(&reader, PIN_ARGUMENT_MAX);
    msg.refused = wire_get_text(&reader, PIN_IDENTITY_MAX);
    msg.ledger = wire_get_text(&reader, PIN_ARGUMENT_MAX);
    msg.pinentry = wire_get_text(&reader, PIN_ARGUMENT_MAX);
    msg.client_pid = wire_get_u32(&reader);
    msg.text = wire_get_text(&reader, PIN_PROMPT_MAX);
    msg.error = wire_get_text(&reader, PIN_PROMPT_MAX);
    if (wire_reader_finish(&reader) || kind < PIN_KIND_FILE || kind > PIN_KIND_PRESENCE ||
        msg.timeout_ms < 1 || msg.timeout_ms > PIN_TIMEOUT_MS_MAX)
        return WIRE_E_MALFORMED;
    msg.kind = (enum pin_kind)kind;
    *ret_msg = msg;
    return 0;
}

int pin_record_encode(struct wire_writer *writer, uint8_t type, const struct pin_record *msg)
{
    size_t mark = wire_begin_frame(writer, type);

    wire_put_string(writer, msg->token);
    wire_put_string(writer, msg->facts);
    wire_put_string(writer, msg->source);
    return wire_end_frame(writer, mark);
}

static bool pin_record_has(struct wire_span text, char unwanted)
{
    return text.len > 0 && memchr(text.data, unwanted, text.len);
}

int pin_record_parse(struct wire_span body, struct pin_record *ret_msg)
{
    struct wire_reader reader;
    struct pin_record msg = {0};

    wire_reader_init(&reader, body);
    msg.token = wire_get_text(&reader, PIN_RECORD_MAX);
    msg.facts = wire_get_text(&reader, PIN_RECORD_MAX);
    msg.source = wire_get_text(&reader, PIN_IDENTITY_MAX);
    if (wire_reader_finish(&reader) || pin_record_has(msg.token, ' ') ||
        pin_record_has(msg.token, '\n') || pin_record_has(msg.facts, '\n') ||
        pin_record_has(msg.source, '\n'))
        return WIRE_E_MALFORMED;
    *ret_msg = msg;
    return 0;
}

int pin_reply_encode(struct wire_writer *writer, const struct pin_reply *msg)
{
    size_t mark = wire_begin_frame(writer, PIN_ANSWER);

    wire_put_u32(writer, msg->answer);
    wire_put_string(writer, msg->source);
    wire_put_string(writer, msg->text);
    return wire_end_frame(writer, mark);
}

int pin_reply_parse(struct wire_span body, struct pin_reply *ret_msg)
{
    struct wire_reader reader;
    struct pin_reply msg = {0};

    wire_reader_init(&reader, body);
    uint32_t answer = wire_get_u32(&reader);
    msg.source = wire_get_text(&reader, PIN_IDENTITY_MAX);
    msg.text = wire_get_text(&reader, PROTOCOL_TEXT_MAX);
    if (wire_reader_finish(&reader) || answer > PIN_E_REFUSED)
        return WIRE_E_MALFORMED;
    msg.answer = (enum pin_answer)answer;
    *ret_msg = msg;
    return 0;
}

int pin_trouble_encode(struct wire_writer *writer, struct wire_span text)
{
    size_t mark = wire_begin_frame(writer, PIN_TROUBLE);

    wire_put_string(writer, text);
    return wire_end_frame(writer, mark);
}

int pin_trouble_parse(struct wire_span body, struct wire_span *ret_text)
{
    struct wire_reader reader;

    wire_reader_init(&reader, body);
    struct wire_span text = wire_get_text(&reader, PROTOCOL_TEXT_MAX);
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;
    *ret_text = text;
    return 0;
}
