/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of every type as the agent lists them, with real certificates under one intermediate: for
 * the tests and the fuzzer of the PKCS#11 module. All of one token. Made with openssl(1).
 */
#ifndef MTLS_TESTS_MODULE_KEYS_H
#define MTLS_TESTS_MODULE_KEYS_H

#include "client/lib/mtls-agent.h"

enum {
    KEYS_P256,
    KEYS_P384,
    KEYS_P521,
    KEYS_RSA,
    KEYS_PSS, /* without a certificate */
    KEYS_ED25519,
    KEYS_COUNT,
};

#define KEYS_TOKEN "card"
#define KEYS_SERIAL "0123"

extern const struct mtls_agent_key module_keys[KEYS_COUNT];

#endif
