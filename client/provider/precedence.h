/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps ordinary keys where they were. OpenSSL takes an algorithm from the provider that was asked
 * for it first, and the names here ("RSA", "EC", ...) are those of the default provider. When this
 * provider was activated before it (a configuration in the wrong order, or a program that loads us
 * before anything else), it answers the first question for algorithms with none, so that the
 * default provider's come first all the same.
 */
#ifndef MTLS_PROVIDER_PRECEDENCE_H
#define MTLS_PROVIDER_PRECEDENCE_H

#include <openssl/core.h>
#include <stdatomic.h>
#include <stdbool.h>

struct precedence {
    bool is_last; /* a provider with ordinary keys was there before us */
    atomic_bool was_asked_for_keymgmt;
    atomic_bool was_asked_for_signature;
};

/** precedence_init() - look around, during OSSL_provider_init */
void precedence_init(struct precedence *precedence, const OSSL_CORE_HANDLE *core,
                     const OSSL_DISPATCH *in);

/** precedence_gives_way() - true when the operation's algorithms must not be named yet. */
bool precedence_gives_way(struct precedence *precedence, int operation);

#endif
