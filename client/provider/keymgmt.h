/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key management (provider-keymgmt(7)) for keys of the agent. Nothing is generated, and a private
 * half goes neither in nor out: an export that asks for it fails, which is how OpenSSL learns that
 * the signature has to be made here.
 */
#ifndef MTLS_PROVIDER_KEYMGMT_H
#define MTLS_PROVIDER_KEYMGMT_H

#include <openssl/core.h>

/* EVP_PKEY_fromdata() of the provider inside libmtls-agent, see provider_pkey_new(). */
#define KEYMGMT_PARAM_AGENT "mtls-agent-handle"    /* octet pointer: struct mtls_agent */
#define KEYMGMT_PARAM_KEY "mtls-agent-description" /* octet string: agent_key_describe() */

/* Algorithm names: those of the default provider, so that a key has the same type everywhere. */
#define KEYMGMT_RSA_NAMES "RSA:rsaEncryption:1.2.840.113549.1.1.1"
#define KEYMGMT_RSA_PSS_NAMES "RSA-PSS:RSASSA-PSS:1.2.840.113549.1.1.10"
#define KEYMGMT_EC_NAMES "EC:id-ecPublicKey:1.2.840.10045.2.1"
#define KEYMGMT_ED25519_NAMES "ED25519:1.3.101.112"

extern const OSSL_DISPATCH keymgmt_rsa_functions[];
extern const OSSL_DISPATCH keymgmt_rsa_pss_functions[];
extern const OSSL_DISPATCH keymgmt_ec_functions[];
extern const OSSL_DISPATCH keymgmt_ed25519_functions[];

#endif
