/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of PKCS #11 structures: UTF-8 in a field of fixed length, filled up with spaces. */
#ifndef MTLS_MODULE_PADDED_H
#define MTLS_MODULE_PADDED_H

#include <stddef.h>

/**
 * padded_fill() - a text into a field
 * @size:       of the field in bytes; what is longer is cut before a character, not inside
 */
void padded_fill(unsigned char *field, size_t size, const char *text);

#define PADDED_FILL(field, text) padded_fill((field), sizeof(field), (text))

#endif
