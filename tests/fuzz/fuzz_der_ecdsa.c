/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two forms of an ECDSA signature: each turns into the other and back to the same bytes, so
 * that there is one DER form and no other. Input: one byte (curve, direction), the signature.
 */
#include <string.h>

#include "common/der_ecdsa.h"
#include "fuzz.h"

static const unsigned int curves[] = {256, 384, 521};

static void check_raw(unsigned int bits, struct wire_span raw)
{
    uint8_t der[DER_ECDSA_MAX];
    uint8_t back[DER_ECDSA_RAW_MAX];
    size_t der_len = 0;
    size_t back_len = 0;

    if (der_ecdsa_from_raw(bits, raw, der, &der_len))
        return;
    fuzz_check(raw.len == 2u * ((bits + 7) / 8));
    fuzz_check(der_len <= DER_ECDSA_MAX);
    fuzz_check(der_ecdsa_to_raw(bits, (struct wire_span){der, der_len}, back, &back_len) == 0);
    fuzz_check(wire_span_is_equal(raw, (struct wire_span){back, back_len}));
    for (size_t len = 0; len < der_len; len++)
        fuzz_check(der_ecdsa_to_raw(bits, (struct wire_span){der, len}, back, &back_len) ==
                   DER_ECDSA_E_INVALID);
}

static void check_der(unsigned int bits, struct wire_span der)
{
    uint8_t raw[DER_ECDSA_RAW_MAX];
    uint8_t back[DER_ECDSA_MAX];
    size_t raw_len = 0;
    size_t back_len = 0;

    if (der_ecdsa_to_raw(bits, der, raw, &raw_len))
        return;
    fuzz_check(raw_len == 2u * ((bits + 7) / 8));
    fuzz_check(der_ecdsa_from_raw(bits, (struct wire_span){raw, raw_len}, back, &back_len) == 0);
    fuzz_check(wire_span_is_equal(der, (struct wire_span){back, back_len}));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    unsigned int bits = curves[(data[0] >> 1) % ARRAY_SIZE(curves)];
    struct wire_span signature = {data + 1, size - 1};
    if (data[0] & 1)
        check_der(bits, signature);
    else
        check_raw(bits, signature);
    return 0;
}
