/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the module of this process talks to smart card readers: it has libpcsclite mapped, by its
 * linking (ykcs11) or by dlopen() in C_Initialize (OpenSC). Loads nothing itself.
 */
#ifndef MTLS_PKCS11_PCSC_USE_H
#define MTLS_PKCS11_PCSC_USE_H

#include <stdbool.h>

/** pcsc_is_library() - the file of this path is pcsclite's client library. @path: may be empty. */
bool pcsc_is_library(const char *path);

/** pcsc_is_mapped() - it is in this process now. */
bool pcsc_is_mapped(void);

#endif
