/* SPDX-License-Identifier: Apache-2.0 */
/* The RFC 7512 URI of a key, so that it can be put into a configuration file. */
#ifndef MTLS_CLI_PKCS11_URI_H
#define MTLS_CLI_PKCS11_URI_H

#include "client/lib/mtls-agent.h"
#include "common/wire.h"

/** pkcs11_uri_format() - append "pkcs11:token=...;serial=...;id=...;object=...;type=private". */
void pkcs11_uri_format(const struct mtls_agent_key *key, struct wire_writer *out);

/** pkcs11_uri_format_short() - append the same with what is needed to tell the key alone. */
void pkcs11_uri_format_short(const struct mtls_agent_key *key, struct wire_writer *out);

/** pkcs11_uri_format_token() - append "pkcs11:token=...;serial=...?module-name=...". */
void pkcs11_uri_format_token(const struct mtls_agent_token_status *token, struct wire_writer *out);

/**
 * pkcs11_uri_format_in_module() - append the URI by which programs name it in mtls-agent-pkcs11.so
 * @type:       "private" or "cert"
 * @is_exact:   also by its id; else by token and name alone
 */
void pkcs11_uri_format_in_module(const struct mtls_agent_key *key, const char *type, bool is_exact,
                                 struct wire_writer *out);

#endif
