/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Without a [module] section: which modules p11-kit knows. A disposable worker asks, because asking
 * loads them.
 */
#ifndef MTLS_AGENT_DISCOVERY_H
#define MTLS_AGENT_DISCOVERY_H

#include <stdint.h>

#include "common/cleanup.h"

struct agent;
struct discovery;

/**
 * discovery_start() - ask; what is found goes to agent_take_discovered()
 *
 * Return: 0, or -errno.
 */
int discovery_start(struct agent *agent, struct discovery **ret_discovery) _must_check_;
struct discovery *discovery_free(struct discovery *discovery);

/** discovery_check_deadline() - end it when a module that it loads holds it up. */
void discovery_check_deadline(struct discovery *discovery, uint64_t now_ms);

#endif
