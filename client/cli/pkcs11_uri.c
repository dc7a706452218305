/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 7512 section 2.3; see pkcs11_uri.h. */
#include "client/cli/pkcs11_uri.h"

#include <string.h>

#include "common/escape.h"

/* The unreserved characters of RFC 3986 need no percent encoding anywhere in a URI. */
static bool pkcs11_uri_is_plain(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte != 0 && strchr("-._~", byte));
}

/* @is_binary: every byte is encoded, as section 2.3 recommends for id. */
static void pkcs11_uri_put(struct wire_writer *out, const char *name, const void *value, size_t len,
                           bool is_binary)
{
    const uint8_t *bytes = value;

    if (len == 0)
        return;
    escape_put_raw(out, name);
    for (size_t i = 0; i < len; i++) {
        char encoded[4];
        if (!is_binary && pkcs11_uri_is_plain(bytes[i])) {
            wire_put_u8(out, bytes[i]);
            continue;
        }
        (void)snprintf(encoded, sizeof(encoded), "%%%02X", bytes[i]);
        escape_put_raw(out, encoded);
    }
    wire_put_u8(out, ';');
}

void pkcs11_uri_format(const struct mtls_agent_key *key, struct wire_writer *out)
{
    escape_put_raw(out, "pkcs11:");
    pkcs11_uri_put(out, "token=", key->token_label, strlen(key->token_label), false);
    pkcs11_uri_put(out, "serial=", key->token_serial, strlen(key->token_serial), false);
    pkcs11_uri_put(out, "id=", key->id.data, key->id.len, true);
    pkcs11_uri_put(out, "object=", key->label, strlen(key->label), false);
    escape_put_raw(out, "type=private");
}

void pkcs11_uri_format_short(const struct mtls_agent_key *key, struct wire_writer *out)
{
    escape_put_raw(out, "pkcs11:");
    if (*key->token_serial)
        pkcs11_uri_put(out, "serial=", key->token_serial, strlen(key->token_serial), false);
    else
        pkcs11_uri_put(out, "token=", key->token_label, strlen(key->token_label), false);
    if (key->id.len > 0)
        pkcs11_uri_put(out, "id=", key->id.data, key->id.len, true);
    else
        pkcs11_uri_put(out, "object=", key->label, strlen(key->label), false);
    escape_put_raw(out, "type=private");
}

void pkcs11_uri_format_in_module(const struct mtls_agent_key *key, const char *type, bool is_exact,
                                 struct wire_writer *out)
{
    escape_put_raw(out, "pkcs11:");
    pkcs11_uri_put(out, "token=", key->token_label, strlen(key->token_label), false);
    pkcs11_uri_put(out, "serial=", key->token_serial, strlen(key->token_serial), false);
    if (is_exact)
        pkcs11_uri_put(out, "id=", key->id.data, key->id.len, true);
    pkcs11_uri_put(out, "object=", key->name, strlen(key->name), false);
    escape_put_raw(out, "type=");
    escape_put_raw(out, type);
}

void pkcs11_uri_format_token(const struct mtls_agent_token_status *token, struct wire_writer *out)
{
    escape_put_raw(out, "pkcs11:");
    pkcs11_uri_put(out, "token=", token->label, strlen(token->label), false);
    pkcs11_uri_put(out, "serial=", token->serial, strlen(token->serial), false);
    /* without the separator that the last attribute has, too */
    if (!out->failed && out->data[out->len - 1] == ';')
        out->len--;
    pkcs11_uri_put(out, "?module-name=", token->module, strlen(token->module), false);
    if (!out->failed && out->data[out->len - 1] == ';')
        out->len--;
}
