/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One token worker process, seen from the core: its socket, its process, the ledger it shares with
 * us, and the sign requests that are with it. Everything it sends is checked for form here; what
 * follows from it is decided by its owner (module.c), through callbacks.
 */
#ifndef MTLS_AGENT_WORKER_H
#define MTLS_AGENT_WORKER_H

#include <systemd/sd-event.h>

#include "agent/config.h"
#include "agent/inventory.h"
#include "agent/list.h"

struct sign_request;
struct worker;

enum worker_state {
    WORKER_STATE_LOADING,  /* no inventory yet */
    WORKER_STATE_LOGIN,    /* inventory is there; sources are being asked */
    WORKER_STATE_READY,    /* takes sign requests */
    WORKER_STATE_RETIRING, /* takes no more; ends when what it has is answered */
    WORKER_STATE_ENDING,   /* was killed; its end is awaited */
};

/* Why a worker's requests ended with it. */
enum worker_end {
    WORKER_END_CRASH,   /* it ended by itself */
    WORKER_END_TIMEOUT, /* we killed it because a call took too long */
    WORKER_END_RETIRED, /* we ended it in order */
    WORKER_END_INVALID, /* we killed it because of what it sent */
    WORKER_END_REMOVED, /* we killed it because it did not let go of a card that is gone */
};

/* All are called from the event loop; none may free the worker but `ended`. */
struct worker_callbacks {
    void (*inventory)(struct worker *worker, void *userdata);
    void (*login_reply)(struct worker *worker, const struct worker_reply *reply, void *userdata);
    /* @request is no longer with the worker. */
    void (*sign_reply)(struct worker *worker, struct sign_request *request,
                       const struct worker_reply *reply, void *userdata);
    void (*failure)(struct worker *worker, const struct worker_failure *failure, void *userdata);
    /* One module of DISCOVER. */
    void (*module)(struct worker *worker, const struct worker_module *module, void *userdata);
    void (*discover_end)(struct worker *worker, void *userdata);
    /* The process is gone. Requests are still with the worker: worker_steal_request(). */
    void (*ended)(struct worker *worker, enum worker_end end, void *userdata);
};

struct worker {
    struct list link; /* for the owner */
    sd_event *event;
    const struct worker_callbacks *callbacks;
    void *userdata;
    char *name;
    int fd;
    pid_t pid; /* 0: adopted, not a child of ours */
    sd_event_source *io;
    sd_event_source *child;
    struct child_log *log;
    struct worker_ledger *ledger;

    enum worker_state state;
    enum worker_end end; /* why, once state is ENDING */
    uint64_t state_since_ms;
    uint64_t ready_since_ms;     /* 0: it never was */
    struct inventory *inventory; /* the last complete one; NULL before the first */
    struct inventory *collecting;

    uint64_t generation;      /* of the readers when it was started; the owner's */
    uint64_t look_since_ms;   /* when it was asked for an inventory; 0: it was not */
    uint64_t card_gone_ms;    /* since when it is in calls on a card that is gone; 0: it is not */
    uint64_t card_gone_slots; /* those calls, a bit for each slot; 0: all that it is in */

    bool login_is_pending;
    uint32_t login_seq;
    bool login_is_logout;
    bool login_is_set_pin;
    uint32_t login_token; /* number of the token that is logged in to or out of */
    uint64_t login_since_ms;
    bool login_is_keypad;         /* a person types at the reader while C_Login runs */
    uint64_t typed_ms;            /* when somebody was last seen to type there; 0: never */
    uint64_t login_call_since_ms; /* when C_Login was first seen under way; 0: not yet */
    size_t login_next;            /* the owner's: next token of the inventory to look at */

    uint32_t seq;
    struct {
        struct sign_request *request; /* NULL: the slot is free */
        uint32_t seq;
        uint32_t token; /* number of the one that signs */
        uint64_t sent_us;
    } slots[WORKER_WINDOW_MAX];
    size_t in_flight;
    uint64_t replied_us;       /* when the last signature was answered */
    uint64_t taken_us;         /* of which this time was its own, not that of those before it */
    bool serves_hardware;      /* one of its tokens is */
    uint32_t threads;          /* that sign at the same time */
    uint32_t hardware_threads; /* if it turns out to serve hardware */
    uint32_t service_us;       /* moving average of one signature */
    bool has_signed;
};

/**
 * worker_spawn() - start a token-worker process
 * @name:       for the log; copied
 * @environment: further variables; NULL-terminated or NULL
 *
 * Return: 0, or -errno.
 */
int worker_spawn(sd_event *event, const char *name, char *const *environment,
                 const struct worker_callbacks *callbacks, void *userdata,
                 struct worker **ret_worker) _must_check_;

/**
 * worker_adopt() - the same over a socket whose other end is not a child of ours (tests, fuzzers)
 * @fd:         SOCK_SEQPACKET; taken, also on failure
 */
int worker_adopt(sd_event *event, const char *name, int fd,
                 const struct worker_callbacks *callbacks, void *userdata,
                 struct worker **ret_worker) _must_check_;

/** worker_free() - only from `ended`, or when it is known not to run. Return: NULL. */
struct worker *worker_free(struct worker *worker);

/** worker_kill() - end it at once; `ended` follows from the loop. */
void worker_kill(struct worker *worker, enum worker_end end);

/**
 * worker_dismiss() - let it end by itself, as WORKER_END_RETIRED
 *
 * A module that is killed while it writes to its token may destroy it (SoftHSM rewrites a file at
 * every login): the worker finishes the call under way. worker_is_late() tells when it does not.
 */
void worker_dismiss(struct worker *worker);

/** worker_set_state() - and remember since when. */
void worker_set_state(struct worker *worker, enum worker_state state);

/* Senders return 0, WIRE_E_MALFORMED when the message does not fit a frame, or -errno. */
int worker_send_load(struct worker *worker, const struct worker_load *load) _must_check_;
int worker_send_discover(struct worker *worker) _must_check_;

/** worker_send_login() - @pin_fd is borrowed. One login or logout at a time. */
int worker_send_login(struct worker *worker, uint32_t token, int pin_fd, enum worker_tries tries,
                      bool is_keypad, uint32_t timeout_ms) _must_check_;
int worker_send_set_pin(struct worker *worker, uint32_t token, enum worker_pin_change change,
                        int pin_fd, uint32_t timeout_ms) _must_check_;
int worker_send_logout(struct worker *worker, uint32_t token) _must_check_;

/** worker_send_look() - ask it for a new inventory: `inventory` follows, or its end. */
int worker_send_look(struct worker *worker) _must_check_;

/** worker_answers_soon() - within LOOKOUT_SOON_US, as far as its signatures so far tell. */
bool worker_answers_soon(const struct worker *worker);

/** worker_has_room() - another sign request may be sent. */
bool worker_has_room(const struct worker *worker);

/** worker_get_usable_key() - the key, if this worker can sign with it now; else NULL. */
const struct inventory_key *worker_get_usable_key(const struct worker *worker,
                                                  const uint8_t hash[static PROTOCOL_KEY_HASH_LEN]);

/** worker_get_token_load() - how many requests are with it for a token. */
size_t worker_get_token_load(const struct worker *worker, uint32_t token);

/**
 * worker_send_sign() - hand a request over
 * @pin_fd:     pipe with the PIN for an always-authenticate key; borrowed; -1: none
 *
 * Return: 0; -EAGAIN when the socket is full, -EPIPE or -ECONNRESET when the worker is gone: the
 * request then stays with the caller; or as above.
 */
int worker_send_sign(struct worker *worker, struct sign_request *request,
                     const struct inventory_key *key, int pin_fd) _must_check_;

/**
 * worker_steal_request() - take back any one request, after the end
 * @ret_was_signing: filled: the token may have made this signature
 *
 * Return: the request, or NULL when none is left.
 */
struct sign_request *worker_steal_request(struct worker *worker, bool *ret_was_signing);

/**
 * worker_get_signing() - the request that the module has had for the longest time
 * @ret_since_us: filled: since when the module may have been busy with it alone
 *
 * Return: borrowed; NULL: the module has none.
 */
struct sign_request *worker_get_signing(const struct worker *worker, uint64_t *ret_since_us);

/**
 * worker_began_us() - since when the module may have been busy with a request alone
 * @slot:       that has one
 *
 * Threads may all be in the module, which serves them one after the other.
 */
uint64_t worker_began_us(const struct worker *worker, size_t slot);

/** worker_may_have_tried_pin() - the last login, under way or answered, has reached C_Login, and
 * the token is not known to have taken the PIN. */
bool worker_may_have_tried_pin(const struct worker *worker);

/**
 * worker_is_late() - something that it was asked for has taken longer than it may
 * @timeout_ms: for one call of the module
 * @pin_timeout_ms: for a PIN to come through its pipe
 */
bool worker_is_late(struct worker *worker, uint64_t now_ms, uint32_t timeout_ms,
                    uint32_t pin_timeout_ms);

DEFINE_CLEANUP(struct worker *, worker, worker_free)

#endif
