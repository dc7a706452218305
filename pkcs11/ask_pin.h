/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of ask-pin, the process that fetches a PIN, hands it to token workers, and keeps it
 * where the configuration says so. It has no other state than that one PIN, and may be killed at
 * any moment: then the PIN is forgotten.
 */
#ifndef MTLS_PKCS11_ASK_PIN_H
#define MTLS_PKCS11_ASK_PIN_H

#include "common/pin_protocol.h"
#include "common/secret.h"

#define ASK_PIN_SHOWN_MAX 512u

/**
 * ask_pin_fail() - remember the sentence that says why there is no PIN
 *
 * Return: PIN_E_FAILED.
 */
enum pin_answer ask_pin_fail(const char *format, ...) _printf_(1, 2);

/** ask_pin_text() - the sentence; "" when nothing failed. */
const char *ask_pin_text(void);

/**
 * ask_pin_source_identity() - what tells this source, and its present content, from others
 * @argument:   path, command or name
 * @identity:   filled; of a file it has inode, size and time of change, of no source the PIN
 */
void ask_pin_source_identity(enum pin_kind kind, const char *argument,
                             char identity[static PIN_IDENTITY_MAX]);

/** ask_pin_from_source() - PIN_KIND_FILE, _COMMAND or _CREDENTIAL. Blocks. */
enum pin_answer ask_pin_from_source(enum pin_kind kind, const char *argument,
                                    unsigned int timeout_ms, struct secret *secret) _must_check_;

/** ask_pin_read() - from a descriptor; @shown: what it is, for the sentence. Blocks. */
enum pin_answer ask_pin_read(struct secret *secret, int fd, unsigned int timeout_ms,
                             const char *shown) _must_check_;

/* What the client's process tells about the person in front of it. Owned strings, NULL: none. */
struct ask_pin_person {
    char *variables; /* NAME=VALUE, each NUL-terminated; for the pinentry */
    size_t variables_len;
    char *tty; /* a terminal that we may open */
    bool has_display;
};

/**
 * ask_pin_person_find() - the display and terminal of a client, else our own environment's
 * @pid:        of the client; 0: none; another user's counts as none
 *
 * Return: 0, or -ENOMEM.
 */
int ask_pin_person_find(pid_t pid, struct ask_pin_person *ret_person) _must_check_;
void ask_pin_person_deinit(struct ask_pin_person *person);

/** ask_pin_person_get() - the value of one of the variables; NULL: not set. */
const char *ask_pin_person_get(const struct ask_pin_person *person, const char *name);

/* A prompt. Everything borrowed. */
struct ask_pin_prompt {
    const char *pinentry; /* program; "": the system's */
    pid_t client_pid;
    const char *text;
    const char *error;
    unsigned int timeout_ms;
    int control; /* its end ends the prompt */
};

/** ask_pin_from_person() - with a pinentry or systemd-ask-password(1). Blocks. */
enum pin_answer ask_pin_from_person(const struct ask_pin_prompt *prompt,
                                    struct secret *secret) _must_check_;

/** ask_pin_check_person() - PIN_OK when somebody could be asked, else PIN_E_NOBODY. */
enum pin_answer ask_pin_check_person(const struct ask_pin_prompt *prompt) _must_check_;

/** ask_pin_from_pinentry() - @program is there, and @person has a display or a terminal. */
enum pin_answer ask_pin_from_pinentry(const struct ask_pin_prompt *prompt, const char *program,
                                      const struct ask_pin_person *person,
                                      struct secret *secret) _must_check_;

/** ask_pin_from_systemd() - @program is systemd-ask-password. */
enum pin_answer ask_pin_from_systemd(const struct ask_pin_prompt *prompt, const char *program,
                                     struct secret *secret) _must_check_;

/**
 * ask_pin_ledger_write() - put a line into the ledger
 * @path:       of the file; its directories are made
 * @source:     identity for a record that has none of its own
 *
 * Blocks on the disk. Return: 0, or -errno; the old ledger is then as it was.
 */
int ask_pin_ledger_write(const char *path, const struct pin_record *record,
                         const char *source) _must_check_;

#endif
