/* SPDX-License-Identifier: Apache-2.0 */
/* What people and programs want to know of an X.509 certificate. Display only: nothing is verified.
 */
#ifndef MTLS_CLI_CERT_INFO_H
#define MTLS_CLI_CERT_INFO_H

#include <time.h>

#include "client/lib/mtls-agent.h"
#include "common/cleanup.h"

enum {
    CERT_INFO_E_UNREADABLE = 1, /* the bytes are no certificate that OpenSSL can read */
};

/* Texts are UTF-8 with control characters as \XX; still to be escaped for a terminal. All owned. */
struct cert_info {
    char *title;   /* the common name, else the first part of the subject ("O=Corp"), else "" */
    char *subject; /* RFC 4514 */
    char *issuer;  /* RFC 4514 */
    char *serial;  /* upper-case hex digits */
    time_t not_before;
    time_t not_after;
};

#define CERT_INFO_INIT ((struct cert_info){0})

/**
 * cert_info_parse() - read one certificate
 * @der:        borrowed
 * @ret_info:   filled; cert_info_deinit()
 *
 * Return: 0, or CERT_INFO_E_UNREADABLE (also when OpenSSL is short of memory).
 */
int cert_info_parse(struct mtls_agent_bytes der, struct cert_info *ret_info) _must_check_;
void cert_info_deinit(struct cert_info *info);

#define _cleanup_cert_info_ _cleanup_(cert_info_deinit)

#endif
