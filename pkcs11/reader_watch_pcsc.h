/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to pcscd, through pcsclite's client library: which readers there are, what is in
 * them, and sleeping until that changes. It connects to no card.
 */
#ifndef MTLS_PKCS11_READER_WATCH_PCSC_H
#define MTLS_PKCS11_READER_WATCH_PCSC_H

#include <winscard.h>

#include "common/reader_protocol.h"
#include "pkcs11/text.h"

struct pcsc_reader {
    struct text name; /* as it goes to the core */
    char raw[MAX_READERNAME + 1];
    char users[PROTOCOL_TEXT_MAX / 2]; /* of a card that is in use: who it may be, beside us */
    enum reader_state state;
};

struct pcsc {
    SCARDCONTEXT context;
    size_t reader_count;
    struct pcsc_reader readers[READERS_MAX];
    SCARD_READERSTATE states[READERS_MAX + 1]; /* as last seen; the last one tells of new readers */
};

/** pcsc_open() - connect; starts pcscd where systemd listens for it. Return: pcsclite's code. */
LONG pcsc_open(struct pcsc *pcsc);
void pcsc_close(struct pcsc *pcsc);

/**
 * pcsc_look() - see all readers
 * @agent:      pid of the core, for users_describe()
 *
 * Return: pcsclite's code; SCARD_S_SUCCESS also when there is no reader.
 */
LONG pcsc_look(struct pcsc *pcsc, pid_t agent);

/**
 * pcsc_wait() - sleep until something is other than pcsc_look() has seen it
 * @limit_ms:   or for so long
 *
 * Return: SCARD_S_SUCCESS, SCARD_E_TIMEOUT, or what ended the connection.
 */
LONG pcsc_wait(struct pcsc *pcsc, DWORD limit_ms);

/** pcsc_fill_report() - what was seen; borrowed from @pcsc. */
void pcsc_fill_report(const struct pcsc *pcsc, struct reader_report *ret_report);

#endif
