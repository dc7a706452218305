/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of certificates and public keys that the PKCS#11 module shows: whatever the bytes,
 * what is found lies inside them, and an object can be made of it. Input: one byte (the type of the
 * key), the DER.
 */
#include <string.h>

#include "client/module/attributes.h"
#include "fuzz.h"

static void check_inside(struct wire_span part, struct wire_span whole)
{
    if (part.len == 0)
        return;
    fuzz_check(part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

static void check_certificate(struct wire_span der)
{
    struct certificate certificate = certificate_parse(der);

    fuzz_check(certificate.der.data == der.data && certificate.der.len == der.len);
    check_inside(certificate.serial, der);
    check_inside(certificate.issuer, der);
    check_inside(certificate.subject, der);
    check_inside(certificate.common_name, certificate.subject);
    fuzz_check((certificate.serial.len == 0) == (certificate.subject.len == 0));
}

static bool check_spki(struct wire_span der, enum key_type type)
{
    struct spki spki = {0};

    if (spki_parse(der, type, &spki))
        return false;
    check_inside(spki.modulus, der);
    check_inside(spki.exponent, der);
    check_inside(spki.parameters, der);
    check_inside(spki.point, der);
    fuzz_check(spki.point.len <= SPKI_POINT_MAX);
    return true;
}

/* The bytes as everything that a key has. */
static void check_content(struct wire_span der, enum key_type type, bool is_key)
{
    const struct mtls_agent_bytes bytes = {der.data, der.len};
    const struct mtls_agent_key key = {
        .name = "fuzz",
        .type = (enum mtls_agent_key_type)type,
        .bits = 256,
        .spki = bytes,
        .id = bytes,
        .cert_count = 2,
        .certs = {bytes, bytes},
    };
    static const CK_ATTRIBUTE_TYPE types[] = {CKA_EC_POINT, CKA_MODULUS, CKA_SUBJECT, CKA_VALUE,
                                              CKA_ISSUER,   CKA_LABEL,   CKA_ID};
    struct content content = {0};
    CK_OBJECT_HANDLE next = 1;
    bool is_same = false;

    fuzz_check(content_add_key(&content, &key) == 0);
    fuzz_check(content_finish(&content, NULL, &next, &is_same) == 0);
    fuzz_check(is_key == (content.object_count > 0));
    for (size_t i = 0; i < content.object_count; i++)
        for (size_t j = 0; j < ARRAY_SIZE(types); j++) {
            CK_ATTRIBUTE entry = {types[j], NULL, 0};
            if (attributes_get(&content.objects[i], &entry, 1) != CKR_OK)
                continue;
            entry.pValue = malloc(entry.ulValueLen + 1);
            fuzz_check(entry.pValue);
            fuzz_check(attributes_get(&content.objects[i], &entry, 1) == CKR_OK);
            fuzz_check(attributes_match(&content.objects[i], &entry, 1));
            free(entry.pValue);
        }
    content_deinit(&content);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct wire_span der = {data + 1, size - 1};
    enum key_type type = (enum key_type)(data[0] % 6);
    check_certificate(der);
    check_content(der, type, check_spki(der, type));
    return 0;
}
