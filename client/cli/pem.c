/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates as PEM; see pem.h. */
#include "client/cli/pem.h"

#include <openssl/evp.h>

#include "common/escape.h"

#define PEM_LINE_BYTES 48 /* become the 64 characters of RFC 7468 section 2 */

static void pem_put_base64(struct mtls_agent_bytes der, struct wire_writer *out)
{
    for (size_t at = 0; at < der.len; at += PEM_LINE_BYTES) {
        unsigned char line[PEM_LINE_BYTES / 3 * 4 + 1];
        size_t len = der.len - at < PEM_LINE_BYTES ? der.len - at : PEM_LINE_BYTES;
        (void)EVP_EncodeBlock(line, der.data + at, (int)len);
        escape_put_raw(out, (const char *)line);
        wire_put_u8(out, '\n');
    }
}

void pem_put_certificates(const struct mtls_agent_key *key, struct wire_writer *out)
{
    for (size_t i = 0; i < key->cert_count; i++) {
        escape_put_raw(out, "-----BEGIN CERTIFICATE-----\n");
        pem_put_base64(key->certs[i], out);
        escape_put_raw(out, "-----END CERTIFICATE-----\n");
    }
}
