/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages between the core and one ask-pin, both halves of each; same codec as the other
 * protocols, one frame per packet of a SOCK_SEQPACKET socket pair. The core never sees a PIN: it
 * asks for one, is told whether ask-pin has it, and passes the write end of a pipe for each use.
 *
 * ASK once, ANSWER once, then any number of GIVE and RECORD. A GIVE may follow its ASK at once;
 * when no PIN was had its pipe is closed with nothing in it. The end of the socket ends ask-pin.
 *
 * `_parse` and `_encode` return as in common/protocol.h.
 */
#ifndef MTLS_COMMON_PIN_PROTOCOL_H
#define MTLS_COMMON_PIN_PROTOCOL_H

#include "common/protocol.h"

#define PIN_FD_CONTROL 3 /* ask-pin's end of the socket pair */

#define PIN_PACKET_MAX 32768u  /* bytes of a packet */
#define PIN_ARGUMENT_MAX 8192u /* bytes of a path or a command */
#define PIN_PROMPT_MAX 4096u   /* bytes of what a prompt says */
#define PIN_IDENTITY_MAX 128u  /* bytes of a source's identity */
#define PIN_RECORD_MAX 2048u   /* bytes of a line of the ledger */
#define PIN_TIMEOUT_MS_MAX (24u * 3600u * 1000u)

enum pin_type {
    /* core to ask-pin */
    PIN_ASK = 1,
    PIN_GIVE = 2,   /* with the write end of a pipe */
    PIN_RECORD = 3, /* a line for the ledger alone */

    /* ask-pin to core */
    PIN_ANSWER = 129,
    PIN_TROUBLE = 130, /* the ledger could not be written */
};

/* Where the PIN comes from. */
enum pin_kind {
    PIN_KIND_FILE = 1,
    PIN_KIND_COMMAND = 2,
    PIN_KIND_CREDENTIAL = 3,
    PIN_KIND_RELAY = 4,    /* the pipe that comes with ASK */
    PIN_KIND_PROMPT = 5,   /* a person is asked */
    PIN_KIND_PRESENCE = 6, /* there is a person who could be asked: for a reader with a keypad */
};

enum pin_answer {
    PIN_OK = 0,
    PIN_E_FAILED = 1,    /* the text says why */
    PIN_E_CANCELLED = 2, /* by the person */
    PIN_E_TIMEOUT = 3,   /* nobody answered in time */
    PIN_E_NOBODY = 4,    /* there is neither a display nor a terminal to ask at */
    PIN_E_REFUSED = 5,   /* the source is the one whose PIN was refused: it was not asked */
};

struct pin_ask {
    enum pin_kind kind;
    uint32_t timeout_ms;       /* for the whole of it; 1 to PIN_TIMEOUT_MS_MAX */
    struct wire_span argument; /* path, command, or name of the credential */
    struct wire_span refused;  /* identity of a source that is not to be asked; empty: none */
    struct wire_span ledger;   /* file; empty: none is kept */
    struct wire_span pinentry; /* program; empty: the system's */
    uint32_t client_pid;       /* whose display and terminal; 0: nobody's */
    struct wire_span text;     /* what the prompt says, line by line; escaped */
    struct wire_span error;    /* why it is asked again; escaped; or empty */
};
int pin_ask_encode(struct wire_writer *writer, const struct pin_ask *msg) _must_check_;
int pin_ask_parse(struct wire_span body, struct pin_ask *ret_msg) _must_check_;

/*
 * One line of the ledger: "TOKEN FACTS source=SOURCE". It replaces the line that begins with TOKEN
 * and a space; without FACTS it only removes that. GIVE writes it before the PIN leaves ask-pin.
 */
struct pin_record {
    struct wire_span token;  /* without a space; empty: there is nothing to record */
    struct wire_span facts;  /* words, one space between them; no line end */
    struct wire_span source; /* identity; empty: the one of this ask-pin's own source */
};
int pin_record_encode(struct wire_writer *writer, uint8_t type,
                      const struct pin_record *msg) _must_check_;
int pin_record_parse(struct wire_span body, struct pin_record *ret_msg) _must_check_;

struct pin_reply {
    enum pin_answer answer;
    struct wire_span source; /* identity of the source: no PIN, nor anything made from one */
    struct wire_span text;   /* for people: why not */
};
int pin_reply_encode(struct wire_writer *writer, const struct pin_reply *msg) _must_check_;
int pin_reply_parse(struct wire_span body, struct pin_reply *ret_msg) _must_check_;

/* TROUBLE: one sentence. */
int pin_trouble_encode(struct wire_writer *writer, struct wire_span text) _must_check_;
int pin_trouble_parse(struct wire_span body, struct wire_span *ret_text) _must_check_;

#endif
