/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every subcommand of `mtls` shares: how a command describes itself, the exit codes, and the
 * one place that speaks of failures. A command is a const struct in its own file, cmd_NAME.c; help
 * texts are made from the same tables that the options are parsed with.
 */
#ifndef MTLS_CLI_CLI_H
#define MTLS_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "client/lib/mtls-agent.h"
#include "common/cleanup.h"
#include "common/wire.h"

/* Stable: mtls(1), EXIT STATUS. */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILURE = 1,
    CLI_USAGE = 2,
    CLI_NO_AGENT = 3,      /* none listens, or it went away */
    CLI_NO_KEY = 4,        /* no such key or token, or the name fits several */
    CLI_REFUSED = 5,       /* by policy */
    CLI_LOCKED = 6,        /* the token waits for its PIN, or the PIN was not accepted */
    CLI_UNAVAILABLE = 7,   /* the token is gone or busy, or time ran out */
    CLI_NOT_STARTED = 126, /* run: the command was found and could not be started */
    CLI_NOT_FOUND = 127,   /* run: the command was not found */
};

#define CLI_OPTIONS_MAX 8

struct cli_option {
    const char *name;     /* long name, without dashes */
    char letter;          /* short form; 0: none */
    const char *argument; /* what help calls its value; NULL: a switch without one */
    const char *help;
};

struct cli_args;

struct cli_command {
    const char *name;
    const char *operands; /* as help shows them, e.g. "[KEY]"; "": none */
    const char *summary;  /* one line of `mtls --help` */
    const char *details;  /* further lines of `mtls NAME --help` */
    const struct cli_option *options;
    size_t option_count; /* at most CLI_OPTIONS_MAX */
    int operands_min;
    int operands_max;     /* -1: any number */
    bool ends_at_operand; /* what follows the first operand belongs to another program */
    int (*run)(const struct cli_args *args); /* gives an enum cli_exit, or a child's own code */
};

/* The command line of one command. Borrowed from argv throughout. */
struct cli_args {
    const struct cli_command *command;
    const char *values[CLI_OPTIONS_MAX]; /* by option; NULL: not given; a switch: "" */
    int operand_count;
    char **operands; /* NULL-terminated */
};

extern const struct cli_command cmd_list;
extern const struct cli_command cmd_status;
extern const struct cli_command cmd_cert;
extern const struct cli_command cmd_key_ref;
extern const struct cli_command cmd_run;
extern const struct cli_command cmd_env;
extern const struct cli_command cmd_setup;
extern const struct cli_command cmd_test;
extern const struct cli_command cmd_unlock;
extern const struct cli_command cmd_pin;
extern const struct cli_command cmd_lock;
extern const struct cli_command cmd_check_config;

/** cli_operand() - operand number @index, or NULL when it was not given. */
const char *cli_operand(const struct cli_args *args, int index);

/**
 * cli_fail() - say on stderr what went wrong and what to do, in one line after "mtls: "
 * @code:       handed back, so that the call can stand in a return
 * @format:     whole sentences, the last without its full stop's line end; what it prints is
 *              escaped as a whole, arguments may be untrusted
 *
 * Return: @code.
 */
int cli_fail(enum cli_exit code, const char *format, ...) _printf_(2, 3);

/** cli_fail_usage() - cli_fail(CLI_USAGE) with a pointer to the command's help. */
int cli_fail_usage(const struct cli_command *command, const char *format, ...) _printf_(2, 3);

/** cli_fail_errno() - a file or system call that failed; @error is positive errno or negative. */
int cli_fail_errno(const char *what, int error);

/**
 * cli_fail_agent() - what the agent or the library answered; its text says what to do
 * @error:      filled by the library
 *
 * Return: the exit code that belongs to @error->code.
 */
int cli_fail_agent(const struct mtls_agent_error *error);

/** cli_exit_of() - the exit code that stands for an answer of the library. */
enum cli_exit cli_exit_of(enum mtls_agent_code code);

/** cli_note() - one line on stderr that is no failure; escaped like cli_fail(). */
void cli_note(const char *format, ...) _printf_(1, 2);

/**
 * cli_agent_new() - the handle on the agent; nothing is connected yet
 *
 * Return: the handle, owned by the caller; NULL after a failure that was reported.
 */
struct mtls_agent *cli_agent_new(void) _must_check_;

/** cli_put_line() - append one line to a text; escaped as a whole, arguments may be untrusted. */
void cli_put_line(struct wire_writer *out, const char *format, ...) _printf_(2, 3);

/**
 * cli_print() - a finished text on stdout; failures of stdout show in cli_finish_output()
 *
 * Return: CLI_OK, or CLI_FAILURE (reported) when @text ran out of memory.
 */
int cli_print(const struct wire_writer *text) _must_check_;

/**
 * cli_finish_output() - the last step: whether everything reached stdout
 * @code:       of the command
 *
 * Return: @code, or CLI_FAILURE (reported) when output was lost.
 */
int cli_finish_output(int code);

static inline void cleanup_agent(struct mtls_agent **agent)
{
    *agent = mtls_agent_free(*agent);
}

static inline void cleanup_agent_keys(struct mtls_agent_keys **keys)
{
    if (*keys)
        *keys = mtls_agent_keys_free(*keys);
}

static inline void cleanup_agent_status(struct mtls_agent_status **status)
{
    if (*status)
        *status = mtls_agent_status_free(*status);
}

#define _cleanup_agent_ _cleanup_(cleanup_agent)
#define _cleanup_agent_keys_ _cleanup_(cleanup_agent_keys)
#define _cleanup_agent_status_ _cleanup_(cleanup_agent_status)
#define _cleanup_wire_writer_ _cleanup_(cleanup_wire_writer)

/* Most bytes of one output: a list of thousands of keys. */
#define CLI_OUTPUT_MAX (64u * 1024u * 1024u)

#endif
