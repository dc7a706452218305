/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages between the core and one token worker, both halves of each; same codec as the client
 * protocol. The transport is a SOCK_SEQPACKET socket pair, one frame per packet, so that any idle
 * signing thread of the worker takes the next packet straight from the kernel's queue. Core and
 * worker come from the same build: there is no version, and a frame that does not parse ends the
 * worker. The core treats every byte from a worker as hostile.
 *
 * `_parse` and `_encode` return as in common/protocol.h.
 */
#ifndef MTLS_COMMON_WORKER_PROTOCOL_H
#define MTLS_COMMON_WORKER_PROTOCOL_H

#include <stdatomic.h>

#include "common/protocol.h"

/* Descriptors that a worker is started with. */
#define WORKER_FD_SOCKET 3 /* its end of the socket pair */
#define WORKER_FD_LEDGER 4 /* struct worker_ledger, a shared mapping */

#define WORKER_WINDOW_MAX 64u /* sign requests that may be with one worker at a time */
#define WORKER_PACKET_MAX (WIRE_FRAME_MAX + WIRE_HEADER_LEN)
#define WORKER_TOKENS_MAX 1024u
#define WORKER_KEYS_MAX 16384u
#define WORKER_CERTS_MAX 256u /* certificates named in the configuration of one module */
#define WORKER_THREADS_MAX 16u
#define WORKER_DATA_MAX WIRE_FRAME_MAX /* what is signed: a digest, or Ed25519's message */

enum worker_type {
    /* core to worker */
    WORKER_LOAD = 1,
    WORKER_LOGIN = 2,
    WORKER_LOGOUT = 3,
    WORKER_SIGN = 4,
    WORKER_DISCOVER = 5,
    WORKER_LOOK = 6, /* which tokens are there now? An inventory answers */
    WORKER_SET_PIN = 7,

    /* worker to core */
    WORKER_TOKEN = 129,     /* one per token, after LOAD and after each login and logout */
    WORKER_KEY = 130,       /* one per key of the tokens above */
    WORKER_INVENTORY = 131, /* ends the list: what was not named since the last one is gone */
    WORKER_LOGIN_REPLY =
        132, /* also answers LOGOUT and SET_PIN; the new inventory comes before it */
    WORKER_SIGN_REPLY = 133,
    WORKER_FAILURE = 134, /* the module cannot be used; the worker exits after it */
    WORKER_MODULE = 135,  /* one per module that p11-kit knows, after DISCOVER */
    WORKER_DISCOVER_END = 136,
};

/*
 * How far each sign request got: the one thing that must survive the worker's sudden death. The
 * core writes WORKER_SLOT_QUEUED when it sends a request with that slot, the worker writes
 * WORKER_SLOT_SIGNING just before C_SignInit. After a crash a request that is still QUEUED was
 * never shown to the token and goes to the fresh worker; one that is SIGNING is answered with an
 * error.
 */
enum worker_slot_state {
    WORKER_SLOT_FREE = 0,
    WORKER_SLOT_QUEUED = 1,
    WORKER_SLOT_SIGNING = 2,
};

/* Where a login is. The core writes WAITING with the request, the worker CALLED just before
 * C_Login: from then on the module's deadline runs, and a PIN that may have reached the token is
 * not given a second time. TAKEN says that the token took it, whatever becomes of the rest. */
enum worker_login_state {
    WORKER_LOGIN_WAITING = 0,
    WORKER_LOGIN_CALLED = 1,
    WORKER_LOGIN_TAKEN = 2,
};

struct worker_ledger {
    _Atomic uint32_t slots[WORKER_WINDOW_MAX];
    _Atomic uint32_t login; /* enum worker_login_state */
};

/* Verification of signatures before they are returned (design: P7). */
enum verify_mode {
    VERIFY_AUTO = 0,
    VERIFY_ALWAYS = 1,
    VERIFY_NEVER = 2,
};

enum worker_result {
    WORKER_OK = 0,
    WORKER_E_BAD_REQUEST = 1, /* unknown key or scheme: the core's picture is out of date */
    WORKER_E_LOCKED = 2,      /* the token wants a login first; nothing was signed */
    WORKER_E_PIN = 3,         /* the PIN was refused */
    WORKER_E_PIN_BLOCKED = 4, /* no tries left */
    WORKER_E_PIN_SOURCE = 5,  /* no usable PIN came through the pipe: empty, too long, NUL, late */
    WORKER_E_STATE_LOST = 6, /* token or module state is gone, no signature was made: a fresh worker
                                may be asked again; this worker takes no further requests */
    WORKER_E_MODULE = 7,     /* the module answered with an error */
    WORKER_E_BAD_SIGNATURE = 8, /* the module's signature is not valid; it is withheld */
    WORKER_E_UNSUPPORTED = 9,   /* the token has no mechanism for the scheme */
    WORKER_E_REFUSED = 10, /* the worker did not try: e.g. the last PIN try is kept for a person */
};

/* Flags of a token, as far as the module told them. */
enum worker_token_flags {
    WORKER_TOKEN_HARDWARE = 1u << 0,       /* the slot says CKF_HW_SLOT */
    WORKER_TOKEN_LOGIN_REQUIRED = 1u << 1, /* CKF_LOGIN_REQUIRED */
    WORKER_TOKEN_LOGGED_IN = 1u << 2,
    WORKER_TOKEN_PIN_COUNT_LOW = 1u << 3,
    WORKER_TOKEN_PIN_FINAL_TRY = 1u << 4,
    WORKER_TOKEN_PIN_LOCKED = 1u << 5,
    WORKER_TOKEN_PIN_PAD = 1u << 6, /* CKF_PROTECTED_AUTHENTICATION_PATH */
};

/* A certificate from a file that the configuration ties to a key by URI. */
struct worker_cert {
    struct wire_span uri;
    struct wire_span cert; /* DER */
};

/* LOAD, the first message to a worker that serves a module. */
struct worker_load {
    struct wire_span path;      /* file that is loaded */
    struct wire_span init_args; /* CK_C_INITIALIZE_ARGS.pReserved, or empty */
    uint32_t threads;  /* 1 to WORKER_THREADS_MAX: signing threads, when one of its tokens is
                          hardware; else there is one, whose malloc and locks then cost less */
    uint32_t sessions; /* that it may have open with each token; 0: as many as the module gives */
    enum verify_mode verify;
    size_t cert_count;
    struct worker_cert certs[WORKER_CERTS_MAX];
};
int worker_load_encode(struct wire_writer *writer, const struct worker_load *msg) _must_check_;
int worker_load_parse(struct wire_span body, struct worker_load *ret_msg) _must_check_;

/* Which tries a PIN may cost when the token says that they are low. */
enum worker_tries {
    WORKER_TRIES_SAFE = 0,     /* none: no person is there now */
    WORKER_TRIES_BUT_LAST = 1, /* a person typed it, who was not told of a last try */
    WORKER_TRIES_ALL = 2,      /* a person typed it, and knows */
};

/* LOGIN carries the read end of the PIN pipe (SCM_RIGHTS); LOGOUT carries nothing. */
struct worker_login {
    uint32_t seq;
    uint32_t token;          /* the worker's number of the token, from WORKER_TOKEN */
    enum worker_tries tries; /* which of the token's tries it may cost */
    bool keypad; /* the PIN is typed at the reader (CKF_PROTECTED_AUTHENTICATION_PATH): no pipe
                    comes */
    uint32_t timeout_ms; /* how long to wait for the PIN */
};
int worker_login_encode(struct wire_writer *writer, const struct worker_login *msg) _must_check_;
int worker_login_parse(struct wire_span body, struct worker_login *ret_msg) _must_check_;

struct worker_logout {
    uint32_t seq;
    uint32_t token;
};
int worker_logout_encode(struct wire_writer *writer, const struct worker_logout *msg) _must_check_;
int worker_logout_parse(struct wire_span body, struct worker_logout *ret_msg) _must_check_;

/* SET_PIN carries the read end of a pipe with two lines: the old PIN or the PUK, and the new PIN.
 */
enum worker_pin_change {
    WORKER_PIN_CHANGE = 1,  /* C_SetPIN with the old PIN */
    WORKER_PIN_UNBLOCK = 2, /* C_InitPIN, after a login with the PUK */
};

struct worker_set_pin {
    uint32_t seq;
    uint32_t token;
    enum worker_pin_change change;
    uint32_t timeout_ms; /* how long to wait for the PINs */
};
int worker_set_pin_encode(struct wire_writer *writer,
                          const struct worker_set_pin *msg) _must_check_;
int worker_set_pin_parse(struct wire_span body, struct worker_set_pin *ret_msg) _must_check_;

/* SIGN; for an always-authenticate key it carries the read end of a PIN pipe, or says @keypad. */
struct worker_sign {
    uint32_t seq;
    uint32_t slot;           /* into the ledger, below WORKER_WINDOW_MAX */
    uint32_t key;            /* the worker's number of the key, from WORKER_KEY */
    uint32_t scheme;         /* TLS SignatureScheme */
    enum worker_tries tries; /* which of the token's tries the PIN may cost */
    bool keypad;             /* the PIN is typed at the reader: no pipe comes */
    struct wire_span data;   /* digest of the scheme's hash; Ed25519: the message */
};
int worker_sign_encode(struct wire_writer *writer, const struct worker_sign *msg) _must_check_;
int worker_sign_parse(struct wire_span body, struct worker_sign *ret_msg) _must_check_;

struct worker_token {
    uint32_t token;
    uint32_t flags; /* enum worker_token_flags */
    struct wire_span label;
    struct wire_span serial;
    struct wire_span manufacturer;
    struct wire_span model;
    struct wire_span slot; /* CK_SLOT_INFO.slotDescription: over PC/SC the name of the reader */
};
int worker_token_encode(struct wire_writer *writer, const struct worker_token *msg) _must_check_;
int worker_token_parse(struct wire_span body, struct worker_token *ret_msg) _must_check_;

struct worker_key {
    uint32_t key;
    uint32_t token;
    enum key_type type;
    uint32_t bits;
    bool usable; /* the private key object was seen; false: only its certificate, e.g. before login
                  */
    bool always_authenticate;
    size_t scheme_count;
    uint32_t schemes[SCHEMES_MAX]; /* that the token can make with it, in any order */
    struct wire_span label;
    struct wire_span ck_id;
    struct wire_span spki;
    size_t cert_count;
    struct wire_span
        certs[PROTOCOL_CERTS_MAX]; /* leaf first, then what the token has of its chain */
};
int worker_key_encode(struct wire_writer *writer, const struct worker_key *msg) _must_check_;
int worker_key_parse(struct wire_span body, struct worker_key *ret_msg) _must_check_;

struct worker_inventory {
    uint32_t token_count;
    uint32_t key_count;
    bool uses_pcsc; /* the module has mapped libpcsclite: its tokens come and go with readers */
};
int worker_inventory_encode(struct wire_writer *writer,
                            const struct worker_inventory *msg) _must_check_;
int worker_inventory_parse(struct wire_span body, struct worker_inventory *ret_msg) _must_check_;

/* LOGIN_REPLY and SIGN_REPLY. */
struct worker_reply {
    uint32_t seq;
    enum worker_result result;
    uint32_t ck_rv;             /* what the module answered; 0 when it was not asked */
    uint32_t token_flags;       /* LOGIN_REPLY: the token's flags now */
    struct wire_span text;      /* for people: why it failed */
    struct wire_span signature; /* SIGN_REPLY with WORKER_OK; DER for ECDSA */
};
int worker_reply_encode(struct wire_writer *writer, uint8_t type,
                        const struct worker_reply *msg) _must_check_;
int worker_reply_parse(struct wire_span body, struct worker_reply *ret_msg) _must_check_;

struct worker_failure {
    bool permanent; /* no retry will help: the file is missing, no C_GetFunctionList, ... */
    uint32_t ck_rv;
    bool uses_pcsc; /* as in WORKER_INVENTORY: another program may hold the card */
    struct wire_span text;
};
int worker_failure_encode(struct wire_writer *writer,
                          const struct worker_failure *msg) _must_check_;
int worker_failure_parse(struct wire_span body, struct worker_failure *ret_msg) _must_check_;

struct worker_module {
    struct wire_span name;
    struct wire_span path;
};
int worker_module_encode(struct wire_writer *writer, const struct worker_module *msg) _must_check_;
int worker_module_parse(struct wire_span body, struct worker_module *ret_msg) _must_check_;

/* DISCOVER, DISCOVER_END and LOOK have no fields. */
int worker_empty_encode(struct wire_writer *writer, uint8_t type) _must_check_;

#endif
