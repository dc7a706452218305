/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor of every agent: two processes on the way, each of which does nothing but to receive and
 * to send, around the same signature. What an agent takes beyond it is its own work.
 */
#ifndef MTLS_BENCH_RELAY_H
#define MTLS_BENCH_RELAY_H

#include "signer.h"

struct relay {
    int fd;
};

/** relay_start() - both processes; they end with this one. Return: 0, or 1 with the reason on
 * stderr. */
int relay_start(const struct signer_options *options, struct relay *ret_relay) _must_check_;

/** relay_sign() - one signature over both. Takes a struct relay. Return: 0, or 1. */
int relay_sign(void *relay) _must_check_;

#endif
