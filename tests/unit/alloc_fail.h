/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that runs out on demand. Link the test with the arguments of alloc_fail_link_args in
 * meson.build: calls of statically linked code then come here first.
 */
#ifndef MTLS_TESTS_ALLOC_FAIL_H
#define MTLS_TESTS_ALLOC_FAIL_H

#include <stddef.h>

/** alloc_fail_at() - let allocation number @nth from now on fail, and all after it; 0: none. */
void alloc_fail_at(size_t nth);

/** alloc_fail_happened() - an allocation was refused since alloc_fail_at(); ends the refusals. */
int alloc_fail_happened(void);

#endif
