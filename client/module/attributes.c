/* SPDX-License-Identifier: Apache-2.0 */
/* The table of attributes; see attributes.h. */
#include "client/module/attributes.h"

#include <string.h>

/* PKCS #11 v2.40, table 19: what a certificate is for. */
#define CATEGORY_TOKEN_USER 1UL
#define CATEGORY_AUTHORITY 2UL

enum {
    OF_PRIVATE = 1u << 0,
    OF_PUBLIC = 1u << 1,
    OF_CERTIFICATE = 1u << 2,
    OF_KEY = OF_PRIVATE | OF_PUBLIC,
    OF_ANY = OF_KEY | OF_CERTIFICATE,
};

static const CK_BBOOL yes = CK_TRUE;
static const CK_BBOOL no = CK_FALSE;
static const CK_ULONG unavailable = CK_UNAVAILABLE_INFORMATION;
static const CK_ULONG x509 = CKC_X_509;
static const CK_ULONG token_user = CATEGORY_TOKEN_USER;
static const CK_ULONG authority = CATEGORY_AUTHORITY;

/* A value that is there has an address, also when it is empty. */
#define VALUE(variable) ((struct wire_span){(const uint8_t *)&(variable), sizeof(variable)})
#define VALUE_EMPTY ((struct wire_span){(const uint8_t *)"", 0})
#define VALUE_NONE ((struct wire_span){NULL, 0})

static struct wire_span attribute_or_none(struct wire_span value)
{
    return value.len > 0 ? value : VALUE_NONE;
}

static struct wire_span attribute_or_empty(struct wire_span value)
{
    return value.len > 0 ? value : VALUE_EMPTY;
}

static struct wire_span attribute_class(const struct object *object)
{
    return VALUE(object->class);
}

static struct wire_span attribute_label(const struct object *object)
{
    return attribute_or_empty(object->label);
}

static struct wire_span attribute_id(const struct object *object)
{
    return object->key ? object->key->id : VALUE_EMPTY;
}

static bool attribute_is_rsa(const struct object *object)
{
    enum mtls_agent_key_type type = object->key->info->type;

    return type == MTLS_AGENT_KEY_RSA || type == MTLS_AGENT_KEY_RSA_PSS;
}

static struct wire_span attribute_key_type(const struct object *object)
{
    static const CK_KEY_TYPE rsa = CKK_RSA;
    static const CK_KEY_TYPE ec = CKK_EC;
    static const CK_KEY_TYPE edwards = CKK_EC_EDWARDS;

    if (attribute_is_rsa(object))
        return VALUE(rsa);
    return object->key->info->type == MTLS_AGENT_KEY_EC ? VALUE(ec) : VALUE(edwards);
}

static struct wire_span attribute_modulus(const struct object *object)
{
    return attribute_or_none(object->key->spki.modulus);
}

static struct wire_span attribute_exponent(const struct object *object)
{
    return attribute_or_none(object->key->spki.exponent);
}

static struct wire_span attribute_modulus_bits(const struct object *object)
{
    return attribute_is_rsa(object) ? VALUE(object->key->bits) : VALUE_NONE;
}

static struct wire_span attribute_ec_params(const struct object *object)
{
    return attribute_or_none(object->key->spki.parameters);
}

static struct wire_span attribute_ec_point(const struct object *object)
{
    return attribute_or_none((struct wire_span){object->key->ec_point, object->key->ec_point_len});
}

static struct wire_span attribute_spki(const struct object *object)
{
    return (struct wire_span){object->key->info->spki.data, object->key->info->spki.len};
}

/* Of a key the subject of its certificate: some programs find the certificate by it. */
static struct wire_span attribute_subject(const struct object *object)
{
    if (object->class == CKO_CERTIFICATE)
        return attribute_or_empty(object->certificate.subject);
    return attribute_or_empty(object->key->leaf.subject);
}

static struct wire_span attribute_issuer(const struct object *object)
{
    return attribute_or_empty(object->certificate.issuer);
}

static struct wire_span attribute_serial_number(const struct object *object)
{
    return attribute_or_empty(object->certificate.serial);
}

static struct wire_span attribute_certificate(const struct object *object)
{
    return object->certificate.der;
}

static struct wire_span attribute_category(const struct object *object)
{
    return object->key ? VALUE(token_user) : VALUE(authority);
}

struct attribute_row {
    CK_ATTRIBUTE_TYPE type;
    unsigned int owners;
    struct wire_span (*get)(const struct object *object); /* NULL: `constant` */
    const void *constant;
    size_t constant_len;
};

#define COMPUTED(type, owners, get)      \
    {                                    \
        (type), (owners), (get), NULL, 0 \
    }
#define CONSTANT(type, owners, variable)                      \
    {                                                         \
        (type), (owners), NULL, &(variable), sizeof(variable) \
    }
#define EMPTY(type, owners)           \
    {                                 \
        (type), (owners), NULL, "", 0 \
    }

static const struct attribute_row attribute_rows[] = {
    COMPUTED(CKA_CLASS, OF_ANY, attribute_class),
    COMPUTED(CKA_ID, OF_ANY, attribute_id),
    COMPUTED(CKA_LABEL, OF_ANY, attribute_label),
    COMPUTED(CKA_KEY_TYPE, OF_KEY, attribute_key_type),
    COMPUTED(CKA_SUBJECT, OF_ANY, attribute_subject),
    COMPUTED(CKA_MODULUS, OF_KEY, attribute_modulus),
    COMPUTED(CKA_MODULUS_BITS, OF_KEY, attribute_modulus_bits),
    COMPUTED(CKA_PUBLIC_EXPONENT, OF_KEY, attribute_exponent),
    COMPUTED(CKA_EC_PARAMS, OF_KEY, attribute_ec_params),
    COMPUTED(CKA_EC_POINT, OF_KEY, attribute_ec_point),
    COMPUTED(CKA_PUBLIC_KEY_INFO, OF_KEY, attribute_spki),
    COMPUTED(CKA_VALUE, OF_CERTIFICATE, attribute_certificate),
    COMPUTED(CKA_ISSUER, OF_CERTIFICATE, attribute_issuer),
    COMPUTED(CKA_SERIAL_NUMBER, OF_CERTIFICATE, attribute_serial_number),
    COMPUTED(CKA_CERTIFICATE_CATEGORY, OF_CERTIFICATE, attribute_category),
    CONSTANT(CKA_CERTIFICATE_TYPE, OF_CERTIFICATE, x509),
    CONSTANT(CKA_TRUSTED, OF_PUBLIC | OF_CERTIFICATE, no),
    CONSTANT(CKA_TOKEN, OF_ANY, yes),
    CONSTANT(CKA_PRIVATE, OF_ANY, no),
    CONSTANT(CKA_MODIFIABLE, OF_ANY, no),
    CONSTANT(CKA_COPYABLE, OF_ANY, no),
    CONSTANT(CKA_DESTROYABLE, OF_ANY, no),
    CONSTANT(CKA_SIGN, OF_PRIVATE, yes),
    CONSTANT(CKA_SIGN_RECOVER, OF_PRIVATE, no),
    CONSTANT(CKA_DECRYPT, OF_PRIVATE, no),
    CONSTANT(CKA_UNWRAP, OF_PRIVATE, no),
    CONSTANT(CKA_SENSITIVE, OF_PRIVATE, yes),
    CONSTANT(CKA_ALWAYS_SENSITIVE, OF_PRIVATE, yes),
    CONSTANT(CKA_EXTRACTABLE, OF_PRIVATE, no),
    CONSTANT(CKA_NEVER_EXTRACTABLE, OF_PRIVATE, yes),
    CONSTANT(CKA_WRAP_WITH_TRUSTED, OF_PRIVATE, no),
    /* Where the token wants its PIN for each signature, the agent gives it. */
    CONSTANT(CKA_ALWAYS_AUTHENTICATE, OF_PRIVATE, no),
    CONSTANT(CKA_VERIFY, OF_PUBLIC, yes),
    CONSTANT(CKA_VERIFY_RECOVER, OF_PUBLIC, no),
    CONSTANT(CKA_ENCRYPT, OF_PUBLIC, no),
    CONSTANT(CKA_WRAP, OF_PUBLIC, no),
    CONSTANT(CKA_DERIVE, OF_KEY, no),
    CONSTANT(CKA_LOCAL, OF_KEY, no),
    CONSTANT(CKA_KEY_GEN_MECHANISM, OF_KEY, unavailable),
    EMPTY(CKA_START_DATE, OF_ANY),
    EMPTY(CKA_END_DATE, OF_ANY),
    EMPTY(CKA_URL, OF_CERTIFICATE),
    EMPTY(CKA_HASH_OF_SUBJECT_PUBLIC_KEY, OF_CERTIFICATE),
    EMPTY(CKA_HASH_OF_ISSUER_PUBLIC_KEY, OF_CERTIFICATE),
};

/* What a private key has in general, and gives out to nobody. */
static const CK_ATTRIBUTE_TYPE attribute_secrets[] = {
    CKA_VALUE,      CKA_PRIVATE_EXPONENT, CKA_PRIME_1,     CKA_PRIME_2,
    CKA_EXPONENT_1, CKA_EXPONENT_2,       CKA_COEFFICIENT,
};

static unsigned int attribute_owner(const struct object *object)
{
    switch (object->class) {
    case CKO_PRIVATE_KEY:
        return OF_PRIVATE;
    case CKO_PUBLIC_KEY:
        return OF_PUBLIC;
    default:
        return OF_CERTIFICATE;
    }
}

static struct wire_span attribute_find(const struct object *object, CK_ATTRIBUTE_TYPE type)
{
    unsigned int owner = attribute_owner(object);

    for (size_t i = 0; i < ARRAY_SIZE(attribute_rows); i++) {
        const struct attribute_row *row = &attribute_rows[i];
        if (row->type == type && row->owners & owner)
            return row->get ? row->get(object)
                            : (struct wire_span){row->constant, row->constant_len};
    }
    return VALUE_NONE;
}

static bool attribute_is_secret(const struct object *object, CK_ATTRIBUTE_TYPE type)
{
    if (object->class != CKO_PRIVATE_KEY)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(attribute_secrets); i++)
        if (attribute_secrets[i] == type)
            return true;
    return false;
}

static CK_RV attribute_get(const struct object *object, CK_ATTRIBUTE *entry)
{
    struct wire_span value = attribute_find(object, entry->type);
    CK_ULONG room = entry->ulValueLen;

    entry->ulValueLen = CK_UNAVAILABLE_INFORMATION;
    if (!value.data)
        return attribute_is_secret(object, entry->type) ? CKR_ATTRIBUTE_SENSITIVE
                                                        : CKR_ATTRIBUTE_TYPE_INVALID;
    if (entry->pValue && room < value.len)
        return CKR_BUFFER_TOO_SMALL;
    if (entry->pValue && value.len > 0)
        memcpy(entry->pValue, value.data, value.len);
    entry->ulValueLen = value.len;
    return CKR_OK;
}

CK_RV attributes_get(const struct object *object, CK_ATTRIBUTE *template, CK_ULONG count)
{
    CK_RV answer = CKR_OK;

    for (CK_ULONG i = 0; i < count; i++) {
        CK_RV rv = attribute_get(object, &template[i]);
        if (rv != CKR_OK)
            answer = rv;
    }
    return answer;
}

bool attributes_match(const struct object *object, const CK_ATTRIBUTE *template, CK_ULONG count)
{
    for (CK_ULONG i = 0; i < count; i++) {
        struct wire_span value = attribute_find(object, template[i].type);
        if (!value.data || value.len != template[i].ulValueLen ||
            (value.len > 0 && memcmp(value.data, template[i].pValue, value.len) != 0))
            return false;
    }
    return true;
}
