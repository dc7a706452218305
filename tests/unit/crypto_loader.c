/* SPDX-License-Identifier: Apache-2.0 */
/* Stands for the PKCS#11 module: a shared object that asks for its part for libcrypto. */
#include "client/module/crypto_load.h"

__attribute__((visibility("default"))) const struct module_crypto *crypto_loader_get(void);

const struct module_crypto *crypto_loader_get(void)
{
    return module_crypto_load();
}
