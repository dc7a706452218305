/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that comes from a module, made fit for a message to the core, which takes only UTF-8 without
 * NUL.
 */
#ifndef MTLS_PKCS11_TEXT_H
#define MTLS_PKCS11_TEXT_H

#include "common/protocol.h"

struct text {
    size_t len;
    char data[PROTOCOL_NAME_MAX];
};

/**
 * text_clean() - make any bytes such a text
 * @raw:        borrowed; ends at the first NUL, bytes that are not UTF-8 become U+FFFD
 * @out:        filled; @size bytes, what does not fit is left out
 *
 * Return: bytes filled.
 */
size_t text_clean(struct wire_span raw, char *out, size_t size);

/**
 * text_set() - take over a label
 * @raw:        borrowed; cleaned, at most PROTOCOL_NAME_MAX bytes of it
 */
void text_set(struct text *text, struct wire_span raw);

/** text_set_padded() - the same for a field padded with blanks, as in CK_TOKEN_INFO. */
void text_set_padded(struct text *text, const unsigned char *field, size_t len);

static inline struct wire_span text_span(const struct text *text)
{
    return (struct wire_span){(const uint8_t *)text->data, text->len};
}

#endif
