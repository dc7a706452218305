/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The border between libmtls-agent.so and its module for OpenSSL, mtls-agent/ssl.so beside it. A
 * program that only lists and signs never loads libcrypto, which would cost it more time than its
 * first signature. Across the border goes the public interface of <mtls-agent.h> and nothing else,
 * so that a module which was upgraded under a running program still fits.
 */
#ifndef MTLS_SSL_MODULE_H
#define MTLS_SSL_MODULE_H

#include "client/lib/mtls-agent.h"

#define SSL_MODULE_FILE "mtls-agent/ssl.so" /* in the directory of libmtls-agent.so */
#define SSL_MODULE_SYMBOL "mtls_agent_ssl_module_0"

/** mtls_agent_ssl_module_0() - mtls_agent_use_ssl_ctx() itself, in the module. */
typedef int (*ssl_module_fn)(struct ssl_ctx_st *ssl_ctx, const char *selector,
                             struct mtls_agent *agent, struct mtls_agent_error *error);
MTLS_AGENT_EXPORT int mtls_agent_ssl_module_0(struct ssl_ctx_st *ssl_ctx, const char *selector,
                                              struct mtls_agent *agent,
                                              struct mtls_agent_error *error);

#endif
