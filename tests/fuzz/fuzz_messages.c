/* SPDX-License-Identifier: Apache-2.0 */
/* Parse, encode, compare; see fuzz_messages.h. */
#include "fuzz_messages.h"

#include "fuzz.h"

void fuzz_message(const struct message_row *rows, size_t count, const uint8_t *data, size_t size)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
    struct frame frame;

    if (size < 1 || size > WIRE_FRAME_MAX)
        return;
    const struct message_row *row = message_find(rows, count, data[0]);
    if (!row)
        return;
    struct wire_span body = {data + 1, size - 1};
    wire_writer_init(&writer, 2 * WIRE_FRAME_MAX);
    int r = row->recode(body, data[0], &writer);
    /* Only a page of keys has a bound that is stricter for the encoder: it keeps room to spare. */
    if (r == WIRE_E_MALFORMED || (r == MESSAGE_E_ENCODE && size > WIRE_FRAME_MAX / 2))
        return;
    fuzz_check(r == 0);
    fuzz_check(frame_parse((struct wire_span){writer.data, writer.len}, &frame) == 0);
    fuzz_check(frame.type == data[0] && wire_span_is_equal(frame.body, body));
}
