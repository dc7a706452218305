/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every message of the protocols as one table row: a sample with every field set, and parse
 * followed by encode. Tests, golden frames, fuzzers and the 32-bit check all walk these tables, so
 * that a new message is covered by all of them once it has its row. Needs libc only.
 */
#ifndef MTLS_TESTS_MESSAGE_TABLE_H
#define MTLS_TESTS_MESSAGE_TABLE_H

#include "common/frame.h"
#include "common/protocol.h"
#include "common/reader_protocol.h"
#include "common/worker_protocol.h"

/* Positive answer of a `recode` beside WIRE_E_MALFORMED. */
#define MESSAGE_E_ENCODE 100 /* it parsed, but what was parsed could not be encoded */

struct message_row {
    const char *name;
    uint8_t type;
    /** sample() - append one frame of this type to @writer. Return: as the message's `_encode`. */
    int (*sample)(struct wire_writer *writer);
    /** recode() - parse @body, append what was parsed as a frame of @type. */
    int (*recode)(struct wire_span body, uint8_t type, struct wire_writer *writer);
};

extern const struct message_row client_messages[];
extern const size_t client_message_count;
extern const struct message_row worker_messages[];
extern const size_t worker_message_count;
extern const struct message_row reader_messages[];
extern const size_t reader_message_count;

/** message_find() - the row for @type, or NULL. */
const struct message_row *message_find(const struct message_row *rows, size_t count, uint8_t type);

#endif
