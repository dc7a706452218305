/* SPDX-License-Identifier: Apache-2.0 */
/* Which modules there are on this machine, as p11-kit's registry knows them. */
#ifndef MTLS_PKCS11_DISCOVER_H
#define MTLS_PKCS11_DISCOVER_H

#include "common/worker_protocol.h"

/**
 * discover_send() - tell the core about every module that may hold client keys
 * @link:       socket to the core
 * @writer:     for the messages
 *
 * Left out: trust policy modules (CA certificates only), this project's own module whatever it is
 * called, and p11-kit's client and proxy, which would show everything twice. Nothing is
 * initialised.
 * Return: 0, or -errno.
 */
int discover_send(int link, struct wire_writer *writer) _must_check_;

/** discover_is_wanted() - by the names alone; for discover_send() and its test. */
bool discover_is_wanted(const char *name, const char *path);

#endif
