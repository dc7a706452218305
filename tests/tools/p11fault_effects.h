/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What p11fault.so does to a call: the effects that happen before it, the answer that stands in
 * its place, and the damage done to a signature.
 */
#ifndef MTLS_TESTS_P11FAULT_EFFECTS_H
#define MTLS_TESTS_P11FAULT_EFFECTS_H

#include <p11-kit/pkcs11.h>

#include "p11fault_rules.h"

/* What is left to do after the effects. */
struct fault_outcome {
    bool answered; /* @rv is the answer, the call is not forwarded */
    CK_RV rv;
    bool damaged; /* @damage is done to the signature */
    enum fault_action damage;
};

/** fault_effects_run() - the effects of a plan; returns unless one of them ends or hangs it. */
struct fault_outcome fault_effects_run(const struct fault_plan *plan);

/** fault_begin() - log the call of @function, and run what the control file has planned for it. */
struct fault_outcome fault_begin(const char *function);

/**
 * fault_damage() - spoil a signature
 * @signature:  the module's, @room bytes of which may be written
 * @len:        its length; changed by the damages that lie about it
 */
void fault_damage(enum fault_action damage, CK_BYTE *signature, CK_ULONG room, CK_ULONG *len);

#endif
