/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Knowing this project's own module for programs, under whatever path or name it comes: an agent
 * that loaded it would be a client of itself, and show every key once more.
 */
#ifndef MTLS_PKCS11_OWN_MODULE_H
#define MTLS_PKCS11_OWN_MODULE_H

#include <libp11.h>
#include <stdbool.h>

/** own_module_is_file() - the shared object behind a handle of dlopen() is our module. */
bool own_module_is_file(void *handle);

/** own_module_is_mapped() - as above, for a file that the process has loaded already. */
bool own_module_is_mapped(const char *path);

/**
 * own_module_is_reached() - through a module that hands on to others (p11-kit's client and proxy)
 * @ctx:        loaded
 * @slots:      all of them
 *
 * Return: true when the module or one of its slots says that it is ours. The module is not asked:
 * libp11 has its answers.
 */
bool own_module_is_reached(const PKCS11_CTX *ctx, const PKCS11_SLOT *slots, size_t slot_count);

#endif
