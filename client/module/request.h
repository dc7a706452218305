/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what a program wants signed to what the agent is asked: the kind of the request, its
 * SignatureScheme, and its content. A message of TLS goes as it is, so that the agent can check it;
 * of anything else only the digest.
 */
#ifndef MTLS_MODULE_REQUEST_H
#define MTLS_MODULE_REQUEST_H

#include "client/module/operation.h"

struct request {
    enum mtls_agent_kind kind;
    uint16_t scheme;
    struct wire_span content; /* in `digest`, or borrowed from the data */
    uint8_t digest[DIGEST_LEN_MAX];
};

/**
 * request_make() - for a signature
 * @data:       borrowed by the result; empty, with @operation->message too long to be kept
 *
 * May load libcrypto: call it without the library's lock.
 * Return: CKR_OK, CKR_DATA_LEN_RANGE, CKR_DATA_INVALID, or as message_digest().
 */
CK_RV request_make(struct operation *operation, struct wire_span data,
                   struct request *ret_request) _must_check_;

/**
 * request_find_digest() - the digest that raw data stand for
 * @data:       of CKM_ECDSA, CKM_RSA_PKCS (a DigestInfo, RFC 8017 section 9.2) or CKM_RSA_PKCS_PSS
 * @ret_hash:   filled with the hash that it must be of
 * @ret_digest: filled; borrowed from @data
 *
 * Return: CKR_OK, CKR_DATA_LEN_RANGE, CKR_DATA_INVALID.
 */
CK_RV request_find_digest(const struct operation *operation, struct wire_span data,
                          enum hash_id *ret_hash, struct wire_span *ret_digest) _must_check_;

#endif
