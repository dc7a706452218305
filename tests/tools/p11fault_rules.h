/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control file of p11fault.so ($P11FAULT_CTL): what it says, which of its rules still apply,
 * and the log of calls ($P11FAULT_LOG). One rule per line, '#' starts a comment:
 *
 *   FUNC ACTION [ARG] [COUNT]   FUNC: C_Sign, ..., or * for all; COUNT: only so many calls, in all
 *                               processes together; a changed file starts to count anew
 *   removed [LABEL]             the token with that label (without: every token) is not there
 *   pin-tries N                 a retry counter (p11fault_pin.h)
 *   attr bad-length|unavailable|growing CKA_HEX
 *   hardware                    CKF_HW_SLOT and CKF_REMOVABLE_DEVICE on every slot
 *   no-public-objects           only objects with CKA_PRIVATE are found
 *   no-public-keys              no object of class CKO_PUBLIC_KEY is found
 *   found-id HEX                a search by CKA_ID finds the objects with this one byte as theirs
 *   no-mechanism CKM_HEX [LABEL]  C_GetMechanismList does not name it, C_SignInit refuses it, on
 * the token with that label (without: on every token) refuse-mechanism CKM_HEX [CKR_HEX [LABEL]]
 * named, yet C_SignInit refuses it: CKR_MECHANISM_INVALID pinpad                      C_Login takes
 * no PIN but NULL: the person types $P11FAULT_PIN pinpad-wait MS              how long that takes
 *   max-sessions N              so many sessions, in all processes together: CKR_SESSION_COUNT; the
 *                               first number in $P11FAULT_CTL.sessions is the most ever asked for
 *   drop-sessions IDLE_MS       sessions that no call has used for so long are closed
 *   count-signatures            each adds a byte to $P11FAULT_CTL.signed-LABEL
 *   serial LABEL NEWSERIAL      the token with that label has this serial number: it is another
 *   reader LABEL NAME           the slot of that token has this description
 *
 * Replace the file by rename(2), so that no call sees half of it. What cannot be understood is
 * written to $P11FAULT_CTL.error, for the test to find.
 */
#ifndef MTLS_TESTS_P11FAULT_RULES_H
#define MTLS_TESTS_P11FAULT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define FAULT_RULES_MAX 64
#define FAULT_LABELS_MAX 16
#define FAULT_LABEL_LEN 32 /* CK_TOKEN_INFO.label */
#define FAULT_ATTRS_MAX 16
#define FAULT_MECHANISMS_MAX 16
#define FAULT_NAMES_MAX 16
#define FAULT_NAME_LEN 64 /* CK_SLOT_INFO.slotDescription */

enum fault_action {
    /* before the call, in the order of the file */
    FAULT_DELAY,     /* ARG milliseconds */
    FAULT_BUSY,      /* the same, one call after the other */
    FAULT_HANG,      /* never returns */
    FAULT_CRASH,     /* SIGSEGV */
    FAULT_EXIT,      /* exit(99), with atexit handlers */
    FAULT_ABORT,     /* abort() */
    FAULT_STDOUT,    /* ARG bytes of lines to standard output */
    FAULT_STDERR,    /* ARG bytes of lines to standard error */
    FAULT_CLOSE_FDS, /* closes descriptors 0 to 2 */
    FAULT_CHDIR,     /* to ARG */
    FAULT_SIGMASK,   /* blocks every signal, ignores SIGTERM and SIGINT */
    FAULT_SETLOCALE, /* to ARG */
    FAULT_SETUID,    /* to ARG */
    FAULT_THREAD,    /* starts a thread that never ends */
    /* instead of the call */
    FAULT_RV, /* ARG, hexadecimal */
    /* to the result of C_Sign and C_SignFinal */
    FAULT_GARBAGE,   /* random bytes of the right length */
    FAULT_SHORT,     /* one byte less */
    FAULT_LONG,      /* a length beyond the caller's buffer */
    FAULT_ZERO_R,    /* first half zero */
    FAULT_ZERO_S,    /* second half zero */
    FAULT_HIGH_S,    /* ECDSA: s replaced by the larger of s and n - s; still valid */
    FAULT_EMPTY,     /* CKR_OK with length 0 */
    FAULT_TOO_SMALL, /* CKR_BUFFER_TOO_SMALL, whatever the buffer */
    FAULT_FLIP,      /* one bit flipped */
};

struct fault_step {
    enum fault_action action;
    unsigned long number;
    char text[64];
};

/* What is to happen to one call. */
struct fault_plan {
    size_t count;
    struct fault_step steps[FAULT_RULES_MAX];
};

enum fault_attr {
    FAULT_ATTR_NONE = 0,
    FAULT_ATTR_BAD_LENGTH,  /* one byte less than there is */
    FAULT_ATTR_UNAVAILABLE, /* CK_UNAVAILABLE_INFORMATION */
    FAULT_ATTR_GROWING,     /* the length query tells one byte less than the next call needs */
};

struct fault_mechanism {
    unsigned long type;
    unsigned long rv; /* of C_SignInit */
    bool hidden;
    char label[FAULT_LABEL_LEN + 1]; /* "": every token */
};

/* Another name for a token's serial number or its slot. */
struct fault_name {
    char label[FAULT_LABEL_LEN + 1];
    char name[FAULT_NAME_LEN + 1];
};

/* What holds for as long as the control file says it. */
struct fault_settings {
    bool removed_all;
    size_t removed_count;
    char removed[FAULT_LABELS_MAX][FAULT_LABEL_LEN + 1];
    unsigned int pin_tries; /* 0: no counter */
    bool hardware;
    bool no_public_objects;
    bool no_public_keys;
    uint8_t found_id; /* 0: searches are as they are */
    bool pinpad;
    bool count_signatures;
    unsigned int pinpad_wait_ms;
    unsigned int max_sessions;     /* 0: no limit */
    unsigned int drop_sessions_ms; /* 0: never */
    size_t mechanism_count;
    struct fault_mechanism mechanisms[FAULT_MECHANISMS_MAX];
    size_t serial_count;
    struct fault_name serials[FAULT_NAMES_MAX];
    size_t reader_count;
    struct fault_name readers[FAULT_NAMES_MAX];
    size_t attr_count;
    struct {
        enum fault_attr fault;
        unsigned long type;
    } attrs[FAULT_ATTRS_MAX];
};

/** fault_rules_log() - append "PID FUNC" to the log of calls. */
void fault_rules_log(const char *function);

/** fault_rules_plan() - the steps for a call of @function that begins now; uses up counts. */
void fault_rules_plan(const char *function, struct fault_plan *ret_plan);

/** fault_rules_settings() - a copy of the settings as of now. */
void fault_rules_settings(struct fault_settings *ret_settings);

/** fault_rules_open() - a file named after the control file, locked; negative: there is none. */
int fault_rules_open(const char *suffix) _must_check_;

#endif
