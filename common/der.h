/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The little DER (ITU-T X.690) that key references, certificates and SubjectPublicKeyInfo need:
 * definite, minimal lengths below 64 KiB, low tag numbers, no recursion. Reads and writes through
 * the sticky reader and writer of common/wire.h. Pure, libc only.
 */
#ifndef MTLS_COMMON_DER_H
#define MTLS_COMMON_DER_H

#include "common/wire.h"

#define DER_INTEGER 0x02u
#define DER_BIT_STRING 0x03u
#define DER_OCTET_STRING 0x04u
#define DER_NULL 0x05u
#define DER_OBJECT_IDENTIFIER 0x06u
#define DER_UTF8_STRING 0x0cu
#define DER_VISIBLE_STRING 0x1au
#define DER_SEQUENCE 0x30u
#define DER_CONTEXT(number) (0xa0u | (number)) /* constructed, explicit */

/**
 * der_get() - the content of the next value
 * @tag:        that it must have; any other is a sticky failure
 *
 * Return: borrowed bytes; empty after a failure.
 */
struct wire_span der_get(struct wire_reader *reader, uint8_t tag);

/** der_get_whole() - the next value with its tag and length; else as der_get(). */
struct wire_span der_get_whole(struct wire_reader *reader, uint8_t tag);

/** der_next_is() - the next value has this tag; false at the end. Takes nothing. */
bool der_next_is(const struct wire_reader *reader, uint8_t tag);

/** der_get_unsigned() - an INTEGER that is not negative, without its sign byte. */
struct wire_span der_get_unsigned(struct wire_reader *reader);

/** der_get_bit_string() - a BIT STRING of whole bytes. */
struct wire_span der_get_bit_string(struct wire_reader *reader);

/** der_put_raw() - bytes that are DER already. */
void der_put_raw(struct wire_writer *writer, struct wire_span der);

/** der_put() - one whole value; more than 65535 bytes of content is a sticky failure. */
void der_put(struct wire_writer *writer, uint8_t tag, struct wire_span content);

#endif
