/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the configuration files with inih and fills struct config through one table of keys. inih
 * as packaged tells no line numbers, so lines are counted where they are handed to it.
 */
#include "agent/config.h"

#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/config_value.h"
#include "build-config.h"
#include "common/escape.h"

/* inih as packaged cuts longer lines without a word. */
#define CONFIG_LINE_MAX 198
#define CONFIG_SECTION_MAX 48
#define CONFIG_REFUSED_SECTION "?"
#define CONFIG_REFUSED_LINE "[" CONFIG_REFUSED_SECTION "]\n"

/* State while one file is read. */
struct config_reader {
    struct config *config;
    config_report_fn report;
    void *userdata;
    const char *file;
    FILE *stream;
    unsigned int line;
    bool has_problem;
    int error;   /* -errno, unexpected */
    char **seen; /* "section NUL key" of every line so far that must not be repeated */
    size_t seen_count;
};

_printf_(2, 3) static void config_report(struct config_reader *reader, const char *format, ...)
{
    char text[CONFIG_PROBLEM_MAX];
    char line[CONFIG_PROBLEM_MAX + 512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)snprintf(line, sizeof(line), "%s:%u: %s", reader->file, reader->line, text);
    reader->report(reader->userdata, line);
    reader->has_problem = true;
}

static void config_cert_clear(struct config_cert *certs, size_t count)
{
    for (size_t i = 0; i < count; i++)
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
    free(token->pin_argument);
    free(token);
}

static void config_key_free(struct config_key *key)
{
    config_cert_clear(key->certs, PROTOCOL_CERTS_MAX);
    config_cert_clear(key->chain, PROTOCOL_CERTS_MAX);
    free(key->name);
    free(key->origin);
    free(key->uri);
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
    free(config->audit_path);
    free(config);
    return NULL;
}

DEFINE_CLEANUP(struct config *, config, config_unref)

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

static struct config_module *config_get_module(struct config *config, const char *name)
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

static struct config_token *config_get_token(struct config *config, const char *name)
{
    for (size_t i = 0; i < config->token_count; i++)
        if (strcmp(config->tokens[i]->name, name) == 0)
            return config->tokens[i];
    return config_append((void ***)&config->tokens, &config->token_count,
                         sizeof(struct config_token), name);
}

static struct config_key *config_get_key(struct config *config, const char *name)
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

static int config_replace_text(char **text, const char *value)
{
    char *copy = strdup(value);

    if (!copy)
        return -ENOMEM;
    free(*text);
    *text = copy;
    return 0;
}

/* Every setter returns 0, CONFIG_E_INVALID with the problem filled, or -errno. A later file's value
 * replaces an earlier one's, as with systemd's drop-ins. */
typedef int (*config_set_fn)(void *section, const char *value,
                             char problem[static CONFIG_PROBLEM_MAX]);

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

static int config_set_timeout(void *section, const char *value,
                              char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_module *module = section;

    return config_value_duration(value, &module->timeout_ms, problem);
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

static int config_set_token_uri(void *section, const char *value,
                                char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_token *token = section;
    _cleanup_free_ char *uri = NULL;

    int r = config_value_uri(value, &uri, problem);
    if (r)
        return r;
    free(token->uri);
    token->uri = TAKE_PTR(uri);
    return 0;
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

static int config_set_key_uri(void *section, const char *value,
                              char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_key *key = section;
    _cleanup_free_ char *uri = NULL;

    int r = config_value_uri(value, &uri, problem);
    if (r)
        return r;
    free(key->uri);
    key->uri = TAKE_PTR(uri);
    return 0;
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

/* Replaces @certs by what the file has; the old ones stay when it cannot be read. */
static int config_replace_certs(const char *path, struct config_cert *certs, size_t *count,
                                char problem[static CONFIG_PROBLEM_MAX])
{
    struct config_cert fresh[PROTOCOL_CERTS_MAX] = {0};
    size_t fresh_count = 0;

    int r = config_value_certs(path, fresh, PROTOCOL_CERTS_MAX, &fresh_count, problem);
    if (r) {
        config_cert_clear(fresh, PROTOCOL_CERTS_MAX);
        return r;
    }
    config_cert_clear(certs, PROTOCOL_CERTS_MAX);
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

enum config_section {
    SECTION_AGENT,
    SECTION_MODULE,
    SECTION_TOKEN,
    SECTION_KEY,
};

static const struct {
    const char *word;
    bool is_named;
} config_sections[] = {
    [SECTION_AGENT] = {"agent", false},
    [SECTION_MODULE] = {"module", true},
    [SECTION_TOKEN] = {"token", true},
    [SECTION_KEY] = {"key", true},
};

static const struct config_row {
    enum config_section section;
    const char *key;
    config_set_fn set;
    bool may_repeat; /* several lines add up */
} config_rows[] = {
    {SECTION_AGENT, "users", config_set_users, true},
    {SECTION_AGENT, "audit", config_set_audit, false},
    {SECTION_MODULE, "path", config_set_module_path, false},
    {SECTION_MODULE, "workers", config_set_workers, false},
    {SECTION_MODULE, "timeout", config_set_timeout, false},
    {SECTION_MODULE, "verify", config_set_verify, false},
    {SECTION_MODULE, "init-args", config_set_init_args, false},
    {SECTION_MODULE, "environment", config_set_environment, true},
    {SECTION_TOKEN, "uri", config_set_token_uri, false},
    {SECTION_TOKEN, "pin", config_set_pin, false},
    {SECTION_KEY, "uri", config_set_key_uri, false},
    {SECTION_KEY, "sign", config_set_sign, false},
    {SECTION_KEY, "certificate", config_set_certificate, false},
    {SECTION_KEY, "chain", config_set_chain, false},
};

/* Splits "key work" into section and name. */
static int config_find_section(const char *text, enum config_section *ret_section,
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

static void *config_get_section(struct config *config, enum config_section section,
                                const char *name)
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

static const struct config_row *config_find_row(enum config_section section, const char *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(config_rows); i++)
        if (config_rows[i].section == section && strcmp(config_rows[i].key, key) == 0)
            return &config_rows[i];
    return NULL;
}

/* Remembers section and key of this file; true when they stood in it before. */
static bool config_is_repeated(struct config_reader *reader, const char *section, const char *key)
{
    char *line = NULL;

    if (asprintf(&line, "%s\n%s", section, key) < 0) {
        reader->error = -ENOMEM;
        return false;
    }
    for (size_t i = 0; i < reader->seen_count; i++) {
        if (strcmp(reader->seen[i], line) == 0) {
            free(line);
            return true;
        }
    }
    char **seen = reallocarray(reader->seen, reader->seen_count + 1, sizeof(*seen));
    if (!seen) {
        free(line);
        reader->error = -ENOMEM;
        return false;
    }
    reader->seen = seen;
    reader->seen[reader->seen_count++] = line;
    return false;
}

static void config_reader_deinit(struct config_reader *reader)
{
    for (size_t i = 0; i < reader->seen_count; i++)
        free(reader->seen[i]);
    free(reader->seen);
}

/* inih's handler: 1 to go on. Problems are collected, so that one run tells them all. */
static int config_handle_line(void *userdata, const char *section_text, const char *key,
                              const char *value)
{
    struct config_reader *reader = userdata;
    enum config_section section = SECTION_AGENT;
    const char *name = NULL;
    char shown[128];
    char problem[CONFIG_PROBLEM_MAX] = "";

    if (reader->error)
        return 1;
    if (config_find_section(section_text, &section, &name)) {
        /* A section was reported at its own line. */
        if (strcmp(section_text, CONFIG_REFUSED_SECTION) != 0)
            config_report(reader, "a key stands before the first [section]");
        return 1;
    }
    const struct config_row *row = config_find_row(section, key);
    if (!row) {
        config_report(reader, "unknown key \"%s\" in [%s]; see man 5 mtls-agent.conf",
                      escape_cstring(key, shown, sizeof(shown)), config_sections[section].word);
        return 1;
    }
    if (!row->may_repeat && config_is_repeated(reader, section_text, key)) {
        config_report(reader, "%s is given twice in this section", key);
        return 1;
    }
    if (!*value) {
        config_report(reader, "%s has no value", key);
        return 1;
    }
    void *target = config_get_section(reader->config, section, name);
    int r = target ? row->set(target, value, problem) : -ENOMEM;
    if (r < 0)
        reader->error = r;
    else if (r > 0)
        config_report(reader, "%s: %s", key, problem);
    return 1;
}

/* Where a section began, for what only the whole can tell; the first place counts. */
static int config_note_origin(const struct config_reader *reader, void *target)
{
    struct config_token *section = target; /* name and origin stand first in all of them */

    if (section->origin)
        return 0;
    return asprintf(&section->origin, "%s:%u", reader->file, reader->line) < 0 ? -ENOMEM : 0;
}

_Static_assert(offsetof(struct config_module, origin) == offsetof(struct config_token, origin) &&
                   offsetof(struct config_key, origin) == offsetof(struct config_token, origin),
               "config_note_origin() writes the origin");

/* A section line is looked at here, so that one without keys is checked, too. inih cuts long names.
 */
static bool config_section_is_valid(struct config_reader *reader, const char *line)
{
    enum config_section section = SECTION_AGENT;
    const char *name = NULL;
    char text[CONFIG_SECTION_MAX + 1];
    char shown[128];
    size_t len = strcspn(line + 1, "]");

    if (line[1 + len] != ']') {
        config_report(reader, "the section has no closing bracket");
        return false;
    }
    if (len > CONFIG_SECTION_MAX) {
        config_report(reader, "the section's name is longer than %d bytes", CONFIG_SECTION_MAX);
        return false;
    }
    memcpy(text, line + 1, len);
    text[len] = '\0';
    if (config_find_section(text, &section, &name)) {
        config_report(reader,
                      "unknown section [%s]; known: [agent], [module NAME], [token NAME], "
                      "[key NAME]",
                      escape_cstring(text, shown, sizeof(shown)));
        return false;
    }
    void *target = config_get_section(reader->config, section, name);
    if (!target || (section != SECTION_AGENT && config_note_origin(reader, target)))
        reader->error = -ENOMEM;
    return true;
}

/* What inih would take in a way that nobody expects. True when the line may be handed to it. */
static bool config_line_is_valid(struct config_reader *reader, const char *line, size_t len)
{
    if (strlen(line) != len) {
        config_report(reader, "the line has a NUL byte");
        return false;
    }
    if (line[0] == '[')
        return config_section_is_valid(reader, line);
    if (line[0] != '#' && line[0] != ';' && (strstr(line, " ;") || strstr(line, "\t;"))) {
        config_report(reader, "a blank and a semicolon would begin a comment: put comments on "
                              "lines of their own, and write \";\" without a blank before it");
        return false;
    }
    return true;
}

/* inih's line source: counts lines, and refuses what inih would cut or misread. */
static char *config_read_line(char *buffer, int size, void *stream)
{
    struct config_reader *reader = stream;
    _cleanup_free_ char *line = NULL;
    size_t line_size = 0;

    ssize_t got = getline(&line, &line_size, reader->stream);
    if (got <= 0)
        return NULL;
    reader->line++;
    /* Blanks in front would make it a second value of the key above. */
    size_t blanks = strspn(line, " \t");
    size_t len = (size_t)got - blanks;
    if (len >= (size_t)size || len > CONFIG_LINE_MAX)
        config_report(reader, "the line is longer than %d bytes", CONFIG_LINE_MAX);
    else if (config_line_is_valid(reader, line + blanks, len))
        return memcpy(buffer, line + blanks, len + 1);
    /* The keys below a section that was refused are passed over with it. */
    if (line[blanks] == '[')
        return memcpy(buffer, CONFIG_REFUSED_LINE, sizeof(CONFIG_REFUSED_LINE));
    return memcpy(buffer, "\n", 2);
}

/* A name for the message where inih found a line that is no INI at all. */
static int config_parse_stream(struct config_reader *reader)
{
    unsigned int bad_line =
        (unsigned int)ini_parse_stream(config_read_line, reader, config_handle_line, reader);

    if ((int)bad_line > 0) {
        reader->line = bad_line;
        config_report(reader, "neither [section] nor \"key = value\"");
    }
    return reader->error;
}

static int config_read_file(struct config *config, const char *path, bool must_exist,
                            config_report_fn report, void *userdata, bool *has_problem)
{
    _cleanup_fclose_ FILE *stream = config_open(path);
    struct config_reader reader = {
        .config = config, .report = report, .userdata = userdata, .file = path, .stream = stream};
    struct stat stat_buf;

    if (!stream && errno == ENOENT && !must_exist)
        return 0;
    if (!stream) {
        config_report(&reader, "%s", errno == EINVAL ? "not a regular file" : strerror(errno));
    } else if (fstat(fileno(stream), &stat_buf) < 0 || (stat_buf.st_mode & S_IWOTH)) {
        config_report(&reader, "can be changed by everyone: chmod o-w");
    } else {
        int r = config_parse_stream(&reader);
        config_reader_deinit(&reader);
        if (r)
            return r;
    }
    *has_problem |= reader.has_problem;
    return 0;
}

static int config_is_drop_in(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

/* FILE, then the .conf files of FILE.d in alphabetical order. */
static int config_read_with_drop_ins(struct config *config, const char *path,
                                     config_report_fn report, void *userdata, bool *has_problem)
{
    _cleanup_free_ char *dir = NULL;
    struct dirent **entries = NULL;

    int r = config_read_file(config, path, false, report, userdata, has_problem);
    if (r)
        return r;
    if (asprintf(&dir, "%s.d", path) < 0)
        return -ENOMEM;
    int count = scandir(dir, &entries, config_is_drop_in, alphasort);
    for (int i = 0; i < count; i++) {
        _cleanup_free_ char *file = NULL;
        if (!r && asprintf(&file, "%s/%s", dir, entries[i]->d_name) < 0)
            r = -ENOMEM;
        if (!r)
            r = config_read_file(config, file, true, report, userdata, has_problem);
        free(entries[i]);
    }
    free(entries);
    return r;
}

static int config_user_path(char **ret_path)
{
    const char *config_home = secure_getenv("XDG_CONFIG_HOME");
    const char *home = secure_getenv("HOME");
    char *path = NULL;
    int len = -1;

    if (config_home && config_home[0] == '/')
        len = asprintf(&path, "%s/mtls-agent/agent.conf", config_home);
    else if (home && home[0] == '/')
        len = asprintf(&path, "%s/.config/mtls-agent/agent.conf", home);
    else
        return 0;
    if (len < 0)
        return -ENOMEM;
    *ret_path = path;
    return 0;
}

static int config_read_all(struct config *config, const char *file, config_report_fn report,
                           void *userdata, bool *has_problem)
{
    _cleanup_free_ char *user_path = NULL;

    if (file)
        return config_read_file(config, file, true, report, userdata, has_problem);
    int r = config_read_with_drop_ins(config, MTLS_SYSCONFDIR "/mtls-agent/agent.conf", report,
                                      userdata, has_problem);
    if (r)
        return r;
    r = config_user_path(&user_path);
    if (r || !user_path)
        return r;
    return config_read_with_drop_ins(config, user_path, report, userdata, has_problem);
}

/* What only the whole can tell: sections that lack what they need. */
static bool config_is_complete(const struct config *config, config_report_fn report, void *userdata)
{
    char line[CONFIG_PROBLEM_MAX + 512];
    char shown[128];
    bool complete = true;

    for (size_t i = 0; i < config->module_count; i++) {
        if (config->modules[i]->path)
            continue;
        (void)snprintf(line, sizeof(line), "%s: [module %s] has no path",
                       config->modules[i]->origin,
                       escape_cstring(config->modules[i]->name, shown, sizeof(shown)));
        report(userdata, line);
        complete = false;
    }
    for (size_t i = 0; i < config->token_count; i++) {
        if (config->tokens[i]->uri)
            continue;
        (void)snprintf(line, sizeof(line), "%s: [token %s] has no uri", config->tokens[i]->origin,
                       escape_cstring(config->tokens[i]->name, shown, sizeof(shown)));
        report(userdata, line);
        complete = false;
    }
    for (size_t i = 0; i < config->key_count; i++) {
        if (config->keys[i]->uri)
            continue;
        (void)snprintf(line, sizeof(line), "%s: [key %s] has no uri", config->keys[i]->origin,
                       escape_cstring(config->keys[i]->name, shown, sizeof(shown)));
        report(userdata, line);
        complete = false;
    }
    return complete;
}

int config_load(const char *file, config_report_fn report, void *userdata,
                struct config **ret_config)
{
    _cleanup_(cleanup_config) struct config *config = calloc(1, sizeof(*config));
    bool has_problem = false;

    if (!config)
        return -ENOMEM;
    config->ref_count = 1;
    int r = config_read_all(config, file, report, userdata, &has_problem);
    if (r)
        return r;
    if (!has_problem)
        has_problem = !config_is_complete(config, report, userdata);
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
           a->timeout_ms == b->timeout_ms && a->verify == b->verify;
}
