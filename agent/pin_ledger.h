/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is remembered of refused PINs beyond the life of the agent: for each token how many since it
 * last took one, when, and which source's was refused last. Such a source is not asked again by an
 * agent that is started anew, whatever people type meanwhile. Never a PIN, nor anything made from
 * one.
 *
 * Read here once, at the start. Written by ask-pin, which may wait for the disk: a try is put down
 * before the PIN leaves ask-pin, and what became of it afterwards.
 */
#ifndef MTLS_AGENT_PIN_LEDGER_H
#define MTLS_AGENT_PIN_LEDGER_H

#include "common/pin_protocol.h"
#include "common/worker_protocol.h"

struct pin_ledger;

/* An agent that is started anew asks a source again whose last try has no end in the file, unless
 * there were more tries than this since the token last took a PIN. */
#define PIN_LEDGER_BEGUN_MAX 1u

/* What became of a try. */
enum pin_outcome {
    PIN_OUTCOME_ACCEPTED,
    PIN_OUTCOME_REFUSED,
    PIN_OUTCOME_UNCLEAR,   /* nobody knows: it counts, and its source may be asked again */
    PIN_OUTCOME_NOT_TRIED, /* the token never saw it */
};

/**
 * pin_ledger_new() - read the file, where there is one
 *
 * $STATE_DIRECTORY, $XDG_STATE_HOME/mtls-agent or ~/.local/state/mtls-agent. One that cannot be
 * read is told in the log and counts as empty. Return: NULL without memory.
 */
struct pin_ledger *pin_ledger_new(void) _must_check_;
struct pin_ledger *pin_ledger_free(struct pin_ledger *ledger);

/** pin_ledger_path() - for ask-pin; "": there is nowhere to write. Borrowed. */
const char *pin_ledger_path(const struct pin_ledger *ledger);

/** pin_ledger_refused() - identity of the source whose PIN a token refused; "": none. Borrowed. */
const char *pin_ledger_refused(const struct pin_ledger *ledger, const struct worker_token *token);

/** pin_ledger_count() - PINs that a token refused, or may have, since it last took one. */
unsigned int pin_ledger_count(const struct pin_ledger *ledger, const struct worker_token *token);

/** pin_ledger_forgive() - sources may be asked once more: a person said so (SIGHUP). */
void pin_ledger_forgive(struct pin_ledger *ledger);

/**
 * pin_ledger_begin() - a PIN is about to be tried
 * @source:     identity of the source; NULL: a person
 *
 * Return: what to have recorded first; valid until the next call of this module; NULL: nothing.
 */
const struct pin_record *pin_ledger_begin(struct pin_ledger *ledger,
                                          const struct worker_token *token, const char *source);

/** pin_ledger_end() - what became of it. Return: as above. */
const struct pin_record *pin_ledger_end(struct pin_ledger *ledger, const struct worker_token *token,
                                        enum pin_outcome outcome);

/**
 * pin_ledger_note() - a PIN whose try is over already: for one signature
 * @source:     as for pin_ledger_begin()
 *
 * Return: as above; NULL also when there is nothing to write.
 */
const struct pin_record *pin_ledger_note(struct pin_ledger *ledger,
                                         const struct worker_token *token, const char *source,
                                         bool is_refused);

/** pin_ledger_clear() - the token has another PIN: what was refused says nothing. Return: as above.
 */
const struct pin_record *pin_ledger_clear(struct pin_ledger *ledger,
                                          const struct worker_token *token);

DEFINE_CLEANUP(struct pin_ledger *, pin_ledger, pin_ledger_free)

#endif
