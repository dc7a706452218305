/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in words; see key_view.h. */
#include "client/cli/key_view.h"

#include <string.h>

#include "client/cli/patience.h"
#include "common/escape.h"
#include "common/scheme.h"

/* "sha256:" and the 8 digits that a selector needs at least. */
#define KEY_VIEW_HASH_SHORT (sizeof("sha256:") - 1 + 8)

const char *key_view_algorithm(enum mtls_agent_key_type type, unsigned int bits,
                               char buffer[static KEY_VIEW_ALGORITHM_MAX])
{
    switch (type) {
    case MTLS_AGENT_KEY_RSA:
        (void)snprintf(buffer, KEY_VIEW_ALGORITHM_MAX, "RSA %u", bits);
        break;
    case MTLS_AGENT_KEY_RSA_PSS:
        (void)snprintf(buffer, KEY_VIEW_ALGORITHM_MAX, "RSA-PSS %u", bits);
        break;
    case MTLS_AGENT_KEY_EC:
        (void)snprintf(buffer, KEY_VIEW_ALGORITHM_MAX, "EC P-%u", bits);
        break;
    case MTLS_AGENT_KEY_ED25519:
        (void)snprintf(buffer, KEY_VIEW_ALGORITHM_MAX, "Ed25519");
        break;
    default:
        (void)snprintf(buffer, KEY_VIEW_ALGORITHM_MAX, "unknown");
        break;
    }
    return buffer;
}

const char *key_view_state(enum mtls_agent_key_state state)
{
    switch (state) {
    case MTLS_AGENT_KEY_READY:
        return "ready";
    case MTLS_AGENT_KEY_LOCKED:
        return "locked";
    case MTLS_AGENT_KEY_ABSENT:
        return "absent";
    default:
        return "unknown";
    }
}

bool key_view_is_tls12_only(const struct mtls_agent_key *key)
{
    return key->scheme_count > 0 && !scheme_list_fits_tls13(key->schemes, key->scheme_count,
                                                            (enum key_type)key->type, key->bits);
}

void key_view_note_tls12(const struct mtls_agent_key *key)
{
    if (key_view_is_tls12_only(key))
        cli_note("key %s is for TLS 1.2 only (see: man mtls), and OpenSSL is limited to it",
                 key->name);
}

const char *key_view_hash(const uint8_t hash[static MTLS_AGENT_KEY_HASH_LEN],
                          char buffer[static KEY_VIEW_HASH_MAX])
{
    size_t at = sizeof("sha256:") - 1;

    memcpy(buffer, "sha256:", at);
    for (size_t i = 0; i < MTLS_AGENT_KEY_HASH_LEN; i++, at += 2)
        (void)snprintf(buffer + at, KEY_VIEW_HASH_MAX - at, "%02x", hash[i]);
    return buffer;
}

char *key_view_escape(const char *text)
{
    /* One byte becomes at most 8 ("\u{2028}" for three, "\x1b" for one). */
    size_t size = 8 * strlen(text) + 8;
    char *escaped = malloc(size);

    if (escaped)
        (void)escape_cstring(text, escaped, size);
    return escaped;
}

static const struct mtls_agent_token_status *
key_view_waiting_token(const struct mtls_agent_status *status)
{
    for (size_t i = 0; i < status->token_count; i++)
        if (status->tokens[i].state == MTLS_AGENT_TOKEN_LOCKED)
            return &status->tokens[i];
    return NULL;
}

int key_view_fail(struct mtls_agent *agent, struct mtls_agent_error *error)
{
    _cleanup_agent_status_ struct mtls_agent_status *status = NULL;
    size_t len = strnlen(error->text, sizeof(error->text));
    char label[256];

    if (error->code != MTLS_AGENT_E_NO_KEY || mtls_agent_get_status(agent, &status, NULL))
        return cli_fail_agent(error);
    const struct mtls_agent_token_status *token = key_view_waiting_token(status);
    if (token)
        (void)snprintf(error->text + len, sizeof(error->text) - len,
                       "; token %s waits for its PIN and may hide keys until then: `mtls unlock`",
                       escape_cstring(token->label, label, sizeof(label)));
    return cli_fail_agent(error);
}

static int key_view_list(struct mtls_agent *agent, const char *selector,
                         struct mtls_agent_keys **ret_keys, struct mtls_agent_error *error)
{
    patience_begin("waiting for the agent...");
    int r = selector ? mtls_agent_find(agent, selector, ret_keys, error)
                     : mtls_agent_list(agent, NULL, ret_keys, error);
    patience_end();
    return r;
}

/* A key to choose from: one with a certificate, and one that is there, if any is. */
static bool key_view_is_candidate(const struct mtls_agent_key *key, bool takes_absent)
{
    return key->cert_count > 0 && (takes_absent || key->state != MTLS_AGENT_KEY_ABSENT);
}

/* Names every key that could have been meant, as mtls_agent_find() does: names may be equal. */
static int key_view_fail_ambiguous(const struct mtls_agent_keys *keys, bool takes_absent)
{
    _cleanup_wire_writer_ struct wire_writer names = {0};
    const struct mtls_agent_key *key = NULL;
    char hash[KEY_VIEW_HASH_MAX];

    wire_writer_init(&names, CLI_OUTPUT_MAX);
    for (size_t i = 0; (key = mtls_agent_keys_get(keys, i)); i++) {
        if (!key_view_is_candidate(key, takes_absent))
            continue;
        escape_put_raw(&names, names.len > 0 ? ", " : "");
        escape_put_raw(&names, key->name);
        (void)key_view_hash(key->hash, hash);
        hash[KEY_VIEW_HASH_SHORT] = '\0';
        escape_put_raw(&names, " (");
        escape_put_raw(&names, hash);
        escape_put_raw(&names, *key->token_label ? ", on " : "");
        escape_put_raw(&names, key->token_label);
        escape_put_raw(&names, ")");
    }
    return cli_fail(CLI_NO_KEY, "several keys have a certificate. Choose one with --key: %.*s",
                    names.failed ? 0 : (int)names.len, (const char *)names.data);
}

static int key_view_choose(const struct mtls_agent_keys *keys,
                           const struct mtls_agent_key **ret_key)
{
    const struct mtls_agent_key *chosen = NULL;
    const struct mtls_agent_key *key = NULL;
    bool takes_absent = true;
    size_t count = 0;

    for (size_t i = 0; (key = mtls_agent_keys_get(keys, i)); i++)
        takes_absent &= !key_view_is_candidate(key, false);
    for (size_t i = 0; (key = mtls_agent_keys_get(keys, i)); i++) {
        if (!key_view_is_candidate(key, takes_absent))
            continue;
        chosen = key;
        count++;
    }
    if (count > 1)
        return key_view_fail_ambiguous(keys, takes_absent);
    if (!chosen)
        return cli_fail(CLI_NO_KEY, "the agent has no key with a certificate. See what there is: "
                                    "mtls list, mtls status");
    *ret_key = chosen;
    return CLI_OK;
}

int key_view_find(struct mtls_agent *agent, const char *selector, struct mtls_agent_keys **ret_keys,
                  const struct mtls_agent_key **ret_key)
{
    _cleanup_agent_keys_ struct mtls_agent_keys *keys = NULL;
    struct mtls_agent_error error = {0};
    const struct mtls_agent_key *key = NULL;

    int r = key_view_list(agent, selector, &keys, &error);
    if (r)
        return key_view_fail(agent, &error);
    key = mtls_agent_keys_get(keys, 0);
    if (!selector)
        r = key_view_choose(keys, &key);
    if (r)
        return r;
    *ret_keys = TAKE_PTR(keys);
    *ret_key = key;
    return CLI_OK;
}

int key_view_fail_no_certificate(const struct mtls_agent_key *key)
{
    return cli_fail(CLI_FAILURE,
                    "key %s has no certificate. Store one on the token, or set `certificate = "
                    "FILE` in its [key] section: man 5 mtls-agent.conf",
                    key->name);
}

/* Without its PIN a token may hide the private key; what it is called then is the certificate's
 * label, and another name comes with the PIN. An alias of the configuration stays. */
static bool key_view_name_may_change(const struct mtls_agent_key *key)
{
    return key->state != MTLS_AGENT_KEY_READY && strcmp(key->name, key->label) == 0;
}

int key_view_selector(struct mtls_agent *agent, const struct mtls_agent_key *key,
                      char **ret_selector)
{
    _cleanup_agent_keys_ struct mtls_agent_keys *named = NULL;
    char hash[KEY_VIEW_HASH_MAX];
    const char *selector = key->name;

    int r = mtls_agent_find(agent, key->name, &named, NULL);
    const struct mtls_agent_key *found = r ? NULL : mtls_agent_keys_get(named, 0);
    if (!found || memcmp(found->hash, key->hash, sizeof(key->hash)) != 0 ||
        key_view_name_may_change(key))
        selector = key_view_hash(key->hash, hash);
    char *copy = strdup(selector);
    if (!copy)
        return cli_fail_errno("cannot name the key", ENOMEM);
    *ret_selector = copy;
    return CLI_OK;
}
