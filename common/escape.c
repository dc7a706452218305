/* SPDX-License-Identifier: Apache-2.0 */
/* Escaping for logs, terminals and JSON; see escape.h. */
#include "common/escape.h"

#include <string.h>

#include "common/utf8.h"

/* Bidirectional controls, line and paragraph separators, zero-width characters: invisible or able
 * to reorder what a person reads. */
static bool escape_is_deceptive(uint32_t code)
{
    return (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2060 && code <= 0x206f) || code == 0xfeff || code == 0x061c || code == 0xad;
}

static bool escape_is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0x9f);
}

/* One unit of output for the text at @at: either the bytes themselves or an escape. */
static size_t escape_unit(const uint8_t *at, size_t left, char *unit, size_t unit_size,
                          size_t *ret_used)
{
    uint32_t code = 0;
    size_t used = utf8_decode(at, left, &code);

    *ret_used = used ? used : 1;
    if (used == 0)
        return (size_t)snprintf(unit, unit_size, "\\x%02x", at[0]);
    if (code == '\\')
        return (size_t)snprintf(unit, unit_size, "\\\\");
    if (escape_is_control(code) && code < 0x100)
        return (size_t)snprintf(unit, unit_size, "\\x%02x", (unsigned int)code);
    if (escape_is_deceptive(code))
        return (size_t)snprintf(unit, unit_size, "\\u{%x}", (unsigned int)code);
    memcpy(unit, at, used);
    return used;
}

/* How many bytes at the front stand for themselves; nearly all text is of these. */
static size_t escape_plain_run(const uint8_t *at, size_t left)
{
    size_t len = 0;

    while (len < left && at[len] >= 0x20 && at[len] < 0x7f && at[len] != '\\')
        len++;
    return len;
}

const char *escape_text(struct wire_span text, char *buffer, size_t size)
{
    static const char cut[] = "...";
    size_t len = 0;
    size_t cut_at = 0; /* the longest output so far that leaves room for the mark of a cut */
    size_t at = escape_plain_run(text.data, text.len);

    if (at < size) {
        if (at > 0)
            memcpy(buffer, text.data, at);
        len = at;
        cut_at = sizeof(cut) <= size - len ? len : size - sizeof(cut);
    } else {
        at = 0; /* it will be cut: the loop knows where */
    }
    while (at < text.len) {
        char unit[16];
        size_t used = 0;
        size_t unit_len = escape_unit(text.data + at, text.len - at, unit, sizeof(unit), &used);
        if (unit_len >= size - len) {
            memcpy(buffer + cut_at, cut, sizeof(cut) - 1);
            len = cut_at + sizeof(cut) - 1;
            break;
        }
        memcpy(buffer + len, unit, unit_len);
        len += unit_len;
        at += used;
        if (sizeof(cut) <= size - len)
            cut_at = len;
    }
    buffer[len] = '\0';
    return buffer;
}

const char *escape_cstring(const char *text, char *buffer, size_t size)
{
    return escape_text(wire_span_from_text(text), buffer, size);
}

void escape_put_raw(struct wire_writer *writer, const char *text)
{
    wire_put_raw(writer, text, strlen(text));
}

/* How many bytes at the front are ASCII that JSON takes as it is. */
static size_t escape_plain_len(const uint8_t *at, size_t left)
{
    size_t len = 0;

    while (len < left && at[len] >= 0x20 && at[len] < 0x7f && at[len] != '"' && at[len] != '\\')
        len++;
    return len;
}

void escape_json(struct wire_writer *writer, struct wire_span text)
{
    size_t at = 0;

    wire_put_u8(writer, '"');
    while (at < text.len) {
        uint32_t code = 0;
        char unit[8];
        size_t plain = escape_plain_len(text.data + at, text.len - at);
        if (plain > 0) {
            wire_put_raw(writer, text.data + at, plain);
            at += plain;
            continue;
        }
        size_t used = utf8_decode(text.data + at, text.len - at, &code);
        if (used == 0) {
            escape_put_raw(writer, "\xef\xbf\xbd");
            at++;
            continue;
        }
        if (code == '"' || code == '\\') {
            wire_put_u8(writer, '\\');
            wire_put_u8(writer, (uint8_t)code);
        } else if (escape_is_control(code) || escape_is_deceptive(code)) {
            (void)snprintf(unit, sizeof(unit), "\\u%04x", (unsigned int)code);
            escape_put_raw(writer, unit);
        } else {
            wire_put_raw(writer, text.data + at, used);
        }
        at += used;
    }
    wire_put_u8(writer, '"');
}
