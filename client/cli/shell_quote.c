/* SPDX-License-Identifier: Apache-2.0 */
/* Quoting for shells; see shell_quote.h. */
#include "client/cli/shell_quote.h"

#include <string.h>

#include "common/escape.h"

/* No shell gives any of these a meaning inside a word; ~ is not among them. */
static const char shell_plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789_./:,@+-";

void shell_quote(struct wire_writer *out, const char *text)
{
    if (*text && strspn(text, shell_plain) == strlen(text)) {
        escape_put_raw(out, text);
        return;
    }
    wire_put_u8(out, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            escape_put_raw(out, "'\\''");
        else
            wire_put_u8(out, (uint8_t)*text);
    }
    wire_put_u8(out, '\'');
}
