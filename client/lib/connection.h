/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One socket to the agent: connect, the check of the peer, HELLO, bytes out and bytes in, each
 * within a deadline. It knows no request; call.c shares a connection among the threads.
 */
#ifndef MTLS_CLIENT_CONNECTION_H
#define MTLS_CLIENT_CONNECTION_H

#include <pthread.h>
#include <stdatomic.h>

#include "client/lib/mtls-agent.h"
#include "common/frame.h"

struct call;

/* Positive answers. */
enum {
    CONNECTION_E_TIMEOUT = 1, /* the deadline passed */
    CONNECTION_E_AGAIN,       /* the kernel takes no more bytes now */
    CONNECTION_E_END,         /* the agent closed after it had read everything that was sent */
    CONNECTION_E_RESET,       /* the agent closed without having read everything */
};

/*
 * Everything but `in` is guarded by the mutex of the struct mtls_agent. `in` belongs to the thread
 * that set has_reader; the right to write bytes to the thread that set has_writer.
 */
struct connection {
    unsigned int ref_count; /* the handle, and each call that uses it */
    atomic_int fd;          /* a forked child reads it without the lock */
    bool is_broken;         /* out of step or closed: nothing more may be sent */
    bool has_reader;
    bool has_writer;
    pthread_cond_t writer_left;
    struct frame_buffer in;
    struct wire_writer out;  /* bytes not yet taken by the kernel */
    uint64_t issued;         /* request ids given out */
    uint32_t last_begun_id;  /* of the last frame that the kernel may have bytes of */
    struct call *first_call; /* that wait for a reply, oldest first */
    struct call *last_call;
};

/**
 * connection_new() - connect, check the peer, exchange HELLO
 * @path:        of the socket
 * @client_name: for people
 * @ret_retry:   filled on failure: the agent went away in the middle, as one that is being
 * restarted does, and another try may find its successor
 * @error:       filled on failure, or NULL
 *
 * Blocks until the deadline at most. Return: 0, or enum mtls_agent_code.
 */
int connection_new(const char *path, const char *client_name, uint64_t deadline_us,
                   struct connection **ret_connection, bool *ret_retry,
                   struct mtls_agent_error *error) _must_check_;

/** connection_unref() - the last one closes the socket. */
void connection_unref(struct connection *connection);

/** connection_abandon() - in a forked child: close the socket, touch nothing else. */
void connection_abandon(struct connection *connection);

/**
 * connection_send() - give the kernel what is in `out`
 * @pass_fd:    descriptor to travel with the first byte, or -1. Borrowed.
 *
 * Does not block. Return: 0 when all is sent, CONNECTION_E_AGAIN, CONNECTION_E_RESET, or -errno.
 */
int connection_send(struct connection *connection, int pass_fd) _must_check_;

/** connection_wait_writable() - Return: 0, CONNECTION_E_TIMEOUT, or -errno. */
int connection_wait_writable(const struct connection *connection,
                             uint64_t deadline_us) _must_check_;

/**
 * connection_receive() - wait for bytes and put them into `in`
 *
 * Return: 0, CONNECTION_E_TIMEOUT, CONNECTION_E_END, CONNECTION_E_RESET, or -errno.
 */
int connection_receive(struct connection *connection, uint64_t deadline_us) _must_check_;

/** connection_flush() - connection_send() until all is sent. Return: as both of these. */
int connection_flush(struct connection *connection, uint64_t deadline_us) _must_check_;

/**
 * connection_receive_frame() - the next whole frame
 * @deadline_us: of the past: takes what is there and does not wait
 * @ret_frame:   filled; borrowed from `in` until more is received
 *
 * For a connection that one thread has to itself. Return: 0, -EBADMSG when the bytes are no frame,
 * or as connection_receive().
 */
int connection_receive_frame(struct connection *connection, uint64_t deadline_us,
                             struct frame *ret_frame) _must_check_;

#endif
