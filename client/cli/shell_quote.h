/* SPDX-License-Identifier: Apache-2.0 */
/* A text as one word of a POSIX shell (POSIX.1-2017, Shell Command Language, section 2.2.2). */
#ifndef MTLS_CLI_SHELL_QUOTE_H
#define MTLS_CLI_SHELL_QUOTE_H

#include "common/wire.h"

/** shell_quote() - append @text, in single quotes unless it needs none; the shell sees one word. */
void shell_quote(struct wire_writer *out, const char *text);

#endif
