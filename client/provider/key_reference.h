/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key reference: the PEM block that stands where a program expects a private key, and names a key
 * of the agent instead. Also the URI inside it, `mtls-agent:NAME`. Pure, libc only: the provider
 * reads references, `mtls key-ref` writes them.
 *
 * Label "MTLS AGENT KEY REFERENCE", content DER:
 *     SEQUENCE { UTF8String "mtls-agent key reference 1", UTF8String uri }
 * The label "PKCS#11 PROVIDER URI" of pkcs11-provider is read too, content DER:
 *     SEQUENCE { VisibleString "PKCS#11 Provider URI v1.0", UTF8String "pkcs11:..." }
 */
#ifndef MTLS_PROVIDER_KEY_REFERENCE_H
#define MTLS_PROVIDER_KEY_REFERENCE_H

#include <stddef.h>

#include "common/cleanup.h"

#define KEY_URI_SCHEME "mtls-agent:"
#define KEY_URI_MAX 4096u       /* bytes of a URI */
#define KEY_REFERENCE_MAX 8192u /* bytes of a PEM block */

/* Positive answers of this module. */
enum {
    KEY_REFERENCE_E_OTHER = 1, /* a PEM block with another label */
    KEY_REFERENCE_E_MALFORMED, /* our label, but not a reference of the right form */
};

/**
 * key_uri_from_selector() - the URI of a key
 * @selector:   borrowed; key name, `sha256:` and hex digits, or a `pkcs11:` URI
 * @ret_uri:    filled; owned by the caller
 *
 * Bytes of a name that may not stand in a URI become %XX (RFC 3986 section 2.1). A `pkcs11:` URI is
 * carried as it is, but without its query (RFC 7512 section 2.4): that says nothing about which
 * key, and may hold a PIN.
 * Return: 0, KEY_REFERENCE_E_MALFORMED when it is empty or too long, or -ENOMEM.
 */
int key_uri_from_selector(const char *selector, char **ret_uri) _must_check_;

/**
 * key_uri_to_selector() - the reverse
 * @uri:        borrowed; `mtls-agent:NAME` or `pkcs11:...`
 * @ret_selector: filled; owned by the caller; "" for a bare `mtls-agent:`
 *
 * The query of a `pkcs11:` URI is left out here, too.
 * Return: 0, KEY_REFERENCE_E_MALFORMED (another scheme, a bad %XX, NUL or no UTF-8 in a name), or
 * -ENOMEM.
 */
int key_uri_to_selector(const char *uri, char **ret_selector) _must_check_;

/**
 * key_reference_encode_pem() - a reference for a file
 * @uri:        borrowed; `mtls-agent:NAME`, see key_uri_from_selector()
 * @ret_pem:    filled with NUL-terminated text that ends with a line end; owned by the caller
 *
 * Return: 0, KEY_REFERENCE_E_MALFORMED when @uri names no key, or -ENOMEM.
 */
int key_reference_encode_pem(const char *uri, char **ret_pem) _must_check_;

/**
 * key_reference_parse_pem() - the URI in a reference
 * @pem:        borrowed; exactly one PEM block, from its BEGIN line to its END line; LF or CRLF
 * @len:        bytes at @pem
 * @ret_uri:    filled; owned by the caller
 *
 * Return: 0, KEY_REFERENCE_E_OTHER, KEY_REFERENCE_E_MALFORMED, or -ENOMEM.
 */
int key_reference_parse_pem(const char *pem, size_t len, char **ret_uri) _must_check_;

#endif
