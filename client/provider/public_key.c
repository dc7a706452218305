/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys from SubjectPublicKeyInfo; see public_key.h. */
#include "client/provider/public_key.h"

#include <string.h>

#include "common/der.h"

#define OID(bytes)                                  \
    {                                               \
        (const uint8_t *)(bytes), sizeof(bytes) - 1 \
    }

static const struct {
    enum key_type type;
    struct wire_span oid;
} algorithm_table[] = {
    {KEY_TYPE_RSA, OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01")},
    {KEY_TYPE_RSA_PSS, OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a")},
    {KEY_TYPE_EC, OID("\x2a\x86\x48\xce\x3d\x02\x01")},
    {KEY_TYPE_ED25519, OID("\x2b\x65\x70")},
};

static const struct {
    enum hash_id hash;
    struct wire_span oid;
} hash_table[] = {
    {HASH_SHA256, OID("\x60\x86\x48\x01\x65\x03\x04\x02\x01")},
    {HASH_SHA384, OID("\x60\x86\x48\x01\x65\x03\x04\x02\x02")},
    {HASH_SHA512, OID("\x60\x86\x48\x01\x65\x03\x04\x02\x03")},
};

static const struct wire_span oid_mgf1 = OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08");

/* An AlgorithmIdentifier of a hash, with absent or NULL parameters. */
static enum hash_id public_key_get_hash(struct wire_reader *reader)
{
    struct wire_reader fields;

    wire_reader_init(&fields, der_get(reader, DER_SEQUENCE));
    struct wire_span oid = der_get(&fields, DER_OBJECT_IDENTIFIER);
    if (der_next_is(&fields, DER_NULL))
        (void)der_get(&fields, DER_NULL);
    if (wire_reader_finish(&fields))
        return HASH_NONE;
    for (size_t i = 0; i < ARRAY_SIZE(hash_table); i++)
        if (wire_span_is_equal(hash_table[i].oid, oid))
            return hash_table[i].hash;
    return HASH_NONE;
}

static enum hash_id public_key_get_mgf1(struct wire_reader *reader)
{
    struct wire_reader fields;

    wire_reader_init(&fields, der_get(reader, DER_SEQUENCE));
    struct wire_span oid = der_get(&fields, DER_OBJECT_IDENTIFIER);
    enum hash_id hash = public_key_get_hash(&fields);
    if (wire_reader_finish(&fields) || !wire_span_is_equal(oid, oid_mgf1))
        return HASH_NONE;
    return hash;
}

/* A salt of one byte, as it stands in a key that TLS can use. */
static int public_key_get_salt(struct wire_reader *reader)
{
    struct wire_span salt = der_get_unsigned(reader);

    return salt.len == 1 ? salt.data[0] : -1;
}

/* RSASSA-PSS-params, RFC 4055 section 3.1: what else the key may be used with is nothing here. */
static int public_key_parse_pss(struct wire_reader *parameters, struct public_key *key)
{
    struct wire_reader fields;
    struct wire_reader field;

    if (parameters->left == 0)
        return 0;
    wire_reader_init(&fields, der_get(parameters, DER_SEQUENCE));
    wire_reader_init(&field, der_get(&fields, DER_CONTEXT(0)));
    key->pss_hash = public_key_get_hash(&field);
    wire_reader_init(&field, der_get(&fields, DER_CONTEXT(1)));
    enum hash_id mgf1 = public_key_get_mgf1(&field);
    key->pss_salt_len = 20; /* the default of the RFC */
    if (der_next_is(&fields, DER_CONTEXT(2))) {
        wire_reader_init(&field, der_get(&fields, DER_CONTEXT(2)));
        key->pss_salt_len = public_key_get_salt(&field);
    }
    if (wire_reader_finish(&fields) || key->pss_hash == HASH_NONE || mgf1 != key->pss_hash ||
        key->pss_salt_len < 0 || (size_t)key->pss_salt_len > hash_len(key->pss_hash))
        return PUBLIC_KEY_E_UNSUPPORTED;
    return 0;
}

static int public_key_parse_rsa(struct wire_span bits, struct public_key *key)
{
    struct wire_reader outer;
    struct wire_reader fields;

    wire_reader_init(&outer, bits);
    wire_reader_init(&fields, der_get(&outer, DER_SEQUENCE));
    struct wire_span n = der_get_unsigned(&fields);
    struct wire_span e = der_get_unsigned(&fields);
    if (wire_reader_finish(&outer) || wire_reader_finish(&fields) ||
        n.len > PUBLIC_KEY_RSA_BITS_MAX / 8 || e.len > n.len)
        return PUBLIC_KEY_E_UNSUPPORTED;
    key->n = BN_bin2bn(n.data, (int)n.len, NULL);
    key->e = BN_bin2bn(e.data, (int)e.len, NULL);
    if (!key->n || !key->e)
        return -ENOMEM;
    key->bits = (unsigned int)BN_num_bits(key->n);
    return key->bits < PUBLIC_KEY_RSA_BITS_MIN ? PUBLIC_KEY_E_UNSUPPORTED : 0;
}

static int public_key_parse_ec(struct wire_reader *parameters, struct wire_span point,
                               struct public_key *key)
{
    key->curve = curve_from_oid(der_get(parameters, DER_OBJECT_IDENTIFIER));
    if (!key->curve || point.len != 1 + 2 * key->curve->field_len || point.data[0] != 4)
        return PUBLIC_KEY_E_UNSUPPORTED;
    memcpy(key->point, point.data, point.len);
    key->point_len = point.len;
    key->bits = key->curve->bits;
    return 0;
}

static int public_key_parse_ed25519(struct wire_span bits, struct public_key *key)
{
    if (bits.len != PUBLIC_KEY_ED25519_LEN)
        return PUBLIC_KEY_E_UNSUPPORTED;
    memcpy(key->point, bits.data, bits.len);
    key->point_len = bits.len;
    key->bits = 256;
    return 0;
}

/* The key by its algorithm; what is left of @parameters is checked by the caller. */
static int public_key_parse_bits(struct wire_span oid, struct wire_reader *parameters,
                                 struct wire_span bits, struct public_key *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(algorithm_table); i++)
        if (wire_span_is_equal(algorithm_table[i].oid, oid))
            key->type = algorithm_table[i].type;
    switch (key->type) {
    case KEY_TYPE_RSA:
        (void)der_get(parameters, DER_NULL);
        return public_key_parse_rsa(bits, key);
    case KEY_TYPE_RSA_PSS:
        if (public_key_parse_pss(parameters, key))
            return PUBLIC_KEY_E_UNSUPPORTED;
        return public_key_parse_rsa(bits, key);
    case KEY_TYPE_EC:
        return public_key_parse_ec(parameters, bits, key);
    case KEY_TYPE_ED25519:
        return public_key_parse_ed25519(bits, key);
    }
    return PUBLIC_KEY_E_UNSUPPORTED;
}

int public_key_parse_spki(struct wire_span spki, struct public_key *ret_key)
{
    struct wire_reader outer;
    struct wire_reader fields;
    struct wire_reader algorithm;
    struct public_key key = {0};

    wire_reader_init(&outer, spki);
    wire_reader_init(&fields, der_get(&outer, DER_SEQUENCE));
    wire_reader_init(&algorithm, der_get(&fields, DER_SEQUENCE));
    struct wire_span bits = der_get_bit_string(&fields);
    struct wire_span oid = der_get(&algorithm, DER_OBJECT_IDENTIFIER);
    if (wire_reader_finish(&outer) || wire_reader_finish(&fields) || algorithm.failed)
        return PUBLIC_KEY_E_UNSUPPORTED;
    int r = public_key_parse_bits(oid, &algorithm, bits, &key);
    if (r == 0 && wire_reader_finish(&algorithm))
        r = PUBLIC_KEY_E_UNSUPPORTED;
    if (r) {
        public_key_deinit(&key);
        return r;
    }
    *ret_key = key;
    return 0;
}

int public_key_copy(const struct public_key *key, struct public_key *ret_copy)
{
    struct public_key copy = *key;

    copy.n = key->n ? BN_dup(key->n) : NULL;
    copy.e = key->e ? BN_dup(key->e) : NULL;
    if ((key->n && !copy.n) || (key->e && !copy.e)) {
        public_key_deinit(&copy);
        return -ENOMEM;
    }
    *ret_copy = copy;
    return 0;
}

void public_key_deinit(struct public_key *key)
{
    BN_free(key->n);
    BN_free(key->e);
    *key = (struct public_key){0};
}

/* OpenSSL 3.0 exports points in compressed form (SEC 1 section 2.3.3), so either may stand here. */
static bool public_key_point_is_equal(const struct public_key *a, const struct public_key *b)
{
    size_t field_len = a->curve->field_len;
    uint8_t parity_a = a->point[0] == 4 ? 2 | (a->point[a->point_len - 1] & 1) : a->point[0];
    uint8_t parity_b = b->point[0] == 4 ? 2 | (b->point[b->point_len - 1] & 1) : b->point[0];

    if (a->point_len == b->point_len)
        return memcmp(a->point, b->point, a->point_len) == 0;
    return parity_a == parity_b && memcmp(a->point + 1, b->point + 1, field_len) == 0;
}

bool public_key_is_equal(const struct public_key *a, const struct public_key *b)
{
    if (a->type != b->type || a->bits != b->bits || a->bits == 0)
        return false;
    switch (a->type) {
    case KEY_TYPE_RSA:
    case KEY_TYPE_RSA_PSS:
        return BN_cmp(a->n, b->n) == 0 && BN_cmp(a->e, b->e) == 0;
    case KEY_TYPE_EC:
        return a->curve == b->curve && public_key_point_is_equal(a, b);
    case KEY_TYPE_ED25519:
        return memcmp(a->point, b->point, PUBLIC_KEY_ED25519_LEN) == 0;
    }
    return false;
}

size_t public_key_signature_max(const struct public_key *key)
{
    switch (key->type) {
    case KEY_TYPE_RSA:
    case KEY_TYPE_RSA_PSS:
        return (key->bits + 7) / 8;
    case KEY_TYPE_EC: {
        /* SEQUENCE of two INTEGERs, each with room for a sign byte where the order fills its bytes
         */
        size_t integers_len = 2 * (2 + key->bits / 8 + 1);
        return integers_len + (integers_len > 127 ? 3 : 2);
    }
    case KEY_TYPE_ED25519:
        return 64;
    }
    return 0;
}
