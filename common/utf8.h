/* SPDX-License-Identifier: Apache-2.0 */
/* Whether bytes are text that may be handled as a C string. */
#ifndef MTLS_COMMON_UTF8_H
#define MTLS_COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * utf8_decode() - one code point
 * @data:       borrowed
 * @len:        bytes at @data, at least 1
 * @ret_code:   filled with the code point on success
 *
 * Spec: RFC 3629 section 4 (no overlong forms, no surrogates, nothing past U+10FFFF).
 * Return: bytes used (1 to 4), or 0 when the bytes are not UTF-8.
 */
size_t utf8_decode(const uint8_t *data, size_t len, uint32_t *ret_code);

/** utf8_is_valid_text() - UTF-8 throughout, and no NUL. Empty is valid. */
bool utf8_is_valid_text(const uint8_t *data, size_t len);

#endif
