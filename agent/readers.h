/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smart card readers as `reader-watch` tells of them, and that helper's life: started when the
 * first module turns out to use PC/SC, started anew when it ends. Nothing waits for it. What a
 * report changes is counted in generations, so that a worker can be told to be older than a card.
 */
#ifndef MTLS_AGENT_READERS_H
#define MTLS_AGENT_READERS_H

#include <systemd/sd-event.h>

#include "common/reader_protocol.h"

#define READERS_KNOWN_MAX 64u /* readers that are there, and those that were last */

struct reader {
    char name[PROTOCOL_NAME_MAX + 1];
    bool is_there; /* else it is remembered, as tokens may still name it */
    enum reader_state state;
    uint32_t counter;
    char users[PROTOCOL_TEXT_MAX / 2 + 1]; /* who may use its card beside us, or "" */
    uint64_t came; /* generation in which its card came, or became free for us; 0: never */
    uint64_t went; /* generation in which a card last went; 0: never */
};

struct readers;

/** readers_changed_fn() - a report changed something: readers_generation() has grown. */
typedef void (*readers_changed_fn)(void *userdata);

/** readers_new() - without a helper so far. Return: 0, or -errno. */
int readers_new(sd_event *event, readers_changed_fn changed, void *userdata,
                struct readers **ret_readers) _must_check_;
/** readers_free() - ends the helper, too. NULL is fine. Return: NULL. */
struct readers *readers_free(struct readers *readers);

/** readers_want() - a module uses PC/SC: from now on there is a helper. Cheap when there is one. */
void readers_want(struct readers *readers);

/**
 * readers_adopt() - the same with a helper that is not a child of ours (tests, fuzzers)
 * @fd:         SOCK_SEQPACKET; taken, also on failure
 *
 * Return: 0, or -errno.
 */
int readers_adopt(struct readers *readers, int fd) _must_check_;

/**
 * readers_restart() - a fresh helper now, which looks at everything again
 *
 * After a resume, and when a card is there that no module sees: who uses a card changes without an
 * event. Does nothing when no helper is wanted, or when this was done a moment ago.
 */
void readers_restart(struct readers *readers);

/** readers_generation() - grows with each report that changed something. */
uint64_t readers_generation(const struct readers *readers);

/** readers_are_followed() - pcscd serves us: what comes and goes is told. */
bool readers_are_followed(const struct readers *readers);

/** readers_text() - why not, and what to do, or "". */
const char *readers_text(const struct readers *readers);

/** readers_get() - all that are known, one after the other; NULL: no more. */
const struct reader *readers_get(const struct readers *readers, size_t i);

/**
 * readers_find() - the reader of a slot, also one that has gone
 * @slot:       description of the slot: the reader's name, or the first 64 bytes of it
 *
 * Return: the reader, or NULL.
 */
const struct reader *readers_find(const struct readers *readers, struct wire_span slot);

/** reader_has_card() - of whatever kind, and whoever uses it. */
bool reader_has_card(const struct reader *reader);

/** reader_is_open() - it has a card that we could use. */
bool reader_is_open(const struct reader *reader);

DEFINE_CLEANUP(struct readers *, readers, readers_free)

#endif
