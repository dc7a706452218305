/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent is asked for; see request.h. */
#include "client/module/request.h"

#include <string.h>

#include "client/lib/tls_message.h"

static const enum hash_id request_hashes[] = {HASH_SHA256, HASH_SHA384, HASH_SHA512};

/* DigestInfo before the digest, RFC 8017 section 9.2 note 1. */
static const struct {
    enum hash_id hash;
    uint8_t prefix[19];
} request_digest_infos[] = {
    {HASH_SHA256, "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"},
    {HASH_SHA384, "\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"},
    {HASH_SHA512, "\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"},
};

static CK_RV request_find_by_len(struct wire_span data, enum hash_id *ret_hash,
                                 struct wire_span *ret_digest)
{
    for (size_t i = 0; i < ARRAY_SIZE(request_hashes); i++)
        if (data.len == hash_len(request_hashes[i])) {
            *ret_hash = request_hashes[i];
            *ret_digest = data;
            return CKR_OK;
        }
    return CKR_DATA_LEN_RANGE;
}

/* FIPS 186-4 section 6.4: of a digest longer than the order the leftmost bits count. */
static struct wire_span request_cut_to_order(unsigned int bits, struct wire_span data)
{
    size_t order_len = (bits + 7u) / 8u;

    if (data.len > order_len && bits % 8 == 0)
        data.len = order_len;
    return data;
}

static CK_RV request_parse_digest_info(struct wire_span data, enum hash_id *ret_hash,
                                       struct wire_span *ret_digest)
{
    for (size_t i = 0; i < ARRAY_SIZE(request_digest_infos); i++) {
        enum hash_id hash = request_digest_infos[i].hash;
        size_t prefix_len = sizeof(request_digest_infos[i].prefix);
        if (data.len != prefix_len + hash_len(hash) ||
            memcmp(data.data, request_digest_infos[i].prefix, prefix_len) != 0)
            continue;
        *ret_hash = hash;
        *ret_digest = (struct wire_span){data.data + prefix_len, hash_len(hash)};
        return CKR_OK;
    }
    return CKR_DATA_INVALID;
}

CK_RV request_find_digest(const struct operation *operation, struct wire_span data,
                          enum hash_id *ret_hash, struct wire_span *ret_digest)
{
    const struct mechanism_use *use = &operation->use;

    if (use->mechanism->family == MECHANISM_EC)
        return request_find_by_len(request_cut_to_order(operation->bits, data), ret_hash,
                                   ret_digest);
    if (use->mechanism->padding == PADDING_PKCS1)
        return request_parse_digest_info(data, ret_hash, ret_digest);
    if (data.len != hash_len(use->hash))
        return CKR_DATA_LEN_RANGE;
    *ret_hash = use->hash;
    *ret_digest = data;
    return CKR_OK;
}

/* The whole message is there. As a message of TLS it goes whole, also with Ed25519, which has
 * nothing else; the agent refuses a scheme that TLS does not have. */
static CK_RV request_make_from_message(struct operation *operation, struct wire_span data,
                                       struct request *request)
{
    enum hash_id hash = operation->use.hash;

    request->kind = operation->message.state ? MTLS_AGENT_DIGEST : tls_message_kind(data);
    request->content = data;
    if (request->kind != MTLS_AGENT_DIGEST || hash == HASH_NONE)
        return CKR_OK;
    CK_RV rv = CKR_OK;
    if (!operation->message.state && operation->message.len == 0)
        rv = message_add(&operation->message, hash, data);
    if (rv == CKR_OK)
        rv = message_digest(&operation->message, hash, request->digest);
    request->content = (struct wire_span){request->digest, hash_len(hash)};
    return rv;
}

CK_RV request_make(struct operation *operation, struct wire_span data, struct request *ret_request)
{
    const struct mechanism *mechanism = operation->use.mechanism;
    bool takes_message = mechanism->hash != HASH_NONE || mechanism->family == MECHANISM_EDWARDS;
    enum hash_id hash = operation->use.hash;
    CK_RV rv;

    if (takes_message) {
        rv = request_make_from_message(operation, data, ret_request);
    } else {
        ret_request->kind = MTLS_AGENT_DIGEST;
        rv = request_find_digest(operation, data, &hash, &ret_request->content);
    }
    if (rv != CKR_OK)
        return rv;
    ret_request->scheme = mechanism_scheme(mechanism, hash, operation->key_type, operation->bits);
    return ret_request->scheme != 0 ? CKR_OK : CKR_KEY_TYPE_INCONSISTENT;
}
