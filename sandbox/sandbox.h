/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that our processes give up, in every way of starting. A filter goes on to
 * children and is never taken off. The core starts the workers, which load anybody's module, and
 * the PIN commands, which are any program: so the core gives up only what none of them needs, and
 * the worker, which starts nothing, gives up more.
 *
 * What is refused fails with EPERM and leaves a line in the kernel's audit (type=1326); the process
 * goes on. Everything else is allowed: a list of what every vendor's module, every libc and every
 * PIN command may call would be as long as the kernel's own, and wrong next year.
 */
#ifndef MTLS_SANDBOX_SANDBOX_H
#define MTLS_SANDBOX_SANDBOX_H

#include "common/cleanup.h"

/* The positive answer of this module: this kernel has no filters of system calls. */
#define SANDBOX_E_UNAVAILABLE 1

/**
 * sandbox_enter_core() - for the core, and with it for every process of ours
 *
 * Looking into other processes, loading code into the kernel, changing the tree of files or the
 * namespaces, typing into a terminal for its user, sockets of other families than Unix, IP and
 * netlink, and interfaces of the kernel with a long record of holes. To be called with one thread,
 * after harden_process(). A build with a sanitizer or -Dsandbox=false does nothing.
 * Return: 0, SANDBOX_E_UNAVAILABLE, or -errno.
 */
int sandbox_enter_core(void) _must_check_;

/**
 * sandbox_enter_worker() - for a token worker, before its module is loaded; in addition
 *
 * Starting programs, signals to other processes than itself, their limits, the kernel's keyrings,
 * and becoming dumpable again. As above.
 */
int sandbox_enter_worker(void) _must_check_;

#endif
