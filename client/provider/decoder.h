/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoders (provider-decoder(7)) that turn a key reference file into a key, in two steps, because
 * OpenSSL's store for files knows only steps of PEM to DER and DER to object: PEM to a description
 * of the key, for which the agent is asked once, and the description to the key object.
 */
#ifndef MTLS_PROVIDER_DECODER_H
#define MTLS_PROVIDER_DECODER_H

#include <openssl/core.h>

#define DECODER_PEM_NAMES "DER"
#define DECODER_STRUCTURE "mtls-agent-key"

extern const OSSL_DISPATCH decoder_pem_functions[];
extern const OSSL_DISPATCH decoder_rsa_functions[];
extern const OSSL_DISPATCH decoder_rsa_pss_functions[];
extern const OSSL_DISPATCH decoder_ec_functions[];
extern const OSSL_DISPATCH decoder_ed25519_functions[];

#endif
