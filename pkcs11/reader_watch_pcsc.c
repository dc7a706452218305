/* SPDX-License-Identifier: Apache-2.0 */
/* What pcscd tells of readers; see reader_watch_pcsc.h. */
#include "pkcs11/reader_watch_pcsc.h"

#include <string.h>

#include "pkcs11/reader_watch_users.h"

/* The name that stands for "a reader came or went". */
#define PCSC_NEW_READERS "\\\\?PnP?\\Notification"
#define PCSC_NAMES_MAX (PCSCLITE_MAX_READERS_CONTEXTS * (MAX_READERNAME + 1) + 1)
#define PCSC_COUNTER_SHIFT 16u /* of the event counter in a state */
#define PCSC_LOOKS_MAX 4

LONG pcsc_open(struct pcsc *pcsc)
{
    *pcsc = (struct pcsc){0};
    return SCardEstablishContext(SCARD_SCOPE_SYSTEM, NULL, NULL, &pcsc->context);
}

void pcsc_close(struct pcsc *pcsc)
{
    (void)SCardReleaseContext(pcsc->context);
}

static void pcsc_set_names(struct pcsc *pcsc, const char *names)
{
    pcsc->reader_count = 0;
    for (; *names && pcsc->reader_count < READERS_MAX; names += strlen(names) + 1) {
        struct pcsc_reader *reader = &pcsc->readers[pcsc->reader_count];
        (void)snprintf(reader->raw, sizeof(reader->raw), "%s", names);
        text_set(&reader->name, wire_span_from_text(reader->raw));
        if (reader->name.len > 0)
            pcsc->reader_count++;
    }
}

static LONG pcsc_list(struct pcsc *pcsc)
{
    char names[PCSC_NAMES_MAX] = "";
    DWORD len = sizeof(names) - 1;
    LONG rv = SCardListReaders(pcsc->context, NULL, names, &len);

    if (rv == SCARD_E_NO_READERS_AVAILABLE) {
        names[0] = '\0';
        rv = SCARD_S_SUCCESS;
    }
    if (rv == SCARD_S_SUCCESS)
        pcsc_set_names(pcsc, names);
    return rv;
}

static enum reader_state pcsc_state(DWORD bits)
{
    if (bits & (SCARD_STATE_UNAVAILABLE | SCARD_STATE_UNKNOWN))
        return READER_STATE_UNAVAILABLE;
    if (!(bits & SCARD_STATE_PRESENT))
        return READER_STATE_EMPTY;
    if (bits & SCARD_STATE_MUTE)
        return READER_STATE_MUTE;
    if (bits & SCARD_STATE_EXCLUSIVE)
        return READER_STATE_EXCLUSIVE;
    return bits & SCARD_STATE_INUSE ? READER_STATE_IN_USE : READER_STATE_PRESENT;
}

static void pcsc_note_state(struct pcsc *pcsc, size_t i, pid_t agent)
{
    struct pcsc_reader *reader = &pcsc->readers[i];

    reader->state = pcsc_state(pcsc->states[i].dwEventState);
    reader->users[0] = '\0';
    if (reader->state == READER_STATE_EXCLUSIVE || reader->state == READER_STATE_IN_USE)
        users_describe(agent, reader->users, sizeof(reader->users));
}

/* Before the readers are listed: one that comes after that is not missed by pcsc_wait(). */
static LONG pcsc_look_for_new(struct pcsc *pcsc, SCARD_READERSTATE *ret_state)
{
    *ret_state = (SCARD_READERSTATE){.szReader = PCSC_NEW_READERS};
    LONG rv = SCardGetStatusChange(pcsc->context, 0, ret_state, 1);

    return rv == SCARD_E_TIMEOUT ? SCARD_S_SUCCESS : rv;
}

static LONG pcsc_look_once(struct pcsc *pcsc)
{
    SCARD_READERSTATE new_readers;
    LONG rv = pcsc_look_for_new(pcsc, &new_readers);

    if (rv == SCARD_S_SUCCESS)
        rv = pcsc_list(pcsc);
    if (rv != SCARD_S_SUCCESS)
        return rv;
    for (size_t i = 0; i < pcsc->reader_count; i++)
        pcsc->states[i] = (SCARD_READERSTATE){.szReader = pcsc->readers[i].raw,
                                              .dwCurrentState = SCARD_STATE_UNAWARE};
    pcsc->states[pcsc->reader_count] = new_readers;
    rv = SCardGetStatusChange(pcsc->context, 0, pcsc->states, (DWORD)pcsc->reader_count);
    return rv == SCARD_E_TIMEOUT ? SCARD_S_SUCCESS : rv;
}

LONG pcsc_look(struct pcsc *pcsc, pid_t agent)
{
    LONG rv = SCARD_E_UNKNOWN_READER;

    /* A reader that has just gone is not listed the next time. */
    for (int i = 0; i < PCSC_LOOKS_MAX && rv == SCARD_E_UNKNOWN_READER; i++)
        rv = pcsc_look_once(pcsc);
    for (size_t i = 0; rv == SCARD_S_SUCCESS && i < pcsc->reader_count; i++)
        pcsc_note_state(pcsc, i, agent);
    return rv;
}

LONG pcsc_wait(struct pcsc *pcsc, DWORD limit_ms)
{
    DWORD count = (DWORD)pcsc->reader_count + 1;

    for (DWORD i = 0; i < count; i++)
        pcsc->states[i].dwCurrentState = pcsc->states[i].dwEventState & ~(DWORD)SCARD_STATE_CHANGED;
    LONG rv = SCardGetStatusChange(pcsc->context, limit_ms, pcsc->states, count);
    return rv == SCARD_E_UNKNOWN_READER ? SCARD_S_SUCCESS : rv;
}

void pcsc_fill_report(const struct pcsc *pcsc, struct reader_report *ret_report)
{
    *ret_report =
        (struct reader_report){.service = READER_SERVICE_THERE, .reader_count = pcsc->reader_count};
    for (size_t i = 0; i < pcsc->reader_count; i++)
        ret_report->readers[i] = (struct reader_entry){
            .name = text_span(&pcsc->readers[i].name),
            .state = pcsc->readers[i].state,
            .counter = (uint32_t)pcsc->states[i].dwEventState >> PCSC_COUNTER_SHIFT,
            .users = wire_span_from_text(pcsc->readers[i].users),
        };
}
