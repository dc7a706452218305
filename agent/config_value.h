/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single values of the configuration: text in, value out, with a sentence about what is wrong. They
 * read files where a value names one, and know nothing of sections.
 */
#ifndef MTLS_AGENT_CONFIG_VALUE_H
#define MTLS_AGENT_CONFIG_VALUE_H

#include "agent/config.h"

#define CONFIG_PROBLEM_MAX 512

/* Every function returns 0, CONFIG_E_INVALID with @problem filled, or -errno. */

/** config_value_duration() - "250ms", "30s", "5min", "1h"; 1 ms to 24 h. */
int config_value_duration(const char *text, uint32_t *ret_ms,
                          char problem[static CONFIG_PROBLEM_MAX]) _must_check_;

/** config_value_count() - a decimal number from @min to @max. */
int config_value_count(const char *text, uint32_t min, uint32_t max, uint32_t *ret_count,
                       char problem[static CONFIG_PROBLEM_MAX]) _must_check_;

/**
 * config_value_users() - "1000, alice"
 * @users:      filled from *count on
 */
int config_value_users(const char *text, uid_t users[static CONFIG_USERS_MAX], size_t *count,
                       char problem[static CONFIG_PROBLEM_MAX]) _must_check_;

/** config_value_uri() - RFC 7512 `pkcs11:` URI without PIN attributes, parsed. */
int config_value_uri(const char *text, struct selector **ret_selector,
                     char problem[static CONFIG_PROBLEM_MAX]) _must_check_;

/** config_value_module_path() - a shared object that others cannot change; copied. */
int config_value_module_path(const char *text, char **ret_path,
                             char problem[static CONFIG_PROBLEM_MAX]) _must_check_;

/** config_value_pin() - ask | file:PATH | command:CMD | credential:NAME. */
int config_value_pin(const char *text, enum config_pin *ret_pin, char **ret_argument,
                     char problem[static CONFIG_PROBLEM_MAX]) _must_check_;

/**
 * config_value_certs() - the certificates of a PEM file, named by its absolute path
 * @certs:      filled, each owned by the caller
 * @limit:      most that fit
 */
int config_value_certs(const char *path, struct config_cert *certs, size_t limit, size_t *ret_count,
                       char problem[static CONFIG_PROBLEM_MAX]) _must_check_;

/**
 * config_open() - open a regular file for reading, without ever waiting for it
 *
 * Return: the stream, owned by the caller, or NULL with errno set (EINVAL: not a regular file).
 */
FILE *config_open(const char *path) _must_check_;

#endif
