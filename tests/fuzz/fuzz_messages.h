/* SPDX-License-Identifier: Apache-2.0 */
/* One input as one message: what parses must encode to exactly the bytes that were parsed. */
#ifndef MTLS_TESTS_FUZZ_MESSAGES_H
#define MTLS_TESTS_FUZZ_MESSAGES_H

#include "tests/unit/message_table.h"

/**
 * fuzz_message() - try one message
 * @data:       type byte and body, as a frame has them behind its length
 */
void fuzz_message(const struct message_row *rows, size_t count, const uint8_t *data, size_t size);

#endif
