/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One ask-pin process, seen from the core: what it is asked, what it answered, and the pipes
 * through which it gives its PIN to workers. The PIN passes by this process; it never comes into
 * it.
 */
#ifndef MTLS_AGENT_PIN_SOURCE_H
#define MTLS_AGENT_PIN_SOURCE_H

#include <systemd/sd-event.h>

#include "agent/config.h"
#include "common/pin_protocol.h"

struct pin_source;

enum pin_source_state {
    PIN_SOURCE_ASKING, /* no answer yet */
    PIN_SOURCE_READY,  /* it has the PIN */
    PIN_SOURCE_FAILED, /* it has none, or is gone */
};

/* It answered, or the PIN that it had is gone with it. The source may be freed. */
typedef void (*pin_source_fn)(struct pin_source *source, void *userdata);

/**
 * pin_source_new() - start ask-pin and ask it
 * @ask:        borrowed for the call
 * @fd:         read end of the pipe to relay, borrowed; -1: none
 * @changed:    called from the loop; NULL: nobody waits for it
 * @ret_source: filled; owned by the caller
 *
 * Return: 0, WIRE_E_MALFORMED when @ask does not fit a message, or -errno.
 */
int pin_source_new(sd_event *event, const struct pin_ask *ask, int fd, pin_source_fn changed,
                   void *userdata, struct pin_source **ret_source) _must_check_;

/**
 * pin_source_free() - it is not needed any more: it forgets its PIN, closes its dialog, ends
 *
 * It may write what it was told to record before that. Return: NULL.
 */
struct pin_source *pin_source_free(struct pin_source *source);

/** pin_source_kill() - the PIN is gone when this returns. Return: NULL. */
struct pin_source *pin_source_kill(struct pin_source *source);

/** pin_source_has_released() - some that were freed write what they were told, and end soon. */
bool pin_source_has_released(void);

/** pin_source_kill_released() - those that were freed and have not ended yet: before the loop ends.
 */
void pin_source_kill_released(void);

/**
 * pin_source_give() - have the PIN written into a new pipe
 * @record:     goes into the ledger before; NULL: nothing
 * @ret_fd:     filled: read end for a worker; owned by the caller
 *
 * Fine before it has answered; without a PIN the pipe stays empty. Return: 0, or -errno.
 */
int pin_source_give(struct pin_source *source, const struct pin_record *record,
                    int *ret_fd) _must_check_;

/** pin_source_record() - have a line written into the ledger. */
void pin_source_record(struct pin_source *source, const struct pin_record *record);

/** pin_source_read() - take the answer that may have come already, without calling `changed`. */
void pin_source_read(struct pin_source *source);

enum pin_source_state pin_source_get_state(const struct pin_source *source);

/** pin_source_get_answer() - once it is not ASKING any more. */
enum pin_answer pin_source_get_answer(const struct pin_source *source);

/** pin_source_text() - why there is no PIN, escaped; "" when there is one. Borrowed. */
const char *pin_source_text(const struct pin_source *source);

/** pin_source_identity() - of what gave the PIN; "" for a person. Borrowed. */
const char *pin_source_identity(const struct pin_source *source);

/** pin_source_name() - "file", "command", "credential": for messages. */
const char *pin_source_name(const struct config_token *token);

DEFINE_CLEANUP(struct pin_source *, pin_source, pin_source_free)

#endif
