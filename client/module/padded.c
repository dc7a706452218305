/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed-length texts; see padded.h. */
#include "client/module/padded.h"

#include <stdint.h>
#include <string.h>

#include "common/utf8.h"

void padded_fill(unsigned char *field, size_t size, const char *text)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t left = strlen(text);
    size_t len = 0;

    memset(field, ' ', size);
    while (left > 0) {
        uint32_t code = 0;
        size_t used = utf8_decode(at, left, &code);
        if (used == 0 || len + used > size)
            break;
        memcpy(field + len, at, used);
        len += used;
        at += used;
        left -= used;
    }
}
