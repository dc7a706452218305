/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys and signatures that both providers offer, the module that programs load and the one
 * inside libmtls-agent: rows of OSSL_ALGORITHM, alike but for the property that names the provider.
 */
#ifndef MTLS_PROVIDER_ALGORITHMS_H
#define MTLS_PROVIDER_ALGORITHMS_H

#include "client/provider/keymgmt.h"
#include "client/provider/signature.h"

#define ALGORITHMS_END         \
    {                          \
        NULL, NULL, NULL, NULL \
    }

/** ALGORITHMS_KEYMGMT - initialiser of a table for OSSL_OP_KEYMGMT; @properties: a literal. */
#define ALGORITHMS_KEYMGMT(properties)                                                            \
    {                                                                                             \
        {KEYMGMT_RSA_NAMES, properties, keymgmt_rsa_functions, NULL},                             \
            {KEYMGMT_RSA_PSS_NAMES, properties, keymgmt_rsa_pss_functions, NULL},                 \
            {KEYMGMT_EC_NAMES, properties, keymgmt_ec_functions, NULL},                           \
            {KEYMGMT_ED25519_NAMES, properties, keymgmt_ed25519_functions, NULL}, ALGORITHMS_END, \
    }

/** ALGORITHMS_SIGNATURE - the same for OSSL_OP_SIGNATURE. */
#define ALGORITHMS_SIGNATURE(properties)                                                      \
    {                                                                                         \
        {SIGNATURE_RSA_NAMES, properties, signature_functions, NULL},                         \
            {SIGNATURE_ECDSA_NAMES, properties, signature_functions, NULL},                   \
            {SIGNATURE_ED25519_NAMES, properties, signature_functions, NULL}, ALGORITHMS_END, \
    }

#endif
