/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PIN in memory: fixed capacity on pages of its own, locked, kept out of core dumps and forked
 * children, wiped over its whole capacity. Nothing here prints, and the content is never handled
 * with str* functions.
 */
#ifndef MTLS_COMMON_SECRET_H
#define MTLS_COMMON_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define SECRET_MAX 255u /* bytes of a PIN; longer ones are refused locally */

enum {
    SECRET_E_EMPTY = 1, /* nothing, or only a line end */
    SECRET_E_TOO_LONG,  /* over SECRET_MAX bytes */
    SECRET_E_NUL,       /* a NUL byte inside */
    SECRET_E_TIMEOUT,   /* the source did not finish in time */
};

struct secret {
    size_t len;
    uint8_t data[SECRET_MAX + 2]; /* always followed by a NUL, for interfaces that want one; the
                                     longest PIN with its CRLF fits while it is read */
};

/**
 * secret_new() - an empty secret on locked memory
 *
 * Memory that cannot be locked (RLIMIT_MEMLOCK) is still kept out of dumps and wiped.
 * Return: the secret, owned by the caller, or NULL when memory is short.
 */
struct secret *secret_new(void) _must_check_;

/** secret_free() - wipe and release; NULL is fine. Return: NULL. */
struct secret *secret_free(struct secret *secret);

/** secret_wipe() - zero the whole capacity. */
void secret_wipe(struct secret *secret);

/**
 * secret_read() - fill from a descriptor, up to its end or the end of the first line
 * @fd:         borrowed; a pipe, a file or a terminal. Blocks, at most @timeout_ms.
 * @timeout_ms: milliseconds for the whole secret
 *
 * One trailing line end (LF or CRLF) is not part of the secret. On every failure the secret is
 * wiped. Return: 0; SECRET_E_EMPTY, SECRET_E_TOO_LONG, SECRET_E_NUL, SECRET_E_TIMEOUT; or -errno.
 */
int secret_read(struct secret *secret, int fd, unsigned int timeout_ms) _must_check_;

/**
 * secret_read_pair() - fill two from a descriptor, one line each
 *
 * As secret_read(); on every failure both are wiped.
 */
int secret_read_pair(struct secret *first, struct secret *second, int fd,
                     unsigned int timeout_ms) _must_check_;

/** secret_error_text() - a sentence fragment for a positive answer of secret_read(). */
const char *secret_error_text(int answer);

DEFINE_CLEANUP(struct secret *, secret, secret_free)
#define _cleanup_secret_ _cleanup_(cleanup_secret)

#endif
