/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies out of a received message into the tail of one allocation, so that a whole result is
 * released with one free(). The caller sizes the allocation: every span of the message once, and
 * one more byte for each text.
 */
#ifndef MTLS_CLIENT_BLOCK_H
#define MTLS_CLIENT_BLOCK_H

#include <string.h>

#include "client/lib/mtls-agent.h"
#include "common/wire.h"

struct block {
    uint8_t *at;
    size_t left;
};

/** block_put_bytes() - a copy in the block; what does not fit (the caller's error) is empty. */
static inline struct mtls_agent_bytes block_put_bytes(struct block *block, struct wire_span span)
{
    struct mtls_agent_bytes copy = {.data = block->at};

    if (span.len > block->left)
        return copy;
    if (span.len > 0)
        memcpy(block->at, span.data, span.len);
    block->at += span.len;
    block->left -= span.len;
    copy.len = span.len;
    return copy;
}

/** block_put_text() - the same as a C string; @span has no NUL (wire_get_text()). */
static inline const char *block_put_text(struct block *block, struct wire_span span)
{
    static const uint8_t nul = 0;

    if (span.len >= block->left)
        return "";
    struct mtls_agent_bytes copy = block_put_bytes(block, span);
    (void)block_put_bytes(block, (struct wire_span){&nul, 1});
    return (const char *)copy.data;
}

#endif
