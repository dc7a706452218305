/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration from its file to the modules: at the start, and at each reload. */
#ifndef MTLS_AGENT_AGENT_RELOAD_H
#define MTLS_AGENT_AGENT_RELOAD_H

#include "common/cleanup.h"

struct agent;
struct config;
struct config_module;

/**
 * agent_load_config() - read the configuration, and the audit's part of it
 *
 * Return: 0 when the new one is in force; else the old one still is, and agent->config_text may say
 * why: -errno, or a problem that was found in the file.
 */
int agent_load_config(struct agent *agent);

/** agent_add_module() - make and start a module. @owner has @config. Return: 0, or -errno. */
int agent_add_module(struct agent *agent, struct config *owner,
                     const struct config_module *config) _must_check_;

/** agent_start_modules() - those of the configuration that do not run yet, or without any those
 * that p11-kit knows. */
void agent_start_modules(struct agent *agent);

/** agent_reload() - SIGHUP: what is configured as before goes on untouched. */
void agent_reload(struct agent *agent);

#endif
