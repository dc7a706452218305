/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a public key; see spki.h. */
#include "client/module/spki.h"

#include "common/der.h"

static int spki_parse_rsa(struct wire_span bits, struct spki *spki)
{
    struct wire_reader outer;
    struct wire_reader fields;

    wire_reader_init(&outer, bits);
    wire_reader_init(&fields, der_get(&outer, DER_SEQUENCE));
    spki->modulus = der_get_unsigned(&fields);
    spki->exponent = der_get_unsigned(&fields);
    return outer.failed ? WIRE_E_MALFORMED : wire_reader_finish(&fields);
}

/* RFC 5480: the curve is a parameter. RFC 8410: the algorithm itself is the curve. */
static int spki_parse_point(struct wire_span parameters, struct wire_span bits, struct spki *spki)
{
    struct wire_reader reader;

    wire_reader_init(&reader, parameters);
    spki->parameters = der_get_whole(&reader, DER_OBJECT_IDENTIFIER);
    spki->point = bits;
    return bits.len > SPKI_POINT_MAX ? WIRE_E_MALFORMED : wire_reader_finish(&reader);
}

int spki_parse(struct wire_span der, enum key_type type, struct spki *ret_spki)
{
    struct wire_reader outer;
    struct wire_reader fields;
    struct wire_reader algorithm;
    struct spki spki = {0};

    wire_reader_init(&outer, der);
    wire_reader_init(&fields, der_get(&outer, DER_SEQUENCE));
    wire_reader_init(&algorithm, der_get(&fields, DER_SEQUENCE));
    struct wire_span bits = der_get_bit_string(&fields);
    struct wire_span oid = der_get_whole(&algorithm, DER_OBJECT_IDENTIFIER);
    struct wire_span parameters = {algorithm.at, algorithm.left};
    int r = outer.failed || algorithm.failed ? WIRE_E_MALFORMED : wire_reader_finish(&fields);

    if (r == 0)
        switch (type) {
        case KEY_TYPE_RSA:
        case KEY_TYPE_RSA_PSS:
            r = spki_parse_rsa(bits, &spki);
            break;
        case KEY_TYPE_EC:
            r = spki_parse_point(parameters, bits, &spki);
            break;
        case KEY_TYPE_ED25519:
            r = spki_parse_point(oid, bits, &spki);
            break;
        default:
            r = WIRE_E_MALFORMED;
        }
    if (r)
        return r;
    *ret_spki = spki;
    return 0;
}
