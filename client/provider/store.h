/* SPDX-License-Identifier: Apache-2.0 */
/* Store loader (provider-storemgmt(7)) for `mtls-agent:NAME`: the key and its certificates, leaf
 * first; `mtls-agent:` alone has all keys. */
#ifndef MTLS_PROVIDER_STORE_H
#define MTLS_PROVIDER_STORE_H

#include <openssl/core.h>

#define STORE_NAMES "mtls-agent"

extern const OSSL_DISPATCH store_functions[];

#endif
