/* SPDX-License-Identifier: Apache-2.0 */
/* Telling TLS messages from others; see tls_message.h. */
#include "client/lib/tls_message.h"

#include <string.h>

#define PADDING_LEN 64u
#define HANDSHAKE_HEADER_LEN 4u
#define HANDSHAKE_CLIENT_HELLO 1u

static bool tls_message_is_tls13(struct wire_span message)
{
    /* the array's NUL is the separator of the RFC */
    static const char context[] = "TLS 1.3, client CertificateVerify";
    const size_t prefix_len = PADDING_LEN + sizeof(context);

    if (message.len != prefix_len + 32 && message.len != prefix_len + 48)
        return false;
    for (size_t i = 0; i < PADDING_LEN; i++)
        if (message.data[i] != ' ')
            return false;
    return memcmp(message.data + PADDING_LEN, context, sizeof(context)) == 0;
}

static bool tls_message_is_tls12(struct wire_span message)
{
    size_t count = 0;

    if (message.len == 0 || message.data[0] != HANDSHAKE_CLIENT_HELLO)
        return false;
    while (message.len > 0) {
        if (message.len < HANDSHAKE_HEADER_LEN)
            return false;
        size_t len = (size_t)message.data[1] << 16 | (size_t)message.data[2] << 8 | message.data[3];
        if (len > message.len - HANDSHAKE_HEADER_LEN)
            return false;
        message.data += HANDSHAKE_HEADER_LEN + len;
        message.len -= HANDSHAKE_HEADER_LEN + len;
        count++;
    }
    return count > 1;
}

enum mtls_agent_kind tls_message_kind(struct wire_span message)
{
    if (tls_message_is_tls13(message))
        return MTLS_AGENT_TLS13;
    return tls_message_is_tls12(message) ? MTLS_AGENT_TLS12 : MTLS_AGENT_DIGEST;
}
