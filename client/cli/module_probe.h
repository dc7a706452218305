/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking into mtls-agent-pkcs11.so as a program does that loads it. Only for this module: it is
 * harmless in any process, which vendors' are not.
 */
#ifndef MTLS_CLI_MODULE_PROBE_H
#define MTLS_CLI_MODULE_PROBE_H

#include "client/lib/mtls-agent.h"
#include "common/cleanup.h"

/* The positive answers of this module. */
enum {
    MODULE_PROBE_E_UNUSABLE = 1, /* it cannot be loaded, or is not ours */
    MODULE_PROBE_E_NO_TOKEN,     /* it does not show the key's token */
};

/**
 * module_probe_slot() - the slot of the module on which a key is
 * @path:       of the module
 * @key:        borrowed
 * @ret_index:  filled: where the slot stands in C_GetSlotList(), those without a token counted
 *
 * Return: 0, MODULE_PROBE_E_UNUSABLE or MODULE_PROBE_E_NO_TOKEN.
 */
int module_probe_slot(const char *path, const struct mtls_agent_key *key,
                      unsigned long *ret_index) _must_check_;

#endif
