/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 as in PEM (RFC 7468): lines of 64 characters, canonical padding. Pure, libc only. */
#ifndef MTLS_PROVIDER_BASE64_H
#define MTLS_PROVIDER_BASE64_H

#include "common/wire.h"

#define BASE64_LINE_LEN 64u

/** base64_encode() - append @bytes as text, each line with its LF. */
void base64_encode(struct wire_writer *writer, struct wire_span bytes);

/**
 * base64_decode() - append the bytes that @text stands for
 * @text:       borrowed; LF, CR and nothing else between the characters
 *
 * Anything else, a missing or misplaced '=', or bits left over is a sticky failure.
 */
void base64_decode(struct wire_writer *writer, struct wire_span text);

#endif
