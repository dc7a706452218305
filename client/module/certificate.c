/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of a certificate; see certificate.h. */
#include "client/module/certificate.h"

#include "common/der.h"

#define DER_SET 0x31u
#define DER_PRINTABLE_STRING 0x13u

static const struct wire_span oid_common_name = {(const uint8_t *)"\x55\x04\x03", 3};

/* AttributeTypeAndValue: its text, where it is a common name in one of the two usual forms. */
static struct wire_span certificate_get_common_name(struct wire_span attribute)
{
    struct wire_reader fields;

    wire_reader_init(&fields, attribute);
    struct wire_span type = der_get(&fields, DER_OBJECT_IDENTIFIER);
    if (fields.failed || !wire_span_is_equal(type, oid_common_name))
        return (struct wire_span){0};
    if (der_next_is(&fields, DER_UTF8_STRING))
        return der_get(&fields, DER_UTF8_STRING);
    if (der_next_is(&fields, DER_PRINTABLE_STRING))
        return der_get(&fields, DER_PRINTABLE_STRING);
    return (struct wire_span){0};
}

/* A Name is a sequence of sets of attributes; sets of more than one are as good as unheard of. */
static struct wire_span certificate_find_common_name(struct wire_span subject)
{
    struct wire_reader outer;
    struct wire_reader names;
    struct wire_span found = {0};

    wire_reader_init(&outer, subject);
    wire_reader_init(&names, der_get(&outer, DER_SEQUENCE));
    while (names.left > 0 && !names.failed) {
        struct wire_reader set;
        wire_reader_init(&set, der_get(&names, DER_SET));
        struct wire_span name = certificate_get_common_name(der_get(&set, DER_SEQUENCE));
        if (name.len > 0)
            found = name;
    }
    return names.failed ? (struct wire_span){0} : found;
}

struct certificate certificate_parse(struct wire_span der)
{
    struct certificate certificate = {.der = der};
    struct wire_reader outer;
    struct wire_reader whole;
    struct wire_reader fields;

    wire_reader_init(&outer, der);
    wire_reader_init(&whole, der_get(&outer, DER_SEQUENCE));
    wire_reader_init(&fields, der_get(&whole, DER_SEQUENCE));
    if (der_next_is(&fields, DER_CONTEXT(0)))
        (void)der_get(&fields, DER_CONTEXT(0));
    struct wire_span serial = der_get_whole(&fields, DER_INTEGER);
    (void)der_get(&fields, DER_SEQUENCE); /* signature algorithm */
    struct wire_span issuer = der_get_whole(&fields, DER_SEQUENCE);
    (void)der_get(&fields, DER_SEQUENCE); /* validity */
    struct wire_span subject = der_get_whole(&fields, DER_SEQUENCE);
    if (outer.failed || whole.failed || fields.failed)
        return certificate;
    certificate.serial = serial;
    certificate.issuer = issuer;
    certificate.subject = subject;
    certificate.common_name = certificate_find_common_name(subject);
    return certificate;
}
