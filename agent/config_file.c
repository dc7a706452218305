/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files to lines, with inih; see config_file.h. inih as packaged tells no line numbers, so lines
 * are counted where they are handed to it.
 */
#include "agent/config_file.h"

#include <dirent.h>
#include <ini.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/config_rows.h"
#include "build-config.h"
#include "common/escape.h"
#include "common/utf8.h"

/* inih as packaged cuts longer lines without a word. */
#define CONFIG_LINE_MAX 198
#define CONFIG_SECTION_MAX 48
#define CONFIG_BYTE_ORDER_MARK "\xef\xbb\xbf"
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
    if (reader->line > 0)
        (void)snprintf(line, sizeof(line), "%s:%u: %s", reader->file, reader->line, text);
    else /* about the file as a whole */
        (void)snprintf(line, sizeof(line), "%s: %s", reader->file, text);
    reader->report(reader->userdata, line);
    reader->has_problem = true;
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
    if (config_rows_find_section(section_text, &section, &name)) {
        /* A section was reported at its own line. */
        if (strcmp(section_text, CONFIG_REFUSED_SECTION) != 0)
            config_report(reader, "a key stands before the first [section]");
        return 1;
    }
    const struct config_row *row = config_rows_find(section, key);
    if (!row) {
        config_report(reader, "unknown key \"%s\" in [%s]; see man 5 mtls-agent.conf",
                      escape_cstring(key, shown, sizeof(shown)), config_rows_word(section));
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
    void *target = config_rows_get_target(reader->config, section, name);
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
    if (config_rows_find_section(text, &section, &name)) {
        config_report(reader,
                      "unknown section [%s]; known: [agent], [module NAME], [token NAME], "
                      "[key NAME]",
                      escape_cstring(text, shown, sizeof(shown)));
        return false;
    }
    void *target = config_rows_get_target(reader->config, section, name);
    if (!target || (section != SECTION_AGENT && config_note_origin(reader, target)))
        reader->error = -ENOMEM;
    return true;
}

/* What inih would take in a way that nobody expects. True when the line may be handed to it. */
static bool config_line_is_valid(struct config_reader *reader, const char *line, size_t len)
{
    if (line[0] == '#' || line[0] == ';')
        return true;
    /* Names and paths of it are shown to clients as text. */
    if (!utf8_is_valid_text((const uint8_t *)line, len)) {
        config_report(reader, "the line is not UTF-8 text, or has a NUL byte");
        return false;
    }
    if (line[0] == '[')
        return config_section_is_valid(reader, line);
    if ((strstr(line, " ;") || strstr(line, "\t;"))) {
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
    size_t blanks = reader->line == 1 && strncmp(line, CONFIG_BYTE_ORDER_MARK, 3) == 0 ? 3 : 0;
    blanks += strspn(line + blanks, " \t");
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

static int config_parse_stream(struct config_reader *reader)
{
    int bad_line = ini_parse_stream(config_read_line, reader, config_handle_line, reader);

    if (bad_line > 0) {
        reader->line = (unsigned int)bad_line;
        config_report(reader, "neither [section] nor \"key = value\"");
    }
    /* Half a file must not pass for a whole one. */
    if (!reader->error && (bad_line < 0 || !feof(reader->stream)))
        reader->error = bad_line < 0 ? -ENOMEM : -EIO;
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
    struct stat stat_buf;

    int r = config_read_file(config, path, false, report, userdata, has_problem);
    if (r)
        return r;
    if (asprintf(&dir, "%s.d", path) < 0)
        return -ENOMEM;
    struct config_reader reader = {.report = report, .userdata = userdata, .file = dir};
    int count = scandir(dir, &entries, config_is_drop_in, alphasort);
    if (count < 0 && errno != ENOENT)
        config_report(&reader, "%s", strerror(errno));
    if (count >= 0 && (stat(dir, &stat_buf) < 0 || (stat_buf.st_mode & S_IWOTH)))
        config_report(&reader, "can be changed by everyone: chmod o-w");
    *has_problem |= reader.has_problem;
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

int config_file_read_all(struct config *config, const char *file, config_report_fn report,
                         void *userdata, bool *has_problem)
{
    static const char system_path[] = MTLS_SYSCONFDIR "/mtls-agent/agent.conf";
    _cleanup_free_ char *user_path = NULL;

    if (file) {
        config->file = strdup(file);
        return config->file ? config_read_file(config, file, true, report, userdata, has_problem)
                            : -ENOMEM;
    }
    int r = config_read_with_drop_ins(config, system_path, report, userdata, has_problem);
    if (r)
        return r;
    r = config_user_path(&user_path);
    if (r)
        return r;
    config->file = user_path ? TAKE_PTR(user_path) : strdup(system_path);
    if (!config->file)
        return -ENOMEM;
    if (strcmp(config->file, system_path) == 0)
        return 0;
    return config_read_with_drop_ins(config, config->file, report, userdata, has_problem);
}
