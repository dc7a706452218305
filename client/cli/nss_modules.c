/* SPDX-License-Identifier: Apache-2.0 */
/* pkcs11.txt; see nss_modules.h. */
#include "client/cli/nss_modules.h"

#include <string.h>

#include "common/escape.h"

static struct wire_span nss_take_line(struct wire_span *text)
{
    const uint8_t *end = text->len > 0 ? memchr(text->data, '\n', text->len) : NULL;
    size_t len = end ? (size_t)(end - text->data) : text->len;
    struct wire_span line = {text->data, len};

    text->data += len + (end != NULL);
    text->len -= len + (end != NULL);
    return line;
}

/* Lines up to an empty one, which belongs to the block as well. */
static struct wire_span nss_take_block(struct wire_span *text)
{
    struct wire_span block = {text->data, 0};

    while (text->len > 0) {
        struct wire_span line = nss_take_line(text);
        block.len = (size_t)(text->data - block.data);
        if (line.len == 0)
            break;
    }
    return block;
}

static bool nss_has_line(struct wire_span block, const char *line)
{
    while (block.len > 0)
        if (wire_span_is_equal(nss_take_line(&block), wire_span_from_text(line)))
            return true;
    return false;
}

/* By its name: a module that somebody has registered under another is his, whatever its file. */
static bool nss_is_ours(struct wire_span block)
{
    return nss_has_line(block, "name=" NSS_MODULES_NAME);
}

static bool nss_has_library(struct wire_span block, const char *path)
{
    static const char library[] = "library=";
    size_t prefix = sizeof(library) - 1;

    while (block.len > 0) {
        struct wire_span line = nss_take_line(&block);
        if (line.len >= prefix && memcmp(line.data, library, prefix) == 0 &&
            wire_span_is_equal((struct wire_span){line.data + prefix, line.len - prefix},
                               wire_span_from_text(path)))
            return true;
    }
    return false;
}

enum nss_modules_state nss_modules_look(struct wire_span text, const char *path)
{
    enum nss_modules_state state = NSS_MODULES_ABSENT;

    while (text.len > 0) {
        struct wire_span block = nss_take_block(&text);
        bool is_same = path && nss_has_library(block, path);
        if (!nss_is_ours(block) && !is_same)
            continue;
        is_same = is_same || !path;
        state =
            state == NSS_MODULES_ABSENT && is_same ? NSS_MODULES_PRESENT : NSS_MODULES_OTHER_PATH;
    }
    return state;
}

static void nss_put_ours(const char *path, struct wire_writer *out)
{
    escape_put_raw(out, "library=");
    escape_put_raw(out, path);
    escape_put_raw(out, "\nname=" NSS_MODULES_NAME "\n\n");
}

void nss_modules_set(struct wire_span text, const char *path, struct wire_writer *out)
{
    bool is_put = path == NULL;

    while (text.len > 0) {
        struct wire_span block = nss_take_block(&text);
        if (!nss_is_ours(block))
            wire_put_raw(out, block.data, block.len);
        else if (!is_put)
            nss_put_ours(path, out);
        is_put = is_put || nss_is_ours(block);
    }
    if (is_put)
        return;
    /* The last block must have ended. */
    if (out->len > 0 && out->data[out->len - 1] != '\n')
        wire_put_u8(out, '\n');
    if (out->len > 1 && out->data[out->len - 2] != '\n')
        wire_put_u8(out, '\n');
    nss_put_ours(path, out);
}
