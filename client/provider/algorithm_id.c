/* SPDX-License-Identifier: Apache-2.0 */
/* AlgorithmIdentifiers by scheme; see algorithm_id.h. */
#include "client/provider/algorithm_id.h"

#define BYTES(text)                               \
    {                                             \
        (const uint8_t *)(text), sizeof(text) - 1 \
    }
#define ECDSA(hash) BYTES("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03" hash)
#define PKCS1(hash) BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01" hash "\x05\x00")
#define HASH(hash) "\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02" hash "\x05\x00"
/* RSASSA-PSS with [0] hash, [1] MGF1 of the same hash, [2] salt as long as the hash */
#define PSS(hash, salt)                                                                            \
    BYTES("\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\xa0\x0f" HASH(             \
        hash) "\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08" HASH(hash) "\xa2\x03" \
                                                                                        "\x02"     \
                                                                                        "\x01" salt)

static const struct {
    uint16_t scheme;
    struct wire_span der;
} algorithm_id_table[] = {
    {SCHEME_ECDSA_SHA256, ECDSA("\x02")},
    {SCHEME_ECDSA_SHA384, ECDSA("\x03")},
    {SCHEME_ECDSA_SHA512, ECDSA("\x04")},
    {SCHEME_RSA_PKCS1_SHA256, PKCS1("\x0b")},
    {SCHEME_RSA_PKCS1_SHA384, PKCS1("\x0c")},
    {SCHEME_RSA_PKCS1_SHA512, PKCS1("\x0d")},
    {SCHEME_RSA_PSS_RSAE_SHA256, PSS("\x01", "\x20")},
    {SCHEME_RSA_PSS_RSAE_SHA384, PSS("\x02", "\x30")},
    {SCHEME_RSA_PSS_RSAE_SHA512, PSS("\x03", "\x40")},
    {SCHEME_RSA_PSS_PSS_SHA256, PSS("\x01", "\x20")},
    {SCHEME_RSA_PSS_PSS_SHA384, PSS("\x02", "\x30")},
    {SCHEME_RSA_PSS_PSS_SHA512, PSS("\x03", "\x40")},
    {SCHEME_ED25519, BYTES("\x30\x05\x06\x03\x2b\x65\x70")},
};

struct wire_span algorithm_id_of_scheme(const struct scheme *scheme)
{
    for (size_t i = 0; i < ARRAY_SIZE(algorithm_id_table); i++)
        if (algorithm_id_table[i].scheme == scheme->code)
            return algorithm_id_table[i].der;
    return (struct wire_span){0};
}
