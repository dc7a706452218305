/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mtls setup`: what its programs share. Each program is a const struct in a file setup_*.c; it
 * looks at the machine, says what to do, makes the files when asked, and tries what can be tried.
 */
#ifndef MTLS_CLI_SETUP_H
#define MTLS_CLI_SETUP_H

#include "client/cli/cli.h"
#include "client/cli/client_files.h"
#include "client/cli/recipe.h"

#define SETUP_FILES_MAX 4

struct setup;

struct setup_program {
    const char *name;
    bool writes_by_itself;  /* without --write */
    bool needs_module;      /* it goes through mtls-agent-pkcs11.so, and signs digests */
    bool needs_key;         /* else it does with any number of keys */
    bool has_openssl_files; /* openssl.cnf, cert.pem, key.pem in its directory */
    const char *files[SETUP_FILES_MAX];  /* further ones, below ~/.config; for undo */
    int (*prepare)(struct setup *setup); /* the recipe, and the files */
    int (*check)(struct setup *setup);
    int (*undo)(struct setup *setup); /* of what is no file of ours; NULL: nothing */
};

struct setup {
    const struct setup_program *program;
    const char *selector; /* --key */
    const char *profile;
    bool may_write; /* files are made or taken back */
    bool dry_run;
    bool allow_digest;
    bool yes;
    bool undo;
    bool has_allowed; /* this run has made the agent sign digests for the program */
    struct mtls_agent *agent;
    struct mtls_agent_keys *keys;
    const struct mtls_agent_key *key; /* NULL: none in particular */
    char *module;                     /* mtls-agent-pkcs11.so; NULL: not found */
    char *config_home;                /* ~/.config */
    char *dir;                        /* ~/.config/mtls-agent/PROGRAM */
    char *scratch;                    /* a directory for checks; removed at the end */
    unsigned long java_slot;          /* slotListIndex */
    unsigned int java_number;         /* of security.provider.N */
    struct client_files files;        /* of has_openssl_files, where they are now */
    struct recipe recipe;
};

extern const struct setup_program setup_browser;
extern const struct setup_program setup_java;
extern const struct setup_program setup_ssh;
extern const struct setup_program setup_git;
extern const struct setup_program setup_curl;
extern const struct setup_program setup_nginx;
extern const struct setup_program setup_python;
extern const struct setup_program setup_openssl;
extern const struct setup_program setup_gnutls;

/** setup_fail_memory() - Return: CLI_FAILURE (reported). */
static inline int setup_fail_memory(void)
{
    (void)cli_fail_errno("cannot set it up", ENOMEM);
    return CLI_FAILURE;
}

/** setup_path() - "~/.config/NAME", owned by the caller; NULL: short memory. */
char *setup_path(const struct setup *setup, const char *name) _must_check_;

/** setup_word() - @text as a word for the shell, owned by the caller; NULL: short memory. */
char *setup_word(const char *text) _must_check_;

/** setup_uri() - the key's URI in the module, owned by the caller; NULL: short memory. */
char *setup_uri(const struct setup *setup, const char *type) _must_check_;

/**
 * setup_put_file() - one text file below ~/.config: noted, and written when that was asked for
 * @name:       below ~/.config
 * @body:       what follows the line that marks it as ours
 *
 * A file that is not ours is replaced only when the user says so; else it is a failure.
 * Return: CLI_OK, or the exit code of a failure that was reported.
 */
int setup_put_file(struct setup *setup, const char *name, const char *body) _must_check_;

/**
 * setup_put_openssl_files() - openssl.cnf, certificates and key reference in setup->dir
 *
 * Without --write they are made in the scratch directory, for checks. Return: as above.
 */
int setup_put_openssl_files(struct setup *setup) _must_check_;

/** setup_scratch_file() - a text file for a check. @ret_path: owned by the caller. As above. */
int setup_scratch_file(struct setup *setup, const char *name, const char *text,
                       char **ret_path) _must_check_;

/**
 * setup_try() - run a program for a check; a failure of it is a failed check
 * @argv:       [0] a path
 * @output:     initialised here; what it printed
 * @what:       for the check's text when it fails: "WHAT: its first line"
 *
 * Return: 0 when it ended with 0, else 1.
 */
int setup_try(struct setup *setup, const char *const *argv, const char *const *variables,
              struct wire_writer *output, const char *what) _must_check_;

/** setup_find_program() - program_find(); a program that is missing is an untried check. @package:
 * that has it. Return: its path, owned by the caller; or NULL. */
char *setup_find_program(struct setup *setup, const char *name, const char *package) _must_check_;

/** setup_undo_files() - remove the program's files that are ours. As setup_put_file(). */
int setup_undo_files(struct setup *setup) _must_check_;

/** setup_digest_offer() - say that the program signs digests, and allow it when the user wants. */
int setup_digest_offer(struct setup *setup) _must_check_;

/** setup_digest_undo() - take back what was allowed for this program. */
int setup_digest_undo(struct setup *setup) _must_check_;

/** setup_register() - make p11-kit know the module, if it does not. As setup_put_file(). */
int setup_register(struct setup *setup) _must_check_;

/** setup_is_registered() - p11-kit knows the module now. */
bool setup_is_registered(const struct setup *setup);

#endif
