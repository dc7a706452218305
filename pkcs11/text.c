/* SPDX-License-Identifier: Apache-2.0 */
/* Text from modules; see text.h. */
#include "pkcs11/text.h"

#include <string.h>

#include "common/utf8.h"

#define TEXT_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

size_t text_clean(struct wire_span raw, char *out, size_t size)
{
    size_t filled = 0;

    for (size_t at = 0; at < raw.len && raw.data[at] != '\0';) {
        uint32_t code = 0;
        size_t used = utf8_decode(raw.data + at, raw.len - at, &code);
        const void *piece = used > 0 ? (const void *)(raw.data + at) : TEXT_REPLACEMENT;
        size_t len = used > 0 ? used : sizeof(TEXT_REPLACEMENT) - 1;

        if (len > size - filled)
            break;
        memcpy(out + filled, piece, len);
        filled += len;
        at += used > 0 ? used : 1;
    }
    return filled;
}

void text_set(struct text *text, struct wire_span raw)
{
    text->len = text_clean(raw, text->data, sizeof(text->data));
}

void text_set_padded(struct text *text, const unsigned char *field, size_t len)
{
    while (len > 0 && (field[len - 1] == ' ' || field[len - 1] == '\0'))
        len--;
    text_set(text, (struct wire_span){field, len});
}
