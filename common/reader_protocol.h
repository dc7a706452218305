/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `reader-watch`, which follows smart card readers for the core, tells it: both halves, the
 * same codec as the client protocol, one frame per packet of a SOCK_SEQPACKET socket pair. Core and
 * helper come from one build: there is no version. The core treats every byte as hostile.
 *
 * One report is the whole picture; what happened is the difference to the one before.
 *
 * `_parse` and `_encode` return as in common/protocol.h.
 */
#ifndef MTLS_COMMON_READER_PROTOCOL_H
#define MTLS_COMMON_READER_PROTOCOL_H

#include "common/protocol.h"

#define READER_FD_SOCKET 3 /* the helper's end of the socket pair */

/* One less than pcscd serves: the client library takes 16 entries, and one asks for new readers. */
#define READERS_MAX 15u

/* The helper only tells: asked for a fresh look, the core starts a fresh helper. */
enum reader_type {
    READER_REPORT = 129,
};

/* Whether there is a pcscd that tells of readers. */
enum reader_service {
    READER_SERVICE_THERE = 1,
    READER_SERVICE_ABSENT = 2,  /* it does not run */
    READER_SERVICE_REFUSED = 3, /* it runs, and does not serve this user */
    READER_SERVICE_FAILED = 4,  /* it answers with another error */
};

/* `state` of a reader is the protocol's, enum reader_state. */
struct reader_entry {
    struct wire_span name; /* pcscd's */
    enum reader_state state;
    uint32_t counter;       /* pcscd's: cards that went in and out; 0 where it does not count */
    struct wire_span users; /* who may use the card beside the agent, for people, or empty */
};

/* REPORT: the service, then the readers that it has. */
struct reader_report {
    enum reader_service service;
    struct wire_span text; /* what is wrong and what to do, or empty */
    size_t reader_count;
    struct reader_entry readers[READERS_MAX];
};
int reader_report_encode(struct wire_writer *writer, const struct reader_report *msg) _must_check_;
int reader_report_parse(struct wire_span body, struct reader_report *ret_msg) _must_check_;

#endif
