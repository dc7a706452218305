/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ECDSA signature forms; see der_ecdsa.h. Signatures are public, so nothing here needs to take
 * constant time.
 */
#include "common/der_ecdsa.h"

#include <string.h>

#define DER_TAG_SEQUENCE 0x30
#define DER_TAG_INTEGER 0x02

/* SEC 2 version 2.0, sections 2.4.2, 2.5.1 and 2.6.1: the order n of each group. */
static const uint8_t der_ecdsa_order_256[32] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};

static const uint8_t der_ecdsa_order_384[48] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
    0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73};

static const uint8_t der_ecdsa_order_521[66] = {
    0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xfa, 0x51, 0x86, 0x87, 0x83, 0xbf, 0x2f, 0x96, 0x6b,
    0x7f, 0xcc, 0x01, 0x48, 0xf7, 0x09, 0xa5, 0xd0, 0x3b, 0xb5, 0xc9, 0xb8, 0x89, 0x9c,
    0x47, 0xae, 0xbb, 0x6f, 0xb7, 0x1e, 0x91, 0x38, 0x64, 0x09};

/* The order of the curve as big-endian bytes; empty for a curve that is not ours. */
static struct wire_span der_ecdsa_order(unsigned int bits)
{
    switch (bits) {
    case 256:
        return (struct wire_span){der_ecdsa_order_256, sizeof(der_ecdsa_order_256)};
    case 384:
        return (struct wire_span){der_ecdsa_order_384, sizeof(der_ecdsa_order_384)};
    case 521:
        return (struct wire_span){der_ecdsa_order_521, sizeof(der_ecdsa_order_521)};
    default:
        return (struct wire_span){0};
    }
}

static bool der_ecdsa_is_in_range(const uint8_t *number, struct wire_span order)
{
    bool is_zero = true;

    for (size_t i = 0; i < order.len && is_zero; i++)
        is_zero = number[i] == 0;
    return !is_zero && memcmp(number, order.data, order.len) < 0;
}

/* Appends one INTEGER; @number is positive and has @len bytes. Returns the bytes written. */
static size_t der_ecdsa_put_integer(uint8_t *at, const uint8_t *number, size_t len)
{
    while (len > 1 && number[0] == 0) {
        number++;
        len--;
    }
    size_t pad = number[0] >> 7;
    at[0] = DER_TAG_INTEGER;
    at[1] = (uint8_t)(len + pad);
    at[2] = 0;
    memcpy(at + 2 + pad, number, len);
    return 2 + pad + len;
}

int der_ecdsa_from_raw(unsigned int bits, struct wire_span raw, uint8_t ret_der[DER_ECDSA_MAX],
                       size_t *ret_len)
{
    struct wire_span order = der_ecdsa_order(bits);
    uint8_t body[DER_ECDSA_MAX];
    size_t at = 0;

    if (order.len == 0 || raw.len != 2 * order.len)
        return DER_ECDSA_E_INVALID;
    if (!der_ecdsa_is_in_range(raw.data, order) ||
        !der_ecdsa_is_in_range(raw.data + order.len, order))
        return DER_ECDSA_E_INVALID;

    size_t body_len = der_ecdsa_put_integer(body, raw.data, order.len);
    body_len += der_ecdsa_put_integer(body + body_len, raw.data + order.len, order.len);
    ret_der[at++] = DER_TAG_SEQUENCE;
    if (body_len > 127)
        ret_der[at++] = 0x81;
    ret_der[at++] = (uint8_t)body_len;
    memcpy(ret_der + at, body, body_len);
    *ret_len = at + body_len;
    return 0;
}

/* Takes one minimal, positive INTEGER off @der and stores it in @len bytes, zeros in front. */
static bool der_ecdsa_take_integer(struct wire_span *der, uint8_t *number, size_t len)
{
    if (der->len < 3 || der->data[0] != DER_TAG_INTEGER)
        return false;
    size_t used = der->data[1]; /* 67 at most here: always the short form */
    const uint8_t *at = der->data + 2;
    if (used == 0 || used > der->len - 2 || (at[0] & 0x80))
        return false;
    *der = (struct wire_span){at + used, der->len - 2 - used};
    if (at[0] == 0) {
        if (used == 1 || !(at[1] & 0x80))
            return false;
        at++;
        used--;
    }
    if (used > len)
        return false;
    memset(number, 0, len - used);
    memcpy(number + (len - used), at, used);
    return true;
}

int der_ecdsa_to_raw(unsigned int bits, struct wire_span der, uint8_t ret_raw[DER_ECDSA_RAW_MAX],
                     size_t *ret_len)
{
    struct wire_span order = der_ecdsa_order(bits);
    uint8_t raw[DER_ECDSA_RAW_MAX];

    if (order.len == 0 || der.len < 2 || der.len > DER_ECDSA_MAX || der.data[0] != DER_TAG_SEQUENCE)
        return DER_ECDSA_E_INVALID;
    bool is_long = der.data[1] == 0x81;
    size_t header = is_long ? 3 : 2;
    if (der.len < header || der.data[header - 1] != der.len - header ||
        is_long != (der.len - header > 127))
        return DER_ECDSA_E_INVALID;

    struct wire_span body = {der.data + header, der.len - header};
    if (!der_ecdsa_take_integer(&body, raw, order.len) ||
        !der_ecdsa_take_integer(&body, raw + order.len, order.len) || body.len != 0)
        return DER_ECDSA_E_INVALID;
    if (!der_ecdsa_is_in_range(raw, order) || !der_ecdsa_is_in_range(raw + order.len, order))
        return DER_ECDSA_E_INVALID;
    memcpy(ret_raw, raw, 2 * order.len);
    *ret_len = 2 * order.len;
    return 0;
}
