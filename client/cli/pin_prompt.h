/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PIN from the person at the terminal, without echo. The terminal is put back in order when the
 * PIN is there, and also before any signal stops or ends the program.
 */
#ifndef MTLS_CLI_PIN_PROMPT_H
#define MTLS_CLI_PIN_PROMPT_H

#include "common/secret.h"

#define PIN_PROMPT_TIMEOUT_MS (5u * 60u * 1000u)

enum {
    /* The answers of secret_read() are answers of pin_prompt_read(), too. */
    PIN_PROMPT_E_NO_TERMINAL = 64, /* /dev/tty cannot be opened */
};

/**
 * pin_prompt_read() - ask on /dev/tty
 * @prompt:     borrowed; escaped before
 * @secret:     filled
 *
 * Blocks, at most PIN_PROMPT_TIMEOUT_MS. Not for use from several threads.
 * Return: 0, PIN_PROMPT_E_NO_TERMINAL, SECRET_E_..., or -errno.
 */
int pin_prompt_read(const char *prompt, struct secret *secret) _must_check_;

#endif
