/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Untrusted text (labels, subjects, program names) made safe for a log line, a prompt or a
 * terminal: control characters, line ends, bidirectional overrides and invalid UTF-8 become \xNN or
 * \u{N}.
 */
#ifndef MTLS_COMMON_ESCAPE_H
#define MTLS_COMMON_ESCAPE_H

#include "common/wire.h"

/**
 * escape_text() - escape into a caller's buffer
 * @text:       borrowed, any bytes
 * @buffer:     filled, always NUL-terminated; an output that does not fit is cut with "..."
 * @size:       bytes of @buffer, at least 8
 *
 * Return: @buffer, so that the call can stand in an argument list.
 */
const char *escape_text(struct wire_span text, char *buffer, size_t size);

/** escape_cstring() - the same for a C string; NULL counts as empty. */
const char *escape_cstring(const char *text, char *buffer, size_t size);

/**
 * escape_json() - append a JSON string with its quotes (RFC 8259 section 7)
 * @text:       borrowed, any bytes; those that are not UTF-8 become U+FFFD
 */
void escape_json(struct wire_writer *writer, struct wire_span text);

/** escape_put_raw() - append bytes as they are, without a length: for building text in a writer. */
void escape_put_raw(struct wire_writer *writer, const char *text);

#endif
