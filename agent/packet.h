/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets to the processes that the core starts: SOCK_SEQPACKET, each with at most one descriptor.
 */
#ifndef MTLS_AGENT_PACKET_H
#define MTLS_AGENT_PACKET_H

#include "common/wire.h"

/**
 * packet_send() - one packet, without waiting
 * @fd:         the core's end of the socket pair
 * @pass_fd:    travels with it (SCM_RIGHTS); borrowed; negative: none
 *
 * Return: 0; -EAGAIN when the socket is full, -EPIPE or -ECONNRESET when the other end is gone, or
 * another -errno.
 */
int packet_send(int fd, const struct wire_writer *packet, int pass_fd) _must_check_;

#endif
