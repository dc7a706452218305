/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The retry counter of a card, for modules that have none (SoftHSM). Set by `pin-tries N` in the
 * control file. The tries left of a token stand as a decimal number in $P11FAULT_CTL.pin-LABEL, for
 * tests to read and to write, and hold over processes.
 */
#ifndef MTLS_TESTS_P11FAULT_PIN_H
#define MTLS_TESTS_P11FAULT_PIN_H

#include <p11-kit/pkcs11.h>

#include "p11fault_rules.h"

/**
 * fault_pin_count() - what a counting token says to a login
 * @label:      of the token
 * @login:      called with @closure to try the PIN; not called when the token is blocked
 *
 * Return: CKR_PIN_LOCKED for a blocked token and for the try that blocks it, else what @login says.
 */
CK_RV fault_pin_count(const struct fault_settings *settings, const char *label,
                      CK_RV (*login)(void *closure), void *closure);

/**
 * fault_pinpad() - a person types the PIN at the reader: $P11FAULT_PIN, after `pinpad-wait`
 * @pin, @len:  as given to C_Login: must be NULL; replaced by what is typed
 *
 * Return: CKR_OK; CKR_ARGUMENTS_BAD: a PIN was given; CKR_FUNCTION_CANCELED: nothing is typed.
 */
CK_RV fault_pinpad(const struct fault_settings *settings, CK_BYTE **pin,
                   CK_ULONG *len) _must_check_;

/** fault_pin_flags() - set the flags of CK_TOKEN_INFO that tell of the counter. */
void fault_pin_flags(const struct fault_settings *settings, const char *label, CK_FLAGS *flags);

#endif
