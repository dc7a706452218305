/* SPDX-License-Identifier: Apache-2.0 */
/* Core-helper messages about readers, both halves of each side by side; see reader_protocol.h. */
#include "common/reader_protocol.h"

int reader_report_encode(struct wire_writer *writer, const struct reader_report *msg)
{
    size_t mark = wire_begin_frame(writer, READER_REPORT);

    wire_put_u32(writer, msg->service);
    wire_put_string(writer, msg->text);
    wire_put_u32(writer, (uint32_t)msg->reader_count);
    for (size_t i = 0; i < msg->reader_count; i++) {
        wire_put_string(writer, msg->readers[i].name);
        wire_put_u32(writer, msg->readers[i].state);
        wire_put_u32(writer, msg->readers[i].counter);
        wire_put_string(writer, msg->readers[i].users);
    }
    return wire_end_frame(writer, mark);
}

int reader_report_parse(struct wire_span body, struct reader_report *ret_msg)
{
    struct wire_reader reader;
    struct reader_report msg = {0};

    wire_reader_init(&reader, body);
    uint32_t service = wire_get_u32(&reader);
    msg.text = wire_get_text(&reader, PROTOCOL_TEXT_MAX);
    uint32_t count = wire_get_u32(&reader);
    if (count > READERS_MAX || service < READER_SERVICE_THERE || service > READER_SERVICE_FAILED)
        return WIRE_E_MALFORMED;
    for (uint32_t i = 0; i < count; i++) {
        msg.readers[i].name = wire_get_text(&reader, PROTOCOL_NAME_MAX);
        uint32_t state = wire_get_u32(&reader);
        msg.readers[i].counter = wire_get_u32(&reader);
        msg.readers[i].users = wire_get_text(&reader, PROTOCOL_TEXT_MAX / 2);
        if (state < READER_STATE_EMPTY || state > READER_STATE_UNAVAILABLE ||
            msg.readers[i].name.len == 0)
            return WIRE_E_MALFORMED;
        msg.readers[i].state = (enum reader_state)state;
    }
    if (wire_reader_finish(&reader))
        return WIRE_E_MALFORMED;
    msg.service = (enum reader_service)service;
    msg.reader_count = count;
    *ret_msg = msg;
    return 0;
}
