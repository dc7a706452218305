/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's end of the socket pair to the core: one frame per packet, at most one descriptor
 * with it. Any number of threads may receive and send: the kernel's queue is the work queue.
 */
#ifndef MTLS_PKCS11_LINK_H
#define MTLS_PKCS11_LINK_H

#include "common/wire.h"

#define LINK_PACKET_MAX (WIRE_HEADER_LEN + WIRE_FRAME_MAX)

/* Positive answers of this module. */
enum {
    LINK_E_END = 1, /* the core is gone, or wants the worker gone */
    LINK_E_AGAIN,   /* no packet now */
};

/** link_init() - blocking mode, and buffers that hold the largest packet. Return: 0, or -errno. */
int link_init(int fd) _must_check_;

/**
 * link_receive() - take a packet
 * @wait:       block until there is one
 * @buffer:     filled; LINK_PACKET_MAX bytes
 * @ret_packet: filled with what was received, in @buffer
 * @ret_fd:     filled with the one descriptor that came along, owned by the caller, or -1. When
 *              more came, all of them are closed.
 *
 * Return: 0, LINK_E_END, LINK_E_AGAIN (only without @wait), or -errno.
 */
int link_receive(int fd, bool wait, uint8_t *buffer, struct wire_span *ret_packet,
                 int *ret_fd) _must_check_;

/** link_send() - one packet of whole frames; blocks while the core is busy. Return: 0, or -errno.
 */
int link_send(int fd, const struct wire_writer *writer) _must_check_;

#endif
