/* SPDX-License-Identifier: Apache-2.0 */
/* Times as people say them ("in 3 months", "5 days ago") and as programs want them (RFC 3339). */
#ifndef MTLS_CLI_EXPIRY_H
#define MTLS_CLI_EXPIRY_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define EXPIRY_TEXT_MAX 48 /* bytes that always suffice, with the NUL */

/**
 * expiry_format() - the validity of a certificate in words, seen from @now
 * @not_before: first second of validity
 * @not_after:  last second of validity
 * @buffer:     filled: "in 3 months", "expired 5 days ago", "starts in 2 days"
 *
 * Counts are rounded down: what is promised is still there.
 * Return: @buffer.
 */
const char *expiry_format(time_t not_before, time_t not_after, time_t now,
                          char buffer[static EXPIRY_TEXT_MAX]);

/** expiry_format_duration() - "3 months", "1 day"; @seconds counts as 0 when negative. */
const char *expiry_format_duration(int64_t seconds, char buffer[static EXPIRY_TEXT_MAX]);

/** expiry_format_rfc3339() - "2027-01-31T12:00:00Z". Return: @buffer. */
const char *expiry_format_rfc3339(time_t when, char buffer[static EXPIRY_TEXT_MAX]);

#endif
