/* SPDX-License-Identifier: Apache-2.0 */
/* The table of curves; see curve.h. */
#include "client/provider/curve.h"

#include <strings.h>

#define OID(bytes)                                  \
    {                                               \
        (const uint8_t *)(bytes), sizeof(bytes) - 1 \
    }

static const struct curve curve_table[] = {
    {"prime256v1", "P-256", 256, 32, OID("\x2a\x86\x48\xce\x3d\x03\x01\x07")},
    {"secp384r1", "P-384", 384, 48, OID("\x2b\x81\x04\x00\x22")},
    {"secp521r1", "P-521", 521, 66, OID("\x2b\x81\x04\x00\x23")},
};

const struct curve *curve_from_oid(struct wire_span oid)
{
    for (size_t i = 0; i < ARRAY_SIZE(curve_table); i++)
        if (wire_span_is_equal(curve_table[i].oid, oid))
            return &curve_table[i];
    return NULL;
}

const struct curve *curve_from_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(curve_table); i++)
        if (strcasecmp(curve_table[i].name, name) == 0 ||
            strcasecmp(curve_table[i].alias, name) == 0)
            return &curve_table[i];
    return NULL;
}
