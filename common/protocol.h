/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages between a client program and the agent, both halves of each: a struct, `_encode`
 * (appends one frame to a writer, sticky failure) and `_parse` (takes the body of a frame, gives
 * borrowed spans into it). Pure: no socket, no allocation in `_parse`. Normative text:
 * docs/protocol.md.
 *
 * `_parse` returns 0 or WIRE_E_MALFORMED. `_encode` returns 0 or WIRE_E_MALFORMED when the frame
 * would be over WIRE_FRAME_MAX or memory is short; the writer then holds what it held before.
 */
#ifndef MTLS_COMMON_PROTOCOL_H
#define MTLS_COMMON_PROTOCOL_H

#include "common/scheme.h"
#include "common/wire.h"

#define PROTOCOL_VERSION 1u

#define PROTOCOL_NAME_MAX 256u         /* bytes of a name or label shown to people */
#define PROTOCOL_SELECTOR_MAX 1024u    /* bytes of a selector: RFC 7512 URIs are long */
#define PROTOCOL_TEXT_MAX 1024u        /* bytes of a sentence for a person */
#define PROTOCOL_ID_MAX 256u           /* bytes of a CKA_ID */
#define PROTOCOL_CERTS_MAX 10u         /* leaf and chain */
#define PROTOCOL_DER_MAX (64u * 1024u) /* bytes of one certificate or SPKI */
#define PROTOCOL_SIGNATURE_MAX 2048u   /* RSA-16384 */
#define PROTOCOL_REFUSALS_MAX 16u      /* entries of STATUS_REPLY's refusals */
#define PROTOCOL_READERS_MAX 16u       /* entries of STATUS_REPLY's readers */
#define PROTOCOL_KEY_HASH_LEN 32u      /* SHA-256 of the DER SubjectPublicKeyInfo */

/* Requests are below 128, their replies 128 above them. */
enum protocol_type {
    PROTOCOL_HELLO = 1,
    PROTOCOL_LIST = 2,
    PROTOCOL_SIGN = 3,
    PROTOCOL_STATUS = 4,
    PROTOCOL_SUBSCRIBE = 5,
    PROTOCOL_UNLOCK = 6,
    PROTOCOL_LOCK = 7,
    PROTOCOL_SET_PIN = 8,

    PROTOCOL_HELLO_REPLY = 129,
    PROTOCOL_LIST_REPLY = 130,
    PROTOCOL_SIGN_REPLY = 131,
    PROTOCOL_STATUS_REPLY = 132,
    PROTOCOL_SUBSCRIBE_REPLY = 133,
    PROTOCOL_UNLOCK_REPLY = 134,
    PROTOCOL_LOCK_REPLY = 135,
    PROTOCOL_SET_PIN_REPLY = 136,

    PROTOCOL_EVENT = 192,
    PROTOCOL_ERROR = 255,
};

enum protocol_error_code {
    PROTOCOL_E_PROTO = 1,      /* the request is not of the protocol's form */
    PROTOCOL_E_VERSION = 2,    /* no common protocol version */
    PROTOCOL_E_POLICY = 3,     /* refused: the text says what to change */
    PROTOCOL_E_NO_KEY = 4,     /* no such key, or no such token */
    PROTOCOL_E_AMBIGUOUS = 5,  /* the name fits several; the text lists them */
    PROTOCOL_E_TOKEN_GONE = 6, /* the token is not there, or its state was lost for good */
    PROTOCOL_E_LOCKED = 7,     /* the token needs its PIN first */
    PROTOCOL_E_PIN = 8,        /* the PIN was refused, or none could be had */
    PROTOCOL_E_BUSY = 9,       /* a quota or a back-off; try again later */
    PROTOCOL_E_TIMEOUT = 10,   /* no answer within the deadline */
    PROTOCOL_E_INTERNAL = 11,  /* the agent or the module failed */
};

/* What is being signed (docs/protocol.md, "sign"). Each kind says which fields follow. */
enum sign_kind {
    SIGN_KIND_TLS13 = 1,  /* content: the CertificateVerify content, RFC 8446 section 4.4.3 */
    SIGN_KIND_TLS12 = 2,  /* content: all handshake messages so far, RFC 5246 section 7.4.8 */
    SIGN_KIND_DIGEST = 3, /* content: the digest of the scheme's hash (Ed25519: the message) */
};

enum key_state {
    KEY_STATE_READY = 1,  /* can sign now */
    KEY_STATE_LOCKED = 2, /* its token waits for a PIN */
    KEY_STATE_ABSENT = 3, /* its token or its module is not there at the moment */
};

enum key_policy {
    KEY_POLICY_TLS = 1,
    KEY_POLICY_DIGEST = 2, /* also bare digests */
};

enum token_state {
    TOKEN_STATE_READY = 1,   /* logged in, or needs no login */
    TOKEN_STATE_LOCKED = 2,  /* waits for a PIN */
    TOKEN_STATE_PIN_BAD = 3, /* the configured source gave a PIN that was refused */
    TOKEN_STATE_PIN_BLOCKED = 4,
};

enum module_state {
    MODULE_STATE_STARTING = 1,
    MODULE_STATE_READY = 2,
    MODULE_STATE_BACKOFF = 3,  /* its worker failed; the next start is awaited */
    MODULE_STATE_FAILED = 4,   /* cannot work as configured; the text says why */
    MODULE_STATE_RELEASED = 5, /* given up while nobody needs it; the next request starts it */
};

/* A reader that pcscd knows, and the card in it. */
enum reader_state {
    READER_STATE_EMPTY = 1,
    READER_STATE_PRESENT = 2,     /* a card is in it, and nobody uses it */
    READER_STATE_IN_USE = 3,      /* programs share it, the agent's workers among them */
    READER_STATE_EXCLUSIVE = 4,   /* one program holds it for itself */
    READER_STATE_MUTE = 5,        /* a card is in it that does not answer */
    READER_STATE_UNAVAILABLE = 6, /* the reader itself does not answer */
};

/* Bits of a subscription, and the kind of an event. */
enum event_kind {
    EVENT_KEYS_CHANGED = 1u << 0,
    EVENT_TOKEN_CHANGED = 1u << 1,
    EVENT_MODULE_CHANGED = 1u << 2,
    EVENT_WAITING = 1u << 3, /* a key waits for a person, or does so no longer */
};
#define EVENT_ALL (EVENT_KEYS_CHANGED | EVENT_TOKEN_CHANGED | EVENT_MODULE_CHANGED | EVENT_WAITING)

/* HELLO: the only message without a request id. */
struct protocol_hello {
    uint32_t version_min;
    uint32_t version_max;
    struct wire_span client_name; /* for people; never trusted */
};
int protocol_hello_encode(struct wire_writer *writer,
                          const struct protocol_hello *msg) _must_check_;
int protocol_hello_parse(struct wire_span body, struct protocol_hello *ret_msg) _must_check_;

struct protocol_hello_reply {
    uint32_t version;
    struct wire_span agent_version;
};
int protocol_hello_reply_encode(struct wire_writer *writer,
                                const struct protocol_hello_reply *msg) _must_check_;
int protocol_hello_reply_parse(struct wire_span body,
                               struct protocol_hello_reply *ret_msg) _must_check_;

/* LIST: the keys that @selector names (empty: all), from number @start on. */
struct protocol_list {
    uint32_t id;
    uint32_t start;
    struct wire_span selector;
};
int protocol_list_encode(struct wire_writer *writer, const struct protocol_list *msg) _must_check_;
int protocol_list_parse(struct wire_span body, struct protocol_list *ret_msg) _must_check_;

/* One key, as it stands inside LIST_REPLY. */
struct protocol_key {
    struct wire_span name;     /* what people type */
    struct wire_span key_hash; /* PROTOCOL_KEY_HASH_LEN bytes */
    enum key_type type;
    uint32_t bits;
    enum key_state state;
    enum key_policy policy;
    bool always_authenticate; /* the token wants its PIN for every signature */
    struct wire_span label;   /* CKA_LABEL */
    struct wire_span ck_id;   /* CKA_ID */
    struct wire_span token_label;
    struct wire_span token_serial;
    struct wire_span module; /* name in the configuration */
    struct wire_span spki;   /* DER SubjectPublicKeyInfo */
    size_t scheme_count;
    uint32_t schemes[SCHEMES_MAX];              /* preferred first */
    size_t cert_count;                          /* 0: the key has no certificate */
    struct wire_span certs[PROTOCOL_CERTS_MAX]; /* DER, leaf first */
};

/* LIST_REPLY is built key by key: begin, add as many as fit, end. */
struct protocol_list_reply {
    uint32_t id;
    uint32_t total;        /* keys that the selector names */
    uint32_t next;         /* ask again with start = next; 0: this was the last page */
    struct wire_span keys; /* for protocol_list_reply_next_key() */
    uint32_t key_count;
};

struct protocol_list_reply_mark {
    size_t frame;
    size_t next;
    size_t count;
    size_t keys;
};
struct protocol_list_reply_mark protocol_list_reply_begin(struct wire_writer *writer, uint32_t id,
                                                          uint32_t total) _must_check_;
/** protocol_list_reply_add() - true when the key was added, false when this page is full. */
bool protocol_list_reply_add(struct wire_writer *writer,
                             const struct protocol_list_reply_mark *mark,
                             const struct protocol_key *key) _must_check_;
int protocol_list_reply_end(struct wire_writer *writer, const struct protocol_list_reply_mark *mark,
                            uint32_t key_count, uint32_t next) _must_check_;
/** protocol_list_reply_parse() - checks every key in it, too. */
int protocol_list_reply_parse(struct wire_span body,
                              struct protocol_list_reply *ret_msg) _must_check_;
/** protocol_list_reply_next_key() - takes the first key off @keys; false when none is left. */
bool protocol_list_reply_next_key(struct wire_span *keys,
                                  struct protocol_key *ret_key) _must_check_;

struct protocol_sign {
    uint32_t id;
    uint32_t deadline_ms; /* the client waits so long and no longer; 0: the agent's own limit */
    struct wire_span key_hash;
    uint32_t scheme;
    uint8_t kind; /* enum sign_kind; checked by the agent, so that the error can name it */
    struct wire_span content;
};
int protocol_sign_encode(struct wire_writer *writer, const struct protocol_sign *msg) _must_check_;
int protocol_sign_parse(struct wire_span body, struct protocol_sign *ret_msg) _must_check_;

struct protocol_sign_reply {
    uint32_t id;
    struct wire_span signature; /* as TLS wants it: ECDSA in DER */
};
int protocol_sign_reply_encode(struct wire_writer *writer,
                               const struct protocol_sign_reply *msg) _must_check_;
int protocol_sign_reply_parse(struct wire_span body,
                              struct protocol_sign_reply *ret_msg) _must_check_;

/* STATUS, SUBSCRIBE_REPLY, UNLOCK_REPLY, LOCK_REPLY and SET_PIN_REPLY carry nothing but the request
 * id. */
int protocol_bare_encode(struct wire_writer *writer, uint8_t type, uint32_t id) _must_check_;
int protocol_bare_parse(struct wire_span body, uint32_t *ret_id) _must_check_;

struct protocol_status_module {
    struct wire_span name;
    struct wire_span path;
    enum module_state state;
    uint32_t workers;      /* running now */
    uint32_t restarts;     /* since the agent started */
    struct wire_span text; /* last failure, or empty */
};

struct protocol_status_token {
    struct wire_span label;
    struct wire_span serial;
    struct wire_span module;
    enum token_state state;
    uint32_t keys;
    struct wire_span text; /* what to do, or empty */
};

/* What was refused by policy lately: the same again raises the count. */
struct protocol_status_refusal {
    uint64_t age_ms; /* since the last time */
    uint32_t count;
    uint32_t uid;
    uint32_t pid;             /* of the last time; 0: of another pid namespace */
    struct wire_span program; /* path of its executable, or empty */
    struct wire_span key;     /* name, as in LIST_REPLY */
    uint8_t kind;             /* as it was asked for: an enum sign_kind, or what none is */
    struct wire_span text;    /* why, and what to do about it */
};

/* A smart card reader; there are none as long as no module uses PC/SC. */
struct protocol_status_reader {
    struct wire_span name;
    enum reader_state state;
    struct wire_span text; /* who holds the card, what to do, or empty */
};

struct protocol_status_reply {
    uint32_t id;
    struct wire_span agent_version;
    uint32_t pid;
    uint64_t uptime_ms;
    uint64_t signatures;              /* made since the agent started */
    uint64_t refusals;                /* requests that policy refused */
    uint64_t failures;                /* requests that failed otherwise */
    uint32_t connections;             /* open now */
    uint32_t queued;                  /* sign requests waiting or under way */
    struct wire_span config_text;     /* why the last reload was not taken, or empty */
    struct wire_span modules;         /* for protocol_status_next_module() */
    struct wire_span tokens;          /* for protocol_status_next_token() */
    struct wire_span recent_refusals; /* for protocol_status_next_refusal() */
    struct wire_span readers;         /* for protocol_status_next_reader() */
    struct wire_span readers_text;    /* why there are none, and what to do, or empty */
};
/* Fixed part; then begin/add/end for the four lists: modules, tokens, refusals, readers. */
struct protocol_status_mark {
    size_t frame;
    size_t list;
};
struct protocol_status_mark
protocol_status_reply_begin(struct wire_writer *writer,
                            const struct protocol_status_reply *fixed) _must_check_;
void protocol_status_reply_add_module(struct wire_writer *writer,
                                      const struct protocol_status_module *module);
void protocol_status_reply_begin_tokens(struct wire_writer *writer,
                                        struct protocol_status_mark *mark);
/** protocol_status_reply_add_token() - true when it was added, false when there is no room left. */
bool protocol_status_reply_add_token(struct wire_writer *writer,
                                     const struct protocol_status_mark *mark,
                                     const struct protocol_status_token *token) _must_check_;
void protocol_status_reply_begin_refusals(struct wire_writer *writer,
                                          struct protocol_status_mark *mark);
/** protocol_status_reply_add_refusal() - at most PROTOCOL_REFUSALS_MAX; those always have room. */
void protocol_status_reply_add_refusal(struct wire_writer *writer,
                                       const struct protocol_status_refusal *refusal);
/** protocol_status_reply_begin_readers() - @text: as readers_text of the reply. */
void protocol_status_reply_begin_readers(struct wire_writer *writer,
                                         struct protocol_status_mark *mark, struct wire_span text);
/** protocol_status_reply_add_reader() - at most PROTOCOL_READERS_MAX; those always have room. */
void protocol_status_reply_add_reader(struct wire_writer *writer,
                                      const struct protocol_status_reader *reader);
int protocol_status_reply_end(struct wire_writer *writer,
                              const struct protocol_status_mark *mark) _must_check_;
/** protocol_status_reply_parse() - checks every entry of its lists, too. */
int protocol_status_reply_parse(struct wire_span body,
                                struct protocol_status_reply *ret_msg) _must_check_;
bool protocol_status_next_module(struct wire_span *modules,
                                 struct protocol_status_module *ret_module) _must_check_;
bool protocol_status_next_token(struct wire_span *tokens,
                                struct protocol_status_token *ret_token) _must_check_;
bool protocol_status_next_refusal(struct wire_span *refusals,
                                  struct protocol_status_refusal *ret_refusal) _must_check_;
bool protocol_status_next_reader(struct wire_span *readers,
                                 struct protocol_status_reader *ret_reader) _must_check_;

/* SUBSCRIBE: events of the kinds in @mask (EVENT_*) until the connection ends. */
struct protocol_subscribe {
    uint32_t id;
    uint32_t mask;
};
int protocol_subscribe_encode(struct wire_writer *writer,
                              const struct protocol_subscribe *msg) _must_check_;
int protocol_subscribe_parse(struct wire_span body,
                             struct protocol_subscribe *ret_msg) _must_check_;

struct protocol_event {
    uint32_t id;              /* of the SUBSCRIBE request */
    uint32_t kind;            /* one EVENT_* bit */
    struct wire_span subject; /* name of the key, label of the token, name of the module */
    struct wire_span text;    /* what happened, for people */
};
int protocol_event_encode(struct wire_writer *writer,
                          const struct protocol_event *msg) _must_check_;
int protocol_event_parse(struct wire_span body, struct protocol_event *ret_msg) _must_check_;

/*
 * UNLOCK: log in to the token that @selector names. With the frame travels one descriptor
 * (SCM_RIGHTS): the read end of a pipe into which the client then writes the PIN and which it
 * closes. The PIN itself is in no message.
 * LOCK: log out of the token that @selector names (empty: of all).
 */
struct protocol_token_request {
    uint32_t id;
    struct wire_span selector;
};
int protocol_token_request_encode(struct wire_writer *writer, uint8_t type,
                                  const struct protocol_token_request *msg) _must_check_;
int protocol_token_request_parse(struct wire_span body,
                                 struct protocol_token_request *ret_msg) _must_check_;

enum pin_change {
    PIN_CHANGE_CHANGE = 1,  /* the old PIN, then the new one */
    PIN_CHANGE_UNBLOCK = 2, /* the PUK, then the new PIN */
};

/*
 * SET_PIN: change the PIN of the token that @selector names. With the frame travels the read end of
 * a pipe, into which the client writes two lines: both PINs.
 */
struct protocol_set_pin {
    uint32_t id;
    struct wire_span selector;
    enum pin_change change;
};
int protocol_set_pin_encode(struct wire_writer *writer,
                            const struct protocol_set_pin *msg) _must_check_;
int protocol_set_pin_parse(struct wire_span body, struct protocol_set_pin *ret_msg) _must_check_;

struct protocol_error {
    uint32_t id;   /* 0 when the failure belongs to no request; the connection then closes */
    uint32_t code; /* enum protocol_error_code */
    struct wire_span text; /* one sentence: what is wrong and what to do */
};
int protocol_error_encode(struct wire_writer *writer,
                          const struct protocol_error *msg) _must_check_;
int protocol_error_parse(struct wire_span body, struct protocol_error *ret_msg) _must_check_;

/**
 * protocol_text() - a sentence as a span that fits PROTOCOL_TEXT_MAX
 * @text:       borrowed; UTF-8; a longer one is cut before a character, not inside
 */
struct wire_span protocol_text(const char *text);

/** protocol_error_name() - "policy", "token-gone", ...: stable words for logs and JSON. */
const char *protocol_error_name(uint32_t code);

/** sign_kind_name() - "tls13", "tls12", "digest"; NULL for a kind that this version does not know.
 */
const char *sign_kind_name(uint32_t kind);

#endif
