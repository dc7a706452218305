/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of p11many.so: made from their numbers whenever they are asked for. */
#ifndef MTLS_TESTS_P11MANY_KEY_H
#define MTLS_TESTS_P11MANY_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define MANY_VALUE_MAX 1024u
#define MANY_SIGNATURE_LEN 64u

/** many_key_setup() - once, before all others. Return: 0, or -EINVAL. */
int many_key_setup(void) _must_check_;

/* CKA_EC_PARAMS; CKA_EC_POINT; a certificate's CKA_VALUE. Return: bytes, or -1. */
long many_key_get_params(uint8_t value[static MANY_VALUE_MAX]);
long many_key_get_point(unsigned long number, uint8_t value[static MANY_VALUE_MAX]);
long many_key_get_cert(unsigned long number, uint8_t value[static MANY_VALUE_MAX]);

/** many_key_sign() - CKM_ECDSA over a digest. Return: 0, or -EINVAL. */
int many_key_sign(unsigned long number, const uint8_t *digest, size_t len,
                  uint8_t ret_signature[static MANY_SIGNATURE_LEN]) _must_check_;

#endif
