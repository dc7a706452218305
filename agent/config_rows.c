/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys; see config_rows.h. */
#include "agent/config_rows.h"

#include <string.h>

#include "agent/selector.h"

static int config_replace_text(char **text, const char *value)
{
    char *copy = strdup(value);

    if (!copy)
        return -ENOMEM;
    free(*text);
    *text = copy;
    return 0;
}

static int config_set_users(void *section, const char *value,
                            char problem[static CONFIG_PROBLEM_MAX])
{
    struct config *config = section;

    return config_value_users(value, config->users, &config->user_count, problem);
}

static int config_set_audit(void *section, const char *value,
                            char problem[static CONFIG_PROBLEM_MAX])
{
    struct config *config = section;

    if (strcmp(value, "journal") == 0) {
        config->audit = CONFIG_AUDIT_JOURNAL;
        return 0;
    }
    if (strcmp(value, "off") == 0) {
        config->audit = CONFIG_AUDIT_OFF;
        return 0;
    }
    if (strncmp(value, "file:/", 6) == 0) {
        config->audit = CONFIG_AUDIT_FILE;
        return config_replace_text(&config->audit_path, value + 5);
    }
    (void)snprintf(problem, CONFIG_PROBLEM_MAX, "write journal, file:/ABSOLUTE/PATH or off");
    return CONFIG_E_INVALID;
}

static int config_set_wait(void *section, const char *value,
                           char problem[static CONFIG_PROBLEM_MAX])
{
    struct config *config = section;

    if (strcmp(value, "no") == 0) {
        config->wait_ms = 0;
        return 0;
    }
    return config_value_duration(value, &config->wait_ms, problem);
}

static int config_set_notify(void *section, const char *value,
                             char problem[static CONFIG_PROBLEM_MAX])
{
    struct config *config = section;

    if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0) {
        (void)snprintf(problem, CONFIG_PROBLEM_MAX, "write yes or no");
        return CONFIG_E_INVALID;
    }
    config->notify = *value == 'y';
    return 0;
}

static int config_set_pinentry(void *section, const char *value,
                               char problem[static CONFIG_PROBLEM_MAX])
{
    struct config *config = section;

    config->asks_nobody = strcmp(value, "none") == 0;
    if (config->asks_nobody)
        return 0;
    if (value[0] != '/') {
        (void)snprintf(problem, CONFIG_PROBLEM_MAX,
                       "write the absolute path of a pinentry, or none");
        return CONFIG_E_INVALID;
    }
    return config_replace_text(&config->pinentry, value);
}

static int config_set_module_path(void *section, const char *value,
                                  char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_module *module = section;
    _cleanup_free_ char *path = NULL;

    int r = config_value_module_path(value, &path, problem);
    if (r)
        return r;
    free(module->path);
    module->path = TAKE_PTR(path);
    return 0;
}

static int config_set_workers(void *section, const char *value,
                              char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_module *module = section;

    if (strcmp(value, "auto") == 0) {
        module->workers = CONFIG_WORKERS_AUTO;
        return 0;
    }
    return config_value_count(value, 1, CONFIG_WORKERS_MAX, &module->workers, problem);
}

static int config_set_max_sessions(void *section, const char *value,
                                   char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_module *module = section;

    return config_value_count(value, 1, CONFIG_SESSIONS_MAX, &module->max_sessions, problem);
}

static int config_set_timeout(void *section, const char *value,
                              char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_module *module = section;

    return config_value_duration(value, &module->timeout_ms, problem);
}

static int config_set_release(void *section, const char *value,
                              char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_module *module = section;

    if (strcmp(value, "never") == 0) {
        module->release_ms = 0;
        return 0;
    }
    return config_value_duration(value, &module->release_ms, problem);
}

static int config_set_verify(void *section, const char *value,
                             char problem[static CONFIG_PROBLEM_MAX])
{
    static const char *const words[] = {
        [VERIFY_AUTO] = "auto", [VERIFY_ALWAYS] = "always", [VERIFY_NEVER] = "never"};
    struct config_module *module = section;

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strcmp(value, words[i]) == 0) {
            module->verify = (enum verify_mode)i;
            return 0;
        }
    }
    (void)snprintf(problem, CONFIG_PROBLEM_MAX, "write auto, always or never");
    return CONFIG_E_INVALID;
}

/* The type is that of every setter. */
static int config_set_init_args(
    void *section, const char *value,
    char problem[static CONFIG_PROBLEM_MAX]) /* NOLINT(readability-non-const-parameter) */
{
    struct config_module *module = section;

    (void)problem;
    return config_replace_text(&module->init_args, value);
}

static int config_set_environment(void *section, const char *value,
                                  char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_module *module = section;
    size_t count = 0;

    while (count < CONFIG_ENVIRONMENT_MAX && module->environment[count])
        count++;
    const char *equals = strchr(value, '=');
    if (!equals || equals == value) {
        (void)snprintf(problem, CONFIG_PROBLEM_MAX, "write NAME=VALUE");
        return CONFIG_E_INVALID;
    }
    if (count == CONFIG_ENVIRONMENT_MAX) {
        (void)snprintf(problem, CONFIG_PROBLEM_MAX, "more than %u variables",
                       CONFIG_ENVIRONMENT_MAX);
        return CONFIG_E_INVALID;
    }
    return config_replace_text(&module->environment[count], value);
}

/* Replaces a section's URI; the old one stays when the new one is no good. */
static int config_replace_uri(const char *value, char **uri, struct selector **selector,
                              char problem[static CONFIG_PROBLEM_MAX])
{
    _cleanup_free_ char *text = strdup(value);
    struct selector *parsed = NULL;

    if (!text)
        return -ENOMEM;
    int r = config_value_uri(value, &parsed, problem);
    if (r)
        return r;
    free(*uri);
    *uri = TAKE_PTR(text);
    (void)selector_free(*selector);
    *selector = parsed;
    return 0;
}

static int config_set_token_uri(void *section, const char *value,
                                char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_token *token = section;

    int r = config_replace_uri(value, &token->uri, &token->selector, problem);
    if (r || !selector_names_object(token->selector))
        return r;
    (void)snprintf(problem, CONFIG_PROBLEM_MAX,
                   "a token has no id, object or type: name it by token, serial, manufacturer or "
                   "model");
    return CONFIG_E_INVALID;
}

static int config_set_pin(void *section, const char *value, char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_token *token = section;
    _cleanup_free_ char *argument = NULL;

    int r = config_value_pin(value, &token->pin, &argument, problem);
    if (r)
        return r;
    free(token->pin_argument);
    token->pin_argument = TAKE_PTR(argument);
    return 0;
}

static int config_set_pin_cache(void *section, const char *value,
                                char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_token *token = section;

    return config_value_duration(value, &token->pin_cache_ms, problem);
}

static int config_set_pin_cache_idle(void *section, const char *value,
                                     char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_token *token = section;

    return config_value_duration(value, &token->pin_cache_idle_ms, problem);
}

static int config_set_key_uri(void *section, const char *value,
                              char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_key *key = section;

    for (size_t i = 0; i < key->uri_count; i++)
        if (strcmp(key->uris[i].text, value) == 0)
            return 0;
    if (key->uri_count == CONFIG_KEY_URIS_MAX) {
        (void)snprintf(problem, CONFIG_PROBLEM_MAX, "more than %u tokens for one key",
                       CONFIG_KEY_URIS_MAX);
        return CONFIG_E_INVALID;
    }
    struct config_key_uri *uri = &key->uris[key->uri_count];
    int r = config_replace_uri(value, &uri->text, &uri->selector, problem);
    if (r == 0)
        key->uri_count++;
    return r;
}

static int config_set_sign(void *section, const char *value,
                           char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_key *key = section;

    if (strcmp(value, "tls") == 0) {
        key->policy = KEY_POLICY_TLS;
        return 0;
    }
    if (strcmp(value, "digest") == 0) {
        key->policy = KEY_POLICY_DIGEST;
        return 0;
    }
    (void)snprintf(problem, CONFIG_PROBLEM_MAX, "write tls or digest");
    return CONFIG_E_INVALID;
}

static int config_set_key_pin_cache(void *section, const char *value,
                                    char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_key *key = section;

    key->pin_cache = strcmp(value, "yes") == 0;
    if (key->pin_cache || strcmp(value, "no") == 0)
        return 0;
    (void)snprintf(problem, CONFIG_PROBLEM_MAX, "write yes or no");
    return CONFIG_E_INVALID;
}

/* Replaces @certs by what the file has; the old ones stay when it cannot be read. */
static int config_replace_certs(const char *path, struct config_cert *certs, size_t *count,
                                char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_cert fresh[PROTOCOL_CERTS_MAX] = {0};
    size_t fresh_count = 0;

    int r = config_value_certs(path, fresh, PROTOCOL_CERTS_MAX, &fresh_count, problem);
    if (r) {
        config_certs_clear(fresh);
        return r;
    }
    config_certs_clear(certs);
    memcpy(certs, fresh, sizeof(fresh));
    *count = fresh_count;
    return 0;
}

static int config_set_certificate(void *section, const char *value,
                                  char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_key *key = section;

    return config_replace_certs(value, key->certs, &key->cert_count, problem);
}

static int config_set_chain(void *section, const char *value,
                            char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_key *key = section;

    return config_replace_certs(value, key->chain, &key->chain_count, problem);
}

static const struct {
    const char *word;
    bool is_named;
} config_sections[] = {
    [SECTION_AGENT] = {"agent", false},
    [SECTION_MODULE] = {"module", true},
    [SECTION_TOKEN] = {"token", true},
    [SECTION_KEY] = {"key", true},
};

static const struct config_row config_rows[] = {
    {SECTION_AGENT, "users", config_set_users, true},
    {SECTION_AGENT, "audit", config_set_audit, false},
    {SECTION_AGENT, "wait", config_set_wait, false},
    {SECTION_AGENT, "notify", config_set_notify, false},
    {SECTION_AGENT, "pinentry", config_set_pinentry, false},
    {SECTION_MODULE, "path", config_set_module_path, false},
    {SECTION_MODULE, "workers", config_set_workers, false},
    {SECTION_MODULE, "max-sessions", config_set_max_sessions, false},
    {SECTION_MODULE, "timeout", config_set_timeout, false},
    {SECTION_MODULE, "release", config_set_release, false},
    {SECTION_MODULE, "verify", config_set_verify, false},
    {SECTION_MODULE, "init-args", config_set_init_args, false},
    {SECTION_MODULE, "environment", config_set_environment, true},
    {SECTION_TOKEN, "uri", config_set_token_uri, false},
    {SECTION_TOKEN, "pin", config_set_pin, false},
    {SECTION_TOKEN, "pin-cache", config_set_pin_cache, false},
    {SECTION_TOKEN, "pin-cache-idle", config_set_pin_cache_idle, false},
    {SECTION_KEY, "uri", config_set_key_uri, true},
    {SECTION_KEY, "sign", config_set_sign, false},
    {SECTION_KEY, "pin-cache", config_set_key_pin_cache, false},
    {SECTION_KEY, "certificate", config_set_certificate, false},
    {SECTION_KEY, "chain", config_set_chain, false},
};

/* Splits "key work" into section and name. */
int config_rows_find_section(const char *text, enum config_section *ret_section,
                             const char **ret_name)
{
    for (size_t i = 0; i < ARRAY_SIZE(config_sections); i++) {
        size_t len = strlen(config_sections[i].word);
        if (strncmp(text, config_sections[i].word, len) != 0)
            continue;
        const char *name = text + len;
        if (config_sections[i].is_named ? (*name != ' ' && *name != '\t') : *name != '\0')
            continue;
        while (*name == ' ' || *name == '\t')
            name++;
        if (config_sections[i].is_named && (!*name || strlen(name) > PROTOCOL_NAME_MAX))
            continue;
        *ret_section = (enum config_section)i;
        *ret_name = name;
        return 0;
    }
    return CONFIG_E_INVALID;
}

void *config_rows_get_target(struct config *config, enum config_section section, const char *name)
{
    switch (section) {
    case SECTION_AGENT:
        return config;
    case SECTION_MODULE:
        return config_get_module(config, name);
    case SECTION_TOKEN:
        return config_get_token(config, name);
    case SECTION_KEY:
        return config_get_key(config, name);
    }
    return NULL;
}

const struct config_row *config_rows_find(enum config_section section, const char *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(config_rows); i++)
        if (config_rows[i].section == section && strcmp(config_rows[i].key, key) == 0)
            return &config_rows[i];
    return NULL;
}

const char *config_rows_word(enum config_section section)
{
    return config_sections[section].word;
}
