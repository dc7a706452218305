/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration's life, and what can be told of it only as a whole; see config.h. */
#include "agent/config.h"

#include <string.h>

#include "agent/config_file.h"
#include "agent/config_value.h"
#include "agent/selector.h"
#include "common/escape.h"

#define CONFIG_CERTS_LEN_MAX (224u * 1024u)

_Static_assert(CONFIG_CERTS_LEN_MAX + 8 * WORKER_CERTS_MAX + 16384 <= WIRE_FRAME_MAX,
               "the certificates fit WORKER_LOAD beside the path");
_Static_assert(WORKER_CERTS_MAX == 256, "the sentence below names the limit");

DEFINE_CLEANUP(struct config *, config, config_unref)

void config_certs_clear(struct config_cert certs[static PROTOCOL_CERTS_MAX])
{
    for (size_t i = 0; i < PROTOCOL_CERTS_MAX; i++)
        free(certs[i].der);
}

static void config_module_free(struct config_module *module)
{
    for (size_t i = 0; i < CONFIG_ENVIRONMENT_MAX; i++)
        free(module->environment[i]);
    free(module->name);
    free(module->origin);
    free(module->path);
    free(module->init_args);
    free(module);
}

static void config_token_free(struct config_token *token)
{
    free(token->name);
    free(token->origin);
    free(token->uri);
    (void)selector_free(token->selector);
    free(token->pin_argument);
    free(token);
}

static void config_key_free(struct config_key *key)
{
    config_certs_clear(key->certs);
    config_certs_clear(key->chain);
    free(key->name);
    free(key->origin);
    for (size_t i = 0; i < key->uri_count; i++) {
        free(key->uris[i].text);
        (void)selector_free(key->uris[i].selector);
    }
    free(key);
}

struct config *config_ref(struct config *config)
{
    config->ref_count++;
    return config;
}

struct config *config_unref(struct config *config)
{
    if (!config || --config->ref_count > 0)
        return NULL;
    for (size_t i = 0; i < config->module_count; i++)
        config_module_free(config->modules[i]);
    for (size_t i = 0; i < config->token_count; i++)
        config_token_free(config->tokens[i]);
    for (size_t i = 0; i < config->key_count; i++)
        config_key_free(config->keys[i]);
    free(config->modules);
    free(config->tokens);
    free(config->keys);
    free(config->file);
    free(config->audit_path);
    free(config->pinentry);
    free(config);
    return NULL;
}

/* The array of pointers at *array grows by one zeroed entry of @size bytes with a copy of @name. */
static void *config_append(void ***array, size_t *count, size_t size, const char *name)
{
    void **grown = reallocarray(*array, *count + 1, sizeof(void *));

    if (!grown)
        return NULL;
    *array = grown;
    void *entry = calloc(1, size);
    char *copy = strdup(name);
    if (!entry || !copy) {
        free(entry);
        free(copy);
        return NULL;
    }
    *(char **)entry = copy; /* the name is the first member of every section's struct */
    grown[(*count)++] = entry;
    return entry;
}

_Static_assert(offsetof(struct config_module, name) == 0, "config_append() writes the name");
_Static_assert(offsetof(struct config_token, name) == 0, "config_append() writes the name");
_Static_assert(offsetof(struct config_key, name) == 0, "config_append() writes the name");

struct config_module *config_get_module(struct config *config, const char *name)
{
    for (size_t i = 0; i < config->module_count; i++)
        if (strcmp(config->modules[i]->name, name) == 0)
            return config->modules[i];
    struct config_module *module =
        config_append((void ***)&config->modules, &config->module_count, sizeof(*module), name);
    if (module)
        module->timeout_ms = CONFIG_TIMEOUT_MS_DEFAULT;
    return module;
}

struct config_token *config_get_token(struct config *config, const char *name)
{
    for (size_t i = 0; i < config->token_count; i++)
        if (strcmp(config->tokens[i]->name, name) == 0)
            return config->tokens[i];
    return config_append((void ***)&config->tokens, &config->token_count,
                         sizeof(struct config_token), name);
}

struct config_key *config_get_key(struct config *config, const char *name)
{
    for (size_t i = 0; i < config->key_count; i++)
        if (strcmp(config->keys[i]->name, name) == 0)
            return config->keys[i];
    struct config_key *key =
        config_append((void ***)&config->keys, &config->key_count, sizeof(*key), name);
    if (key)
        key->policy = KEY_POLICY_TLS;
    return key;
}

/* One line about a section that is there, but not as it must be. */
static void config_report_section(config_report_fn report, void *userdata, const char *origin,
                                  const char *word, const char *name, const char *what)
{
    char line[CONFIG_PROBLEM_MAX + 512];
    char shown[128];

    (void)snprintf(line, sizeof(line), "%s: [%s %s] %s", origin, word,
                   escape_cstring(name, shown, sizeof(shown)), what);
    report(userdata, line);
}

/* Sections that lack what they need. */
static bool config_is_complete(const struct config *config, config_report_fn report, void *userdata)
{
    bool complete = true;

    for (size_t i = 0; i < config->module_count; i++) {
        const struct config_module *module = config->modules[i];
        if (!module->path)
            config_report_section(report, userdata, module->origin, "module", module->name,
                                  "has no path");
        complete &= module->path != NULL;
    }
    for (size_t i = 0; i < config->token_count; i++) {
        const struct config_token *token = config->tokens[i];
        if (!token->uri)
            config_report_section(report, userdata, token->origin, "token", token->name,
                                  "has no uri");
        complete &= token->uri != NULL;
        bool is_idle_alone = token->pin_cache_idle_ms > 0 && token->pin_cache_ms == 0;
        if (is_idle_alone)
            config_report_section(report, userdata, token->origin, "token", token->name,
                                  "has pin-cache-idle without pin-cache, which says how long a PIN "
                                  "is kept at most");
        complete &= !is_idle_alone;
    }
    for (size_t i = 0; i < config->key_count; i++) {
        const struct config_key *key = config->keys[i];
        if (key->uri_count == 0)
            config_report_section(report, userdata, key->origin, "key", key->name, "has no uri");
        complete &= key->uri_count > 0;
    }
    return complete;
}

/* The certificates of all keys go to a worker in one message. */
static bool config_certs_fit(const struct config *config, config_report_fn report, void *userdata)
{
    size_t count = 0;
    size_t len = 0;

    for (size_t i = 0; i < config->key_count; i++) {
        const struct config_key *key = config->keys[i];
        if (key->cert_count == 0)
            continue;
        for (size_t j = 0; j < key->uri_count; j++)
            len += key->certs[0].len + strlen(key->uris[j].text);
        count += key->uri_count;
        if (count <= WORKER_CERTS_MAX && len <= CONFIG_CERTS_LEN_MAX)
            continue;
        config_report_section(report, userdata, key->origin, "key", key->name,
                              "has one certificate too many: all `certificate =` together may be "
                              "256, of 224 KiB; leave out those that are on their tokens");
        return false;
    }
    return true;
}

int config_load(const char *file, config_report_fn report, void *userdata,
                struct config **ret_config)
{
    _cleanup_(cleanup_config) struct config *config = calloc(1, sizeof(*config));
    bool has_problem = false;

    if (!config)
        return -ENOMEM;
    config->ref_count = 1;
    config->wait_ms = CONFIG_WAIT_MS_DEFAULT;
    config->notify = true;
    int r = config_file_read_all(config, file, report, userdata, &has_problem);
    if (r)
        return r;
    if (!has_problem)
        has_problem = !config_is_complete(config, report, userdata) ||
                      !config_certs_fit(config, report, userdata);
    if (has_problem)
        return CONFIG_E_INVALID;
    *ret_config = TAKE_PTR(config);
    return 0;
}

static bool config_text_is_equal(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool config_module_is_equal(const struct config_module *a, const struct config_module *b)
{
    for (size_t i = 0; i < CONFIG_ENVIRONMENT_MAX; i++)
        if (!config_text_is_equal(a->environment[i], b->environment[i]))
            return false;
    return config_text_is_equal(a->name, b->name) && config_text_is_equal(a->path, b->path) &&
           config_text_is_equal(a->init_args, b->init_args) && a->workers == b->workers &&
           a->timeout_ms == b->timeout_ms && a->release_ms == b->release_ms &&
           a->max_sessions == b->max_sessions && a->verify == b->verify;
}
