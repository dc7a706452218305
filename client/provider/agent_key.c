/* SPDX-License-Identifier: Apache-2.0 */
/* Key objects; see agent_key.h. */
#include "client/provider/agent_key.h"

#include <string.h>

#include "common/der.h"

#define AGENT_KEY_DESCRIPTION_MAX (64u * 1024u)

struct agent_key *agent_key_new(struct provider_context *context, enum key_type type)
{
    struct agent_key *key = calloc(1, sizeof(*key));

    if (!key)
        return NULL;
    key->refs = 1;
    key->context = context;
    key->public_key.type = type;
    return key;
}

struct agent_key *agent_key_ref(struct agent_key *key)
{
    atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
    return key;
}

struct agent_key *agent_key_unref(struct agent_key *key)
{
    if (!key || atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    public_key_deinit(&key->public_key);
    free(key);
    return NULL;
}

bool agent_key_is_private(const struct agent_key *key)
{
    return key->agent != NULL;
}

struct agent_key *agent_key_new_public(const struct agent_key *key)
{
    _cleanup_(cleanup_agent_key) struct agent_key *copy =
        agent_key_new(key->context, key->public_key.type);

    if (!copy || public_key_copy(&key->public_key, &copy->public_key))
        return NULL;
    memcpy(copy->hash, key->hash, sizeof(copy->hash));
    return TAKE_PTR(copy);
}

int agent_key_describe(const struct mtls_agent_key *key, struct wire_span *ret_der)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer fields = {.max = AGENT_KEY_DESCRIPTION_MAX};
    _cleanup_(cleanup_wire_writer) struct wire_writer der = {.max = AGENT_KEY_DESCRIPTION_MAX};

    der_put(&fields, DER_UTF8_STRING, WIRE_SPAN_LITERAL(AGENT_KEY_VERSION));
    der_put(&fields, DER_OCTET_STRING, (struct wire_span){key->hash, sizeof(key->hash)});
    der_put_raw(&fields, (struct wire_span){key->spki.data, key->spki.len});
    der_put(&der, DER_SEQUENCE, (struct wire_span){fields.data, fields.len});
    if (fields.failed || der.failed)
        return -ENOMEM;
    *ret_der = (struct wire_span){der.data, der.len};
    der.data = NULL;
    return 0;
}

static int agent_key_make(struct provider_context *context, struct mtls_agent *agent,
                          struct wire_span hash, struct wire_span spki, struct agent_key **ret_key)
{
    _cleanup_(cleanup_agent_key) struct agent_key *key = agent_key_new(context, 0);

    if (!key)
        return -ENOMEM;
    int r = public_key_parse_spki(spki, &key->public_key);
    if (r)
        return r;
    memcpy(key->hash, hash.data, sizeof(key->hash));
    key->agent = agent;
    *ret_key = TAKE_PTR(key);
    return 0;
}

int agent_key_from_description(struct provider_context *context, struct mtls_agent *agent,
                               struct wire_span der, struct agent_key **ret_key)
{
    struct wire_reader outer;
    struct wire_reader fields;

    wire_reader_init(&outer, der);
    wire_reader_init(&fields, der_get(&outer, DER_SEQUENCE));
    struct wire_span version = der_get(&fields, DER_UTF8_STRING);
    struct wire_span hash = der_get(&fields, DER_OCTET_STRING);
    struct wire_span spki = {fields.at, fields.left};
    if (wire_reader_finish(&outer) || fields.failed || hash.len != MTLS_AGENT_KEY_HASH_LEN ||
        !wire_span_is_equal(version, WIRE_SPAN_LITERAL(AGENT_KEY_VERSION)))
        return PUBLIC_KEY_E_UNSUPPORTED;
    return agent_key_make(context, agent, hash, spki, ret_key);
}

int agent_key_new_private(struct provider_context *context, const struct mtls_agent_key *key,
                          struct agent_key **ret_key)
{
    return agent_key_make(context, context->agent, (struct wire_span){key->hash, sizeof(key->hash)},
                          (struct wire_span){key->spki.data, key->spki.len}, ret_key);
}

const char *agent_key_type_name(enum key_type type)
{
    switch (type) {
    case KEY_TYPE_RSA:
        return "RSA";
    case KEY_TYPE_RSA_PSS:
        return "RSA-PSS";
    case KEY_TYPE_EC:
        return "EC";
    case KEY_TYPE_ED25519:
        return "ED25519";
    }
    return "";
}
