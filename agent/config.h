/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration as data: what the files say, checked, before anything is started from it. Files
 * are INI with drop-ins (man 5 mtls-agent.conf). An unknown section or key, a repeated key, or a
 * bad value is an error that names file and line; nothing is ever half taken.
 */
#ifndef MTLS_AGENT_CONFIG_H
#define MTLS_AGENT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/wire.h"
#include "common/worker_protocol.h"

struct selector;

#define CONFIG_WORKERS_AUTO 0u
#define CONFIG_WORKERS_MAX 16u
#define CONFIG_SESSIONS_MAX 65535u
#define CONFIG_ENVIRONMENT_MAX 32u
#define CONFIG_USERS_MAX 64u
#define CONFIG_KEY_URIS_MAX 8u
#define CONFIG_TIMEOUT_MS_DEFAULT 30000u
#define CONFIG_WAIT_MS_DEFAULT 60000u

/* Positive answer of this module. */
enum {
    CONFIG_E_INVALID = 1, /* the problems were handed to the report function */
};

enum config_audit {
    CONFIG_AUDIT_AUTO, /* the journal where there is one, else the log */
    CONFIG_AUDIT_JOURNAL,
    CONFIG_AUDIT_FILE,
    CONFIG_AUDIT_OFF,
};

struct config_module {
    char *name;
    char *origin; /* "FILE:LINE" of its section */
    char *path;
    char *init_args;       /* NULL: none */
    uint32_t workers;      /* CONFIG_WORKERS_AUTO or a count */
    uint32_t max_sessions; /* with each token, of all workers together; 0: no limit */
    uint32_t timeout_ms;
    uint32_t release_ms; /* idle for so long it gives up its card; 0: never */
    enum verify_mode verify;
    char *environment[CONFIG_ENVIRONMENT_MAX + 1]; /* NAME=VALUE, NULL-terminated */
};

enum config_pin {
    CONFIG_PIN_ASK,
    CONFIG_PIN_FILE,
    CONFIG_PIN_COMMAND,
    CONFIG_PIN_CREDENTIAL,
};

struct config_token {
    char *name;
    char *origin; /* "FILE:LINE" of its section */
    char *uri;
    struct selector *selector; /* the same, parsed */
    enum config_pin pin;
    char *pin_argument; /* path, command or credential name; NULL for ask */
};

/* A certificate file's content, in DER. */
struct config_cert {
    uint8_t *der;
    size_t len;
    uint8_t key_hash[PROTOCOL_KEY_HASH_LEN]; /* SHA-256 of its SubjectPublicKeyInfo */
};

struct config_key_uri {
    char *text;
    struct selector *selector; /* the same, parsed */
};

struct config_key {
    char *name;
    char *origin; /* "FILE:LINE" of its section */
    /* Where the key is: several for one that has a spare. The order is that of preference. */
    struct config_key_uri uris[CONFIG_KEY_URIS_MAX];
    size_t uri_count;
    enum key_policy policy;
    size_t cert_count; /* 0: certificate and chain come from the token */
    struct config_cert certs[PROTOCOL_CERTS_MAX];
    size_t chain_count;
    struct config_cert chain[PROTOCOL_CERTS_MAX];
};

struct config {
    unsigned int ref_count;
    char *file;         /* where a person adds to it; NULL: it is not made from files */
    bool is_discovered; /* made from what p11-kit knows, not from files */
    enum config_audit audit;
    char *audit_path;
    uint32_t wait_ms;              /* how long a request may wait for a person; 0: not at all */
    uid_t users[CONFIG_USERS_MAX]; /* beside the agent's own uid */
    size_t user_count;
    struct config_module **modules;
    size_t module_count;
    struct config_token **tokens;
    size_t token_count;
    struct config_key **keys;
    size_t key_count;
};

/* Receives one problem at a time: "FILE:LINE: what is wrong and what would be right". */
typedef void (*config_report_fn)(void *userdata, const char *problem);

/**
 * config_load() - read the configuration
 * @file:       this file and nothing else; NULL: the system's and the user's files and drop-ins
 * @report:     called for every problem found
 * @ret_config: filled; owned by the caller as one reference
 *
 * Blocks on local files. Return: 0, CONFIG_E_INVALID, or -errno.
 */
int config_load(const char *file, config_report_fn report, void *userdata,
                struct config **ret_config) _must_check_;

struct config *config_ref(struct config *config);
/** config_unref() - NULL is fine. Return: NULL. */
struct config *config_unref(struct config *config);

/* The section of this name, made with its defaults when there is none; NULL: no memory. */
struct config_module *config_get_module(struct config *config, const char *name);
struct config_token *config_get_token(struct config *config, const char *name);
struct config_key *config_get_key(struct config *config, const char *name);

/** config_certs_clear() - free what the entries hold. */
void config_certs_clear(struct config_cert certs[static PROTOCOL_CERTS_MAX]);

/** config_module_is_equal() - a running module need not be touched on reload. */
bool config_module_is_equal(const struct config_module *a, const struct config_module *b);

#endif
