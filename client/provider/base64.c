/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 of PEM files; see base64.h. */
#include "client/provider/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct wire_writer *writer, struct wire_span bytes)
{
    size_t column = 0;

    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        if (left > 1)
            group |= (uint32_t)bytes.data[i + 1] << 8;
        if (left > 2)
            group |= bytes.data[i + 2];
        wire_put_u8(writer, (uint8_t)alphabet[group >> 18]);
        wire_put_u8(writer, (uint8_t)alphabet[group >> 12 & 63]);
        wire_put_u8(writer, left > 1 ? (uint8_t)alphabet[group >> 6 & 63] : '=');
        wire_put_u8(writer, left > 2 ? (uint8_t)alphabet[group & 63] : '=');
        column += 4;
        if (column == BASE64_LINE_LEN || left <= 3) {
            wire_put_u8(writer, '\n');
            column = 0;
        }
    }
}

/* The bytes of one whole group of four characters. */
static void base64_decode_group(struct wire_writer *writer, const char group[4])
{
    size_t padding = group[3] != '=' ? 0 : group[2] != '=' ? 1 : 2;
    uint32_t bits = 0;

    for (size_t i = 0; i < 4; i++) {
        const char *at = i < 4 - padding ? strchr(alphabet, group[i]) : alphabet;
        if (!at || *at == '\0') {
            writer->failed = true;
            return;
        }
        bits = bits << 6 | (uint32_t)(at - alphabet);
    }
    /* Bits that no byte takes must be zero: one text for one content. */
    if ((padding == 1 && bits & 0xff) || (padding == 2 && bits & 0xffff))
        writer->failed = true;
    wire_put_u8(writer, (uint8_t)(bits >> 16));
    if (padding < 2)
        wire_put_u8(writer, (uint8_t)(bits >> 8));
    if (padding < 1)
        wire_put_u8(writer, (uint8_t)bits);
}

void base64_decode(struct wire_writer *writer, struct wire_span text)
{
    char group[4];
    size_t held = 0;
    bool ended = false;

    for (size_t i = 0; i < text.len; i++) {
        char c = (char)text.data[i];
        if (c == '\n' || c == '\r')
            continue;
        if (ended || c == '\0')
            writer->failed = true;
        group[held++] = c;
        if (held < 4)
            continue;
        base64_decode_group(writer, group);
        ended = group[3] == '=';
        held = 0;
    }
    if (held > 0)
        writer->failed = true;
}
