/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Says what is being waited for when a call to the agent takes longer than a moment: a token may
 * want a touch, a PIN may be missing. By SIGALRM, so that no thread is needed.
 */
#ifndef MTLS_CLI_PATIENCE_H
#define MTLS_CLI_PATIENCE_H

#include "common/cleanup.h"

#define PATIENCE_DELAY_MS 1000

/**
 * patience_begin() - from now on, after PATIENCE_DELAY_MS, one line on stderr
 * @format:     what is waited for, e.g. "waiting for the token %s"; escaped as a whole
 */
void patience_begin(const char *format, ...) _printf_(1, 2);

/** patience_end() - the wait is over; nothing more is said. */
void patience_end(void);

#endif
