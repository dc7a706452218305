/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmtls-agent: use TLS client keys that an mtls-agent holds, from C.
 *
 * Link with `pkg-config --cflags --libs mtls-agent`. Every function is thread-safe on a shared
 * struct mtls_agent, survives fork(2) (a child gets a connection of its own at its first call),
 * reconnects by itself after the agent was restarted, and returns within its deadline. The library
 * starts no thread, installs no signal handler, and never prints.
 *
 * Return values: 0 is success; otherwise a positive enum mtls_agent_code. Functions that take a
 * struct mtls_agent_error fill it on failure, with a sentence for a person; after a success its
 * content means nothing. NULL is allowed there. What else a function fills, it fills on success
 * alone. Every function that asks the agent may return MTLS_AGENT_E_NO_AGENT, _CONNECTION,
 * _VERSION, _PROTOCOL, _POLICY (the agent does not serve this user), _BUSY, _TIMEOUT, _INTERNAL,
 * _MEMORY; each names what it returns beside these.
 *
 * Connections: one per handle, made at the first call, and only to a process that runs as the
 * caller, as root, or as the owner of a directory that no third user can change. A thread must not
 * be inside a call when mtls_agent_free() is called. A signal does not end a call, and a thread
 * cannot be cancelled in one. No call may be made from a signal handler.
 */
#ifndef MTLS_AGENT_H
#define MTLS_AGENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MTLS_AGENT_EXPORT __attribute__((visibility("default")))
#define MTLS_AGENT_CHECK __attribute__((warn_unused_result))
#else
#define MTLS_AGENT_EXPORT
#define MTLS_AGENT_CHECK
#endif

/* Values up to 11 are those of the wire (docs/protocol.md); from 32 on the library's own. */
enum mtls_agent_code {
    MTLS_AGENT_OK = 0,
    MTLS_AGENT_E_PROTOCOL = 1,    /* what came is not the protocol, or the agent says so of us */
    MTLS_AGENT_E_VERSION = 2,     /* no protocol version that both speak */
    MTLS_AGENT_E_POLICY = 3,      /* the agent refused: the text says what to change */
    MTLS_AGENT_E_NO_KEY = 4,      /* no such key or token */
    MTLS_AGENT_E_AMBIGUOUS = 5,   /* the name fits several keys; the text lists them */
    MTLS_AGENT_E_TOKEN_GONE = 6,  /* the token or its module is not there now */
    MTLS_AGENT_E_LOCKED = 7,      /* the token waits for its PIN: `mtls unlock` */
    MTLS_AGENT_E_PIN = 8,         /* the token did not accept its PIN */
    MTLS_AGENT_E_BUSY = 9,        /* a limit of the agent is reached: try again later */
    MTLS_AGENT_E_TIMEOUT = 10,    /* also: the deadline of this call passed */
    MTLS_AGENT_E_INTERNAL = 11,   /* the agent or the token's module failed */
    MTLS_AGENT_E_NO_AGENT = 32,   /* no agent listens at the socket */
    MTLS_AGENT_E_CONNECTION = 33, /* the connection broke while a reply was awaited */
    MTLS_AGENT_E_MEMORY = 34,
    MTLS_AGENT_E_ARGUMENT = 35, /* of the caller; nothing was sent */
    MTLS_AGENT_E_TLS = 36,      /* OpenSSL refused; its error queue has more */
};

struct mtls_agent_error {
    enum mtls_agent_code code;
    char text[1024]; /* UTF-8, one sentence, control characters escaped, NUL-terminated */
};

#define MTLS_AGENT_DEADLINE_MS 60000u /* the default: leaves time for a touch or a PIN */

struct mtls_agent;
struct mtls_agent_keys;

enum mtls_agent_key_type {
    MTLS_AGENT_KEY_RSA = 1,
    MTLS_AGENT_KEY_RSA_PSS = 2,
    MTLS_AGENT_KEY_EC = 3,
    MTLS_AGENT_KEY_ED25519 = 4,
};

enum mtls_agent_key_state {
    MTLS_AGENT_KEY_READY = 1,
    MTLS_AGENT_KEY_LOCKED = 2, /* its token waits for a PIN */
    MTLS_AGENT_KEY_ABSENT = 3, /* its token or module is not there */
};

#define MTLS_AGENT_KEY_HASH_LEN 32 /* SHA-256 of the DER SubjectPublicKeyInfo */
#define MTLS_AGENT_CERTS_MAX 10
#define MTLS_AGENT_SCHEMES_MAX 16

/* Borrowed bytes; @data may be anything when @len is 0. */
struct mtls_agent_bytes {
    const uint8_t *data;
    size_t len;
};

/* One key. Everything it points to belongs to the list that it came in. Texts are UTF-8 as they are
 * on the token: escape them before they meet a terminal. */
struct mtls_agent_key {
    const char *name; /* what people type: the alias in the configuration, else the label */
    uint8_t hash[MTLS_AGENT_KEY_HASH_LEN]; /* names the key for good */
    enum mtls_agent_key_type type;
    unsigned int bits; /* RSA: of the modulus; EC: 256, 384 or 521, the NIST curve; Ed25519: 255 */
    enum mtls_agent_key_state state;
    int signs_digests;          /* 1: the policy also allows bare digests */
    int always_authenticate;    /* 1: the token wants its PIN for every signature */
    const char *label;          /* CKA_LABEL, or "" */
    struct mtls_agent_bytes id; /* CKA_ID */
    const char *token_label;
    const char *token_serial;
    const char *module;           /* its name in the configuration */
    struct mtls_agent_bytes spki; /* DER */
    size_t scheme_count;
    uint16_t schemes[MTLS_AGENT_SCHEMES_MAX];            /* TLS SignatureScheme, preferred first */
    size_t cert_count;                                   /* 0: no certificate is known */
    struct mtls_agent_bytes certs[MTLS_AGENT_CERTS_MAX]; /* DER, leaf first */
};

/**
 * mtls_agent_new() - a handle; nothing is connected yet
 * @socket_path: path of the agent's socket; NULL: $MTLS_AGENT_SOCK, else
 *               $XDG_RUNTIME_DIR/mtls-agent/agent.sock, else /run/mtls-agent/agent.sock. Copied.
 *               The environment counts as empty in a program with raised privileges.
 *
 * Does not block. Return: the handle, owned by the caller, or NULL when memory is short.
 */
MTLS_AGENT_EXPORT struct mtls_agent *mtls_agent_new(const char *socket_path) MTLS_AGENT_CHECK;

/**
 * mtls_agent_free() - close and release
 * @agent:      owned by the caller until now; NULL is fine; no call may be under way
 *
 * What came from the handle (keys, status) stays. Does not block. Return: NULL.
 */
MTLS_AGENT_EXPORT struct mtls_agent *mtls_agent_free(struct mtls_agent *agent);

/**
 * mtls_agent_set_deadline() - how long each later call may take in all
 * @deadline_ms: milliseconds; 0 counts as 1; the default is MTLS_AGENT_DEADLINE_MS
 *
 * Does not block.
 */
MTLS_AGENT_EXPORT void mtls_agent_set_deadline(struct mtls_agent *agent, unsigned int deadline_ms);

/**
 * mtls_agent_set_client_name() - the name that the agent shows to people beside the process
 * @name:       borrowed; cut to 256 bytes of UTF-8; NULL and the default: the program's short name.
 *              Nothing is decided by it.
 *
 * From the next connection on: call it before the first request. Does not block.
 */
MTLS_AGENT_EXPORT void mtls_agent_set_client_name(struct mtls_agent *agent, const char *name);

/**
 * mtls_agent_list() - the keys of the agent
 * @selector:   key name, RFC 7512 `pkcs11:` URI, or `sha256:` and at least 8 hex digits; at most
 *              1024 bytes of UTF-8; borrowed. NULL or "": all
 * @ret_keys:   filled; owned by the caller, mtls_agent_keys_free(). May be empty when @selector is
 *              NULL.
 *
 * Blocks until the deadline at most. Absent and locked keys are in the list, too.
 * Return: 0; MTLS_AGENT_E_NO_KEY when the selector names none; MTLS_AGENT_E_ARGUMENT when it is too
 * long or not UTF-8; those that every function has.
 */
MTLS_AGENT_EXPORT int mtls_agent_list(struct mtls_agent *agent, const char *selector,
                                      struct mtls_agent_keys **ret_keys,
                                      struct mtls_agent_error *error) MTLS_AGENT_CHECK;

/**
 * mtls_agent_find() - the one key that a selector names
 *
 * As mtls_agent_list(), but the list holds exactly one key: MTLS_AGENT_E_AMBIGUOUS when several
 * fit, MTLS_AGENT_E_NO_KEY when there is none, also with NULL, which names all.
 */
MTLS_AGENT_EXPORT int mtls_agent_find(struct mtls_agent *agent, const char *selector,
                                      struct mtls_agent_keys **ret_keys,
                                      struct mtls_agent_error *error) MTLS_AGENT_CHECK;

/** mtls_agent_keys_count() - how many keys a list holds. */
MTLS_AGENT_EXPORT size_t mtls_agent_keys_count(const struct mtls_agent_keys *keys);
/** mtls_agent_keys_get() - key number @index, borrowed from the list; NULL past the end. */
MTLS_AGENT_EXPORT const struct mtls_agent_key *
mtls_agent_keys_get(const struct mtls_agent_keys *keys, size_t index);
/** mtls_agent_keys_free() - with all that its keys point to; NULL is fine. Return: NULL. */
MTLS_AGENT_EXPORT struct mtls_agent_keys *mtls_agent_keys_free(struct mtls_agent_keys *keys);

/* What is being signed. Values are those of the wire. */
enum mtls_agent_kind {
    MTLS_AGENT_TLS13 = 1,  /* the CertificateVerify content, RFC 8446 section 4.4.3 */
    MTLS_AGENT_TLS12 = 2,  /* all handshake messages so far, RFC 5246 section 7.4.8 */
    MTLS_AGENT_DIGEST = 3, /* a bare digest; refused unless the key's policy allows it */
};

#define MTLS_AGENT_SIGNATURE_MAX 2048 /* bytes */

/**
 * mtls_agent_sign() - one signature
 * @hash:       of the key, from struct mtls_agent_key
 * @scheme:     TLS SignatureScheme code point (RFC 8446 section 4.2.3)
 * @content:    borrowed; the message itself, not its digest (but for MTLS_AGENT_DIGEST)
 * @content_len: bytes at @content; what does not fit a frame of 256 KiB is MTLS_AGENT_E_ARGUMENT
 * @signature:  filled; room for @signature_size bytes, of which MTLS_AGENT_SIGNATURE_MAX suffice
 * @signature_len: filled with the signature's length in bytes; ECDSA is in DER, as TLS wants it
 *
 * Blocks until the deadline at most. When the connection breaks, the request is repeated by itself
 * only if the agent cannot have read it, as after a restart between two signatures; otherwise the
 * answer is MTLS_AGENT_E_CONNECTION, and the caller may try again: a signature that is made twice
 * does no harm in TLS, but may cost a touch or a PIN.
 * Return: 0; MTLS_AGENT_E_POLICY for what is no TLS client login, or may not be signed with this
 * key and scheme; MTLS_AGENT_E_NO_KEY, _TOKEN_GONE, _LOCKED, _PIN; MTLS_AGENT_E_ARGUMENT when the
 * message is too long or the signature too long for @signature; those that every function has.
 */
MTLS_AGENT_EXPORT int mtls_agent_sign(struct mtls_agent *agent,
                                      const uint8_t hash[MTLS_AGENT_KEY_HASH_LEN], uint16_t scheme,
                                      enum mtls_agent_kind kind, const void *content,
                                      size_t content_len, uint8_t *signature, size_t signature_size,
                                      size_t *signature_len,
                                      struct mtls_agent_error *error) MTLS_AGENT_CHECK;

enum mtls_agent_module_state {
    MTLS_AGENT_MODULE_STARTING = 1,
    MTLS_AGENT_MODULE_READY = 2,
    MTLS_AGENT_MODULE_BACKOFF = 3, /* its process failed; the next start is awaited */
    MTLS_AGENT_MODULE_FAILED = 4,  /* for good: the configuration has to change */
    MTLS_AGENT_MODULE_RELEASED =
        5, /* idle, so that others get the card; the next request starts it */
};

enum mtls_agent_token_state {
    MTLS_AGENT_TOKEN_READY = 1,
    MTLS_AGENT_TOKEN_LOCKED = 2,      /* waits for its PIN */
    MTLS_AGENT_TOKEN_PIN_BAD = 3,     /* the configured PIN was refused; it is not tried again */
    MTLS_AGENT_TOKEN_PIN_BLOCKED = 4, /* after too many wrong PINs */
};

enum mtls_agent_reader_state {
    MTLS_AGENT_READER_EMPTY = 1,
    MTLS_AGENT_READER_PRESENT = 2,     /* a card is in it, and nobody uses it */
    MTLS_AGENT_READER_IN_USE = 3,      /* programs share the card, the agent may be among them */
    MTLS_AGENT_READER_EXCLUSIVE = 4,   /* one program has the card for itself */
    MTLS_AGENT_READER_MUTE = 5,        /* the card does not answer */
    MTLS_AGENT_READER_UNAVAILABLE = 6, /* the reader does not answer */
};

/* Texts of a status are UTF-8 as they came: escape them before they meet a terminal. */

struct mtls_agent_module_status {
    const char *name;
    const char *path;
    enum mtls_agent_module_state state;
    unsigned int workers;  /* processes that run now */
    unsigned int restarts; /* since the agent started */
    const char *text;      /* last failure, or "" */
};

struct mtls_agent_token_status {
    const char *label;
    const char *serial;
    const char *module;
    enum mtls_agent_token_state state;
    unsigned int keys;
    const char *text; /* what to do, or "" */
};

/* A smart card reader, of those that pcscd has. */
struct mtls_agent_reader_status {
    const char *name;
    enum mtls_agent_reader_state state;
    const char *text; /* who has the card, what to do, or "" */
};

/* What policy refused lately. The same again (user, program, key, kind, text) raises the count. */
struct mtls_agent_refusal {
    uint64_t age_ms; /* milliseconds since the last time, when the status was made */
    unsigned int count;
    unsigned int uid;
    unsigned int pid;    /* of the last time; 0: not known here */
    const char *program; /* path of its executable, or "" */
    const char *key;     /* name */
    unsigned int kind;   /* enum mtls_agent_kind; any other number: a kind that is not known */
    const char *text;    /* why, and what to do about it */
};

/* Owned as a whole, with all that it points to; mtls_agent_status_free(). Counts are those since
 * the agent started. */
struct mtls_agent_status {
    const char *version; /* of the agent */
    unsigned int pid;
    uint64_t uptime_ms;
    uint64_t signatures;
    uint64_t refusals;        /* by policy */
    uint64_t failures;        /* of other requests */
    unsigned int connections; /* open now, this one among them */
    unsigned int queued;      /* signatures that are waited for now */
    const char *config_text;  /* why the last reload was not taken, or "" */
    size_t module_count;
    const struct mtls_agent_module_status *modules;
    size_t token_count;
    const struct mtls_agent_token_status *tokens;
    size_t recent_refusal_count;                      /* at most 16 */
    const struct mtls_agent_refusal *recent_refusals; /* latest first; of the caller's uid; all, for
                                                         the agent's own uid and root */
    size_t reader_count; /* at most 16; 0 as long as no module uses PC/SC */
    const struct mtls_agent_reader_status *readers;
    const char *readers_text; /* why pcscd tells of none, or "" */
};

/**
 * mtls_agent_get_status() - the agent, its modules and tokens, and what it refused lately
 * @ret_status: filled; owned by the caller, mtls_agent_status_free()
 *
 * Blocks until the deadline at most; no token is asked. Return: 0, or those that every function
 * has.
 */
MTLS_AGENT_EXPORT int mtls_agent_get_status(struct mtls_agent *agent,
                                            struct mtls_agent_status **ret_status,
                                            struct mtls_agent_error *error) MTLS_AGENT_CHECK;
/** mtls_agent_status_free() - with all that it points to; NULL is fine. Return: NULL. */
MTLS_AGENT_EXPORT struct mtls_agent_status *
mtls_agent_status_free(struct mtls_agent_status *status);

/**
 * mtls_agent_unlock() - log in to a token
 * @token:      token label, serial, or `pkcs11:` URI; borrowed; NULL: the one that waits for a PIN
 * @pin_fd:     read end of a pipe into which the caller writes the PIN and which it then closes;
 *              borrowed. The PIN goes from the pipe to the token's own process, nowhere else.
 *
 * The PIN is tried once. Blocks until the deadline at most, so the PIN must be in the pipe, or be
 * written by another thread.
 * Return: 0; MTLS_AGENT_E_PIN with a text that says what is known of the tries left;
 * MTLS_AGENT_E_NO_KEY when no token has the name or none waits, _AMBIGUOUS when several do;
 * MTLS_AGENT_E_TOKEN_GONE; MTLS_AGENT_E_ARGUMENT when @pin_fd is not open, or the name is too long
 * or not UTF-8; those that every function has, _PROTOCOL when @pin_fd is no pipe's read end.
 */
MTLS_AGENT_EXPORT int mtls_agent_unlock(struct mtls_agent *agent, const char *token, int pin_fd,
                                        struct mtls_agent_error *error) MTLS_AGENT_CHECK;

/**
 * mtls_agent_ask_unlock() - have the agent ask a person for a token's PIN, then log in
 * @token:      as for mtls_agent_unlock()
 *
 * The agent asks with a pinentry, on the display or terminal of this process, or has the person
 * type at the reader's keypad. Blocks until the deadline at most, as long as the person takes.
 * Return: as mtls_agent_unlock(); MTLS_AGENT_E_LOCKED when nobody can be asked, MTLS_AGENT_E_PIN
 * when nobody answered.
 */
MTLS_AGENT_EXPORT int mtls_agent_ask_unlock(struct mtls_agent *agent, const char *token,
                                            struct mtls_agent_error *error) MTLS_AGENT_CHECK;

enum mtls_agent_pin_change {
    MTLS_AGENT_PIN_CHANGE = 1,  /* with the old PIN */
    MTLS_AGENT_PIN_UNBLOCK = 2, /* with the PUK, which is the PIN of the security officer */
};

/**
 * mtls_agent_set_pin() - give a token another PIN
 * @token:      as for mtls_agent_unlock(); NULL: the only one
 * @pin_fd:     as for mtls_agent_unlock(), with two lines: the old PIN or the PUK, and the new PIN
 *
 * For the agent's own user. What the token is shown is given once. Blocks until the deadline at
 * most. Return: 0; MTLS_AGENT_E_PIN when a PIN was refused, or is of a form that the token does not
 * take; MTLS_AGENT_E_POLICY when the caller may not, or the token's module cannot; else as
 * mtls_agent_unlock().
 */
MTLS_AGENT_EXPORT int mtls_agent_set_pin(struct mtls_agent *agent, const char *token,
                                         enum mtls_agent_pin_change change, int pin_fd,
                                         struct mtls_agent_error *error) MTLS_AGENT_CHECK;

/**
 * mtls_agent_lock() - log out of every token that is meant, so that its keys need the PIN again
 * @token:      token label, serial, or `pkcs11:` URI; borrowed; NULL: all
 *
 * Blocks until the deadline at most.
 * Return: 0; MTLS_AGENT_E_NO_KEY when no token has the name; MTLS_AGENT_E_ARGUMENT when it is too
 * long or not UTF-8; those that every function has.
 */
MTLS_AGENT_EXPORT int mtls_agent_lock(struct mtls_agent *agent, const char *token,
                                      struct mtls_agent_error *error) MTLS_AGENT_CHECK;

/* What may change at the agent: bits of a mask, and the kind of an event. */
enum mtls_agent_event_kind {
    MTLS_AGENT_EVENT_KEYS = 1,   /* keys or certificates */
    MTLS_AGENT_EVENT_TOKEN = 2,  /* a token came, went, was unlocked or locked */
    MTLS_AGENT_EVENT_MODULE = 4, /* the state of a module */
    /* A key waits for a person: for a touch, a token, a PIN. The text says for what and for whom;
     * "done": it waits no longer. Told to the agent's own user and root. Requests wait only where
     * somebody is told: subscribe to this only when the text is shown to a person. */
    MTLS_AGENT_EVENT_WAITING = 8,
};

struct mtls_agent_event {
    enum mtls_agent_event_kind kind;
    char subject[257]; /* name of the key, label of the token, name of the module; UTF-8 as it came:
                          escape it before it meets a terminal */
    char text[1025];   /* what happened, for people; likewise */
};

struct mtls_agent_events;

/**
 * mtls_agent_events_new() - be told of changes from now on
 * @agent:      tells where the agent is; borrowed for this call alone
 * @mask:       a sum of enum mtls_agent_event_kind, not 0
 * @ret_events: filled; owned by the caller, mtls_agent_events_free()
 *
 * Has a connection of its own, and is for one thread at a time. It does not reconnect: after a
 * failure make a new one, then ask the agent for what there is now. A forked child may do nothing
 * with it but free it.
 * Blocks until the handle's deadline at most. Return: 0; MTLS_AGENT_E_ARGUMENT when @mask is none;
 * those that every function has.
 */
MTLS_AGENT_EXPORT int mtls_agent_events_new(struct mtls_agent *agent, unsigned int mask,
                                            struct mtls_agent_events **ret_events,
                                            struct mtls_agent_error *error) MTLS_AGENT_CHECK;

/** mtls_agent_events_get_fd() - borrowed; readable when mtls_agent_events_next() may have news. */
MTLS_AGENT_EXPORT int mtls_agent_events_get_fd(const struct mtls_agent_events *events);

/**
 * mtls_agent_events_next() - the oldest event that was not taken yet
 * @timeout_ms: how long to wait for one; 0: not at all
 * @ret_event:  filled
 *
 * An event says that something changed, not what is now: ask for that.
 * Return: 0; MTLS_AGENT_E_TIMEOUT when there is none; MTLS_AGENT_E_CONNECTION and others that every
 * function has when no more will come.
 */
MTLS_AGENT_EXPORT int mtls_agent_events_next(struct mtls_agent_events *events,
                                             unsigned int timeout_ms,
                                             struct mtls_agent_event *ret_event,
                                             struct mtls_agent_error *error) MTLS_AGENT_CHECK;

/** mtls_agent_events_free() - unsubscribe and release; NULL is fine. Return: NULL. */
MTLS_AGENT_EXPORT struct mtls_agent_events *
mtls_agent_events_free(struct mtls_agent_events *events);

/* OpenSSL's own types, declared here so that this header needs none of its headers. */
struct ssl_ctx_st;

/**
 * mtls_agent_use_ssl_ctx() - mutual TLS for a context in one call
 * @ssl_ctx:    an SSL_CTX for client connections; borrowed
 * @selector:   the key, as for mtls_agent_find(); NULL: chosen at each handshake by the server's
 *              acceptable CAs, its signature algorithms, and validity (RFC 8446 section 4.2.4)
 * @agent:      borrowed, must outlive @ssl_ctx, its connections and the keys taken from them; NULL:
 *              one of the library's own, for the default socket of the first such call
 *
 * With a selector it asks the agent now, and sets certificate, chain and key at once. With NULL it
 * asks nothing and sets the certificate callback (SSL_CTX_set_cert_cb): no key is needed before a
 * server asks for one, and a server that asks gets none when no key fits. An agent that cannot be
 * asked then ends the handshake, with its sentence in OpenSSL's error queue. Of keys that fit,
 * those that can sign at once go first, then the one whose certificate expires last; a key that
 * waits for its PIN is taken only when it is the only one.
 *
 * A named key whose token can make no signature of TLS 1.3 (an RSA key without PSS) limits the
 * context to TLS 1.2 and PKCS#1 v1.5; a chosen one is never such a key where OpenSSL would want
 * more of it.
 *
 * Call it once for a context: OpenSSL has no way to take back what the first call set.
 *
 * OpenSSL is loaded by this function alone, and must be the one that made @ssl_ctx (libssl.so.3).
 * The program's own providers and configuration of OpenSSL are left as they are.
 *
 * Blocks, with a selector, until the deadline at most; without, each handshake does so.
 * Return: 0; with a selector as mtls_agent_find(), and MTLS_AGENT_E_NO_KEY when the key has no
 * certificate; MTLS_AGENT_E_TLS when OpenSSL or the library's part for it refuses.
 */
MTLS_AGENT_EXPORT int mtls_agent_use_ssl_ctx(struct ssl_ctx_st *ssl_ctx, const char *selector,
                                             struct mtls_agent *agent,
                                             struct mtls_agent_error *error) MTLS_AGENT_CHECK;

/** mtls_agent_code_name() - "policy", "no-agent", ...: stable words for logs and JSON; "unknown"
 * for what is no code. Never NULL, never to be freed. */
MTLS_AGENT_EXPORT const char *mtls_agent_code_name(enum mtls_agent_code code);

/** mtls_agent_version() - the library's version, e.g. "0.1.0". */
MTLS_AGENT_EXPORT const char *mtls_agent_version(void);

#ifdef __cplusplus
}
#endif

#endif
