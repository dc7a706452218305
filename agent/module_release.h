/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving up the card while nobody needs it (`release =`): the module's workers end, its keys stay
 * listed, and the next request starts it again.
 */
#ifndef MTLS_AGENT_MODULE_RELEASE_H
#define MTLS_AGENT_MODULE_RELEASE_H

#include "agent/module.h"

/** module_release_init() - Return: 0, or -errno. */
int module_release_init(struct module *module) _must_check_;

/** module_release_arm() - it is ready: its idle time begins. Does nothing without `release =`. */
void module_release_arm(struct module *module);

/** module_release_end() - it is needed, and started if it was released. Cheap: no system call. */
void module_release_end(struct module *module);

#endif
