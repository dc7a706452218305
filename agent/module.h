/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One PKCS#11 module of the configuration: its workers and their supervision, its tokens and their
 * logins, and the queue of requests in front of them. One recovery path: whatever goes wrong in a
 * worker, it ends and a fresh one starts, the first at once, later ones after a growing pause.
 */
#ifndef MTLS_AGENT_MODULE_H
#define MTLS_AGENT_MODULE_H

#include <systemd/sd-event.h>

#include "agent/absence.h"
#include "agent/config.h"
#include "agent/fair_queue.h"
#include "agent/inventory.h"
#include "agent/list.h"
#include "agent/request.h"
#include "common/protocol.h"

struct agent;
struct keyring_key;
struct module;
struct module_pin;
struct module_prompt;
struct sign_request;
struct worker;

/* What is remembered of a token beyond the life of one worker, by label and serial. */
struct module_token {
    char *label;
    char *serial;
    bool pin_is_bad;          /* the source's PIN was refused: not asked before a reload */
    bool source_is_proved;    /* its PIN has opened the token since the configuration was read */
    unsigned int broken_off;  /* logins with it in a row of which nobody knows the end */
    bool is_blocked;          /* no tries are left */
    bool is_locked_by_person; /* `mtls lock`: the source is not asked until `mtls unlock` */
    uint32_t flags;           /* enum worker_token_flags as last told, after refusals too */
    struct module_pin *pin;   /* is asked for, or waits for its login, or is in it */
    struct module_pin *kept;  /* taken by the token, for later logins; never the one above */
    struct module_prompt *prompt;        /* a person is asked, or soon will be */
    struct sign_request *source_request; /* has the source's PIN for itself, or is to have it */
    uint64_t prompt_not_before_ms;
    char text[PROTOCOL_TEXT_MAX]; /* what to do, or "" */
};

struct module {
    struct list link; /* in agent->modules */
    struct agent *agent;
    struct config *config_owner; /* a reference: @config is in it */
    const struct config_module *config;
    enum module_state state;
    char text[PROTOCOL_TEXT_MAX]; /* last failure */
    struct list workers;
    size_t worker_count;
    struct fair_queue queue;
    struct inventory *inventory; /* the last complete one of any worker */
    struct absence absence;      /* tokens that are out */
    struct wire_writer certs;    /* what workers were given beside the path, encoded */
    struct module_token *tokens;
    size_t token_count;
    struct worker *login_worker;     /* has the one login under way; NULL: none */
    struct module_pin *login_pin;    /* what it logs in with */
    struct request *set_pin_request; /* a SET_PIN is with login_worker; NULL: none, or gone */
    enum worker_pin_change set_pin_change;
    struct module_unlock_wait *unlock_wait; /* an UNLOCK that came while no worker was ready */
    sd_event_source *restart;
    sd_event_source *release;             /* the end of an idle time */
    uint64_t used_ms;                     /* when it was last asked for something */
    uint64_t started_ms;                  /* when its last worker was started */
    bool has_declined;                    /* that worker said why the module cannot be used now */
    sd_event_source *keep_timer;          /* the limits of kept PINs */
    sd_event_source *context_next;        /* opens the next dialog of those below; NULL: none yet */
    struct list context_requests;         /* sign requests that wait for a dialog of their own */
    struct list context_sources;          /* and those that wait for the token's source */
    struct sign_request *context_request; /* whose dialog stands; NULL: none */
    unsigned int failures;                /* in a row, without a signature between them */
    unsigned int restarts;
    unsigned int rescans; /* in a row, for a token that is missing */
    bool uses_pcsc;       /* its tokens come and go with readers */
    bool is_slow;         /* takes long to load: modules after it do not wait for it */
    bool is_failed;       /* permanently, as it is configured */
    bool is_leaving;      /* no longer configured: ends when its queue is empty */
    bool has_settled;     /* its first worker has come up, or failed */
    bool is_pumping;
    bool keeps_pin; /* of one of its tokens, or did */
};

/** module_new() - @config is borrowed from @owner, of which a reference is taken. */
int module_new(struct agent *agent, struct config *owner, const struct config_module *config,
               struct module **ret_module) _must_check_;
struct module *module_free(struct module *module);

/** module_start() - start its first worker. */
void module_start(struct module *module);

/**
 * module_list_schemes() - what a key can do on any of the module's tokens
 * @ret_codes:  filled, in no order
 *
 * Return: how many were filled.
 */
size_t module_list_schemes(const struct module *module,
                           const uint8_t hash[static PROTOCOL_KEY_HASH_LEN],
                           uint32_t ret_codes[static SCHEMES_MAX]);

/** module_leave() - it is no longer configured: finish what it has, then free itself. */
void module_leave(struct module *module);

/**
 * module_reload() - a person reloaded the configuration, which has this module unchanged
 *
 * Sources whose PIN was refused may be asked once more; workers are replaced when the certificates
 * that they were given have changed.
 */
void module_reload(struct module *module);

const char *module_get_name(const struct module *module);

/**
 * module_look_again() - somebody asks for what is not there: its token may have come since
 *
 * Replaces idle workers by fresh ones, but none that holds a login which a person typed. Does
 * nothing when it was done a moment ago.
 */
void module_look_again(struct module *module);

/** module_load() - how many requests it has, waiting and under way. */
size_t module_load(const struct module *module);

/**
 * module_look_again_now() - what it knows of its cards may be wrong: the system has slept
 *
 * Replaces the workers of a module that has served hardware, whatever they hold; one that is in a
 * pause after a failure starts at once.
 */
void module_look_again_now(struct module *module);
/**
 * module_key_state() - of a key that its inventory lists
 * @hidden_on:  the locked token that does not show it; NULL: it is shown
 */
enum key_state module_key_state(const struct module *module,
                                const uint8_t hash[static PROTOCOL_KEY_HASH_LEN],
                                const struct worker_token *hidden_on);

enum token_state module_token_state(const struct module *module, const struct worker_token *token,
                                    const char **ret_text);

/**
 * module_admit() - whether a sign request for a key can be queued now
 * @ret_text:   filled when not: a sentence, valid until the next call
 *
 * Return: 0, or the code of the error to answer with.
 */
enum protocol_error_code module_admit(struct module *module, const struct keyring_key *key,
                                      const char **ret_text);

/** module_enqueue() - queue an admitted request and hand on what workers have room for. */
void module_enqueue(struct module *module, struct fair_line *line, struct sign_request *request);

/** module_forget() - a queued request is cancelled. */
void module_forget(struct module *module, struct sign_request *request);

/**
 * module_unlock() - log in to a token with a PIN that a person gives now
 * @token:      of its inventory
 * @pin_fd:     pipe; taken
 * @request:    answered when the login ended; owned by the caller's connection
 *
 * Return: 0, or the code of the error to answer with; *ret_text then says why.
 */
enum protocol_error_code module_unlock(struct module *module, const struct worker_token *token,
                                       int pin_fd, struct request *request, const char **ret_text);

/**
 * module_set_pin() - change a token's PIN, or unblock it
 * @pin_fd:     pipe with both PINs; taken
 *
 * As module_unlock().
 */
enum protocol_error_code module_set_pin(struct module *module, const struct worker_token *token,
                                        enum worker_pin_change change, int pin_fd,
                                        struct request *request, const char **ret_text);

/**
 * module_forget_unlock() - the client of an UNLOCK or SET_PIN left; what it asked for goes on
 */
void module_forget_unlock(struct module *module, const struct request *request);

/**
 * module_lock() - no further signature with a token until a person unlocks it
 * @token:      of its inventory
 *
 * Every worker that is logged in logs out and is replaced by a fresh one, so that no copy of the
 * PIN survives. Requests that a worker already has are finished.
 */
void module_lock(struct module *module, const struct worker_token *token);

/** module_is_replacing() - a worker that takes no more requests has not ended yet. */
bool module_is_replacing(const struct module *module);

/** module_check_deadlines() - end workers that are late. True while something is under way. */
bool module_check_deadlines(struct module *module, uint64_t now_ms);

/** module_stop() - end all workers now (shutdown). */
void module_stop(struct module *module);

#endif
