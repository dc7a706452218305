/* SPDX-License-Identifier: Apache-2.0 */
/* The claims that hold for every message of either protocol; one table walk each. */
#ifndef MTLS_TESTS_MESSAGE_CHECKS_H
#define MTLS_TESTS_MESSAGE_CHECKS_H

#include "message_table.h"

/** check_round_trip() - every sample parses, and encodes back to the same bytes. */
void check_round_trip(const struct message_row *rows, size_t count);

/** check_truncation() - no body that was cut anywhere parses. */
void check_truncation(const struct message_row *rows, size_t count);

/** check_trailing_byte() - a body with one more byte does not parse. */
void check_trailing_byte(const struct message_row *rows, size_t count);

/** check_writer_bound() - a writer of any smaller bound refuses the sample and stays as it was. */
void check_writer_bound(const struct message_row *rows, size_t count);

/** check_type_byte() - the sample is one frame of the row's type, and no two rows share a type. */
void check_type_byte(const struct message_row *rows, size_t count);

#endif
