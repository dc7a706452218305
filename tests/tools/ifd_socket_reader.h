/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader whose card is a program: the reader listens on a Unix socket, a card is in it as long as
 * a peer is connected. Presence is asked of the kernel and never of the card, so a card that hangs
 * can still be pulled.
 *
 * Messages (SOCK_SEQPACKET, one send each): a kind, then bytes. READER_POWER_UP and READER_RESET
 * are answered with the ATR, READER_APDU with the response; READER_POWER_DOWN has no answer.
 * READER_KEYS is a VERIFY without its PIN: the person types that at the reader, a part that the
 * card's program plays, too. It is answered with the response, 6400 (nobody typed) or 6401
 * (cancelled).
 */
#ifndef MTLS_TESTS_IFD_SOCKET_READER_H
#define MTLS_TESTS_IFD_SOCKET_READER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

#define READER_MESSAGE_MAX (1 + 65544) /* kind, extended APDU */

enum reader_kind {
    READER_POWER_UP = 'U',
    READER_POWER_DOWN = 'D',
    READER_RESET = 'R',
    READER_APDU = 'A',
    READER_KEYS = 'K',
};

/* Positive answers of this module. */
enum {
    READER_E_NO_CARD = 1, /* none there, or it went before its answer was complete */
    READER_E_TOO_LONG,    /* a message does not fit */
};

struct reader {
    struct sockaddr_un address;
    int listener;
    int wake;             /* eventfd: readable when reader_wait_change() is to end */
    _Atomic int link;     /* the card, or -1 */
    atomic_bool lost;     /* the card in `link` has failed; pcscd has not been told yet */
    atomic_uint absences; /* how often a card that went is still to be reported as absent */
    pthread_mutex_t lock; /* held for one request and its answer, and to close `link` */
};

/**
 * reader_init() - listen
 * @path:       of the socket; a file left there by a killed process is replaced
 *
 * Return: 0, or -errno.
 */
int reader_init(struct reader *reader, const char *path) __attribute__((warn_unused_result));
void reader_deinit(struct reader *reader);

/**
 * reader_has_card() - is a card in the reader? Does not block unless an exchange is failing.
 *
 * A card that went is reported as absent before another one is accepted: a fast swap is seen.
 */
bool reader_has_card(struct reader *reader);

/** reader_wait_change() - block until reader_has_card() would differ, @timeout_ms, or a wake. */
void reader_wait_change(struct reader *reader, int timeout_ms);

/** reader_wake() - let the wait end, or the next one when there is none. */
void reader_wake(struct reader *reader);

/**
 * reader_send() - a message without an answer
 * Return: 0, READER_E_NO_CARD, READER_E_TOO_LONG.
 */
int reader_send(struct reader *reader, enum reader_kind kind, const void *data, size_t data_len)
    __attribute__((warn_unused_result));

/**
 * reader_exchange() - a message and its answer; blocks as long as the card wants
 * @answer:     filled; @answer_size bytes
 * @ret_len:    filled with the length of the answer
 *
 * Return: 0, READER_E_NO_CARD, READER_E_TOO_LONG.
 */
int reader_exchange(struct reader *reader, enum reader_kind kind, const void *data, size_t data_len,
                    void *answer, size_t answer_size, size_t *ret_len)
    __attribute__((warn_unused_result));

#endif
