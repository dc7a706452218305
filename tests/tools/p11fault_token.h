/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which token a slot or a session belongs to, and whether the control file says that it was pulled.
 * A pulled token loses its sessions and its login, as a card does: the first call that notices gets
 * CKR_DEVICE_REMOVED, later ones CKR_SESSION_HANDLE_INVALID, also after it is back.
 */
#ifndef MTLS_TESTS_P11FAULT_TOKEN_H
#define MTLS_TESTS_P11FAULT_TOKEN_H

#include <p11-kit/pkcs11.h>

#include "p11fault_rules.h"

/** fault_token_set_module() - the module that calls are forwarded to; borrowed, for ever. */
void fault_token_set_module(CK_FUNCTION_LIST *module);

/** fault_token_label() - the label in a slot without its padding; empty when there is none. */
void fault_token_label(CK_SLOT_ID slot, char ret_label[FAULT_LABEL_LEN + 1]);

/** fault_token_is_removed() - the control file takes the token in @slot away. */
bool fault_token_is_removed(CK_SLOT_ID slot);

/**
 * fault_token_enter() - before a call on a session is forwarded
 *
 * Return: CKR_OK, then fault_token_leave() must follow; or the answer to give in place of the call.
 */
CK_RV fault_token_enter(CK_SESSION_HANDLE session) _must_check_;
void fault_token_leave(void);

/** fault_token_count_signature() - for `count-signatures`; after one was made in the session. */
void fault_token_count_signature(CK_SESSION_HANDLE session);

/** fault_token_filter() - take removed tokens off a list of slots. Return: how many are left. */
CK_ULONG fault_token_filter(CK_SLOT_ID *slots, CK_ULONG count);

/* `serial` and `reader`, where the control file says so. */
void fault_token_set_serial(const char *label, CK_TOKEN_INFO *info);
void fault_token_set_reader(CK_SLOT_ID slot, CK_SLOT_INFO *info);

/** fault_token_event() - C_WaitForSlotEvent, made from changes of the control file. */
CK_RV fault_token_event(CK_FLAGS flags, CK_SLOT_ID *ret_slot);

#endif
