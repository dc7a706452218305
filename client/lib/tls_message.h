/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program wants signed, told by its bytes: libssl hands over the whole message that a TLS
 * client signs. This only chooses the kind of the request; the agent checks every byte itself.
 */
#ifndef MTLS_CLIENT_TLS_MESSAGE_H
#define MTLS_CLIENT_TLS_MESSAGE_H

#include "client/lib/mtls-agent.h"
#include "common/wire.h"

/**
 * tls_message_kind() - which kind of request the message belongs into
 *
 * MTLS_AGENT_TLS13 for the content of a client's CertificateVerify with a hash of 32 or 48 bytes
 * (RFC 8446 section 4.4.3), MTLS_AGENT_TLS12 for whole handshake messages from ClientHello on
 * (RFC 5246 section 7.4.8), MTLS_AGENT_DIGEST for everything else.
 */
enum mtls_agent_kind tls_message_kind(struct wire_span message);

#endif
