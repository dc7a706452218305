/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 as RFC 3629 section 4 has it; strict, no allocation. */
#include "common/utf8.h"

/* Length of the sequence that @first begins, and the smallest code point that may need it. */
static size_t utf8_sequence_len(uint8_t first, uint32_t *ret_min)
{
    if (first < 0x80) {
        *ret_min = 0;
        return 1;
    }
    if ((first & 0xe0) == 0xc0) {
        *ret_min = 0x80;
        return 2;
    }
    if ((first & 0xf0) == 0xe0) {
        *ret_min = 0x800;
        return 3;
    }
    if ((first & 0xf8) == 0xf0) {
        *ret_min = 0x10000;
        return 4;
    }
    return 0;
}

size_t utf8_decode(const uint8_t *data, size_t len, uint32_t *ret_code)
{
    static const uint8_t first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t min = 0;
    size_t need = utf8_sequence_len(data[0], &min);

    if (need == 0 || need > len)
        return 0;
    uint32_t code = data[0] & first_bits[need];
    for (size_t i = 1; i < need; i++) {
        if ((data[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (data[i] & 0x3f);
    }
    if (code < min || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *ret_code = code;
    return need;
}

bool utf8_is_valid_text(const uint8_t *data, size_t len)
{
    size_t at = 0;

    while (at < len) {
        uint32_t code = 0;
        size_t used = utf8_decode(data + at, len - at, &code);
        if (used == 0 || code == 0)
            return false;
        at += used;
    }
    return true;
}
