/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core as a whole: it owns the loop, the configuration, the modules, the keyring and the
 * connections, and says when each of them begins and ends.
 */
#ifndef MTLS_AGENT_AGENT_H
#define MTLS_AGENT_AGENT_H

#include <systemd/sd-event.h>

#include "agent/audit.h"
#include "agent/config.h"
#include "agent/digest.h"
#include "agent/keyring.h"
#include "agent/list.h"
#include "agent/peer.h"
#include "agent/refusals.h"
#include "agent/touch.h"
#include "agent/user.h"
#include "agent/waiting.h"
#include "common/frame.h"
#include "common/lookout.h"

struct connection;
struct discovery;
struct listener;
struct module;
struct notice_board;
struct pin_ledger;
struct readers;
struct session_watch;

#define AGENT_STOP_MS 4000u /* what is in flight at SIGTERM has so long to finish */

/* Positive answer: the reason was logged as an error. */
enum {
    AGENT_E_REFUSED = 1,
};

struct agent_counters {
    uint64_t signatures;
    uint64_t refusals;
    uint64_t failures;
    uint64_t turned_away;
    uint32_t connections;
};

struct agent {
    sd_event *event;
    struct lookout lookout; /* for the reply to a single request that is signed fast */
    uid_t uid;              /* our own */
    char *config_file;      /* --config; NULL: the usual places */
    struct config *config;
    char config_text[1024]; /* why the last reload was not taken, or "" */
    struct audit *audit;
    struct digester *digester;
    struct frame_buffer spare_input; /* idle connections hold no buffer of their own */
    struct keyring *keyring;
    bool keyring_is_stale; /* there was no memory to make it anew: the next tick tries */
    bool misses_modules;   /* nor to add every module of the configuration: the same */
    struct listener *listener;
    struct user_registry users;
    struct list modules;
    struct list connections;
    struct list retired;       /* connections that are freed at the next safe point */
    struct list sign_requests; /* every one that is queued, with a worker, or held */
    sd_event_source *hold_review;
    unsigned int hold_round;
    bool is_reviewing; /* held requests, this moment: what is told of them follows */
    struct discovery *discovery;
    struct session_watch *session; /* what logind says; NULL before agent_start() */
    struct readers *readers;
    struct waiting_list waiting;
    struct touch_memory touch;
    struct notice_board *notices; /* for a person at a desktop; NULL before agent_start() */
    struct agent_counters counters;
    struct refusals refusals;
    struct pin_ledger *ledger;
    uint64_t started_ms;
    uint64_t stranger_logged_ms; /* last log line about a peer that is not served */
    sd_event_source *tick;       /* deadlines */
    bool tick_is_fast;
    sd_event_source *sweep; /* frees @retired */
    sd_event_source *stop;  /* the end of the grace time */
    bool is_settled;        /* every module has come up or failed: keys are known */
    bool is_stopping;
    bool is_draining; /* stopping, and the workers were dismissed */
    int reserve_fd;   /* given up while a reload needs descriptors */
};

/**
 * agent_new() - everything but the listener and the modules
 * @config_file: borrowed; NULL: the usual places
 *
 * Return: 0, AGENT_E_REFUSED, or -errno.
 */
int agent_new(const char *config_file, struct agent **ret_agent) _must_check_;

/** agent_start() - listen at @socket_path, start the modules. Returns as agent_new(). */
int agent_start(struct agent *agent, const char *socket_path) _must_check_;

/** agent_run() - until it is told to end. Return: 0, or -errno. */
int agent_run(struct agent *agent) _must_check_;
struct agent *agent_free(struct agent *agent);

/** agent_serves() - own uid or a configured one; never a uid that the kernel could not name. */
bool agent_serves(const struct agent *agent, const struct peer *peer);

/** agent_person_is_told() - somebody sees what agent_tell_waiting() says. */
bool agent_person_is_told(const struct agent *agent);

/** agent_watch() - something with a deadline is under way. Cheap; may be called for each request.
 */
void agent_watch(struct agent *agent);

/** agent_look_again() - somebody asks for what is not there: modules look for their tokens. */
void agent_look_again(struct agent *agent);

/**
 * agent_forget_pins() - no login that a person made survives this
 * @why:        what happened, as a clause: "the screen was locked"
 *
 * The processes that hold such logins log out and are replaced; requests that they already have are
 * finished. Logins from a configured source stay.
 */
void agent_forget_pins(struct agent *agent, const char *why);

/** agent_is_forgetting() - a process that may know a PIN is still on its way out. */
bool agent_is_forgetting(const struct agent *agent);

/** agent_keys_changed() - make the keyring anew and tell subscribers. */
void agent_keys_changed(struct agent *agent);

/**
 * agent_login_is_wanted() - a sign request waits for a token to be opened
 * @token:      its label and serial number; many cards have the same label
 */
bool agent_login_is_wanted(const struct agent *agent, const struct module *module,
                           const struct worker_token *token);

/**
 * agent_login_ended() - a person was asked for a token's PIN
 * @code:       0: the token is open; PROTOCOL_E_TOKEN_GONE: sign requests wait on, for the token to
 *              come back; else what those who wait for it are answered with
 */
void agent_login_ended(struct agent *agent, const struct module *module,
                       const struct worker_token *token, enum protocol_error_code code,
                       const char *text);

/** agent_check_settled() - a module has had its first outcome. */
void agent_check_settled(struct agent *agent);

/** agent_broadcast() - an event to every connection that subscribed to its kind. */
void agent_broadcast(struct agent *agent, uint32_t kind, const char *subject, const char *text);

/**
 * agent_take_discovered() - the modules that p11-kit knows now: start those that are new
 * @found:      with is_discovered; the modules take references
 * @is_whole:   nothing is missing in it, so what is not in it has gone
 */
void agent_take_discovered(struct agent *agent, struct config *found, bool is_whole);

/** agent_module_left() - a module that is leaving has finished: it is freed. */
void agent_module_left(struct agent *agent, struct module *module);

/** agent_retire_connection() - free it when nobody works on it any more. */
void agent_retire_connection(struct agent *agent, struct connection *connection);
void agent_free_retired(struct agent *agent);

#endif
