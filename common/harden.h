/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every process of ours does to itself before it touches a key, a PIN or a client. The same in
 * every start path: foreground, systemd, helper.
 */
#ifndef MTLS_COMMON_HARDEN_H
#define MTLS_COMMON_HARDEN_H

#include "common/cleanup.h"

/**
 * harden_process() - PR_SET_DUMPABLE 0, NO_NEW_PRIVS, core limit 0 (soft and hard)
 *
 * A build with -Ddumpable=true leaves out the first, because sanitizers and debuggers need it; that
 * build says so in --version.
 * Return: 0, or -errno of the first step that failed.
 */
int harden_process(void) _must_check_;

/**
 * harden_standard_fds() - make sure that descriptors 0, 1 and 2 are open
 *
 * A closed one is opened on /dev/null, so that no socket ever becomes "standard error".
 * Return: 0, or -errno.
 */
int harden_standard_fds(void) _must_check_;

#endif
