/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the control file when it changed and counts what is to happen only some times; see
 * p11fault_rules.h. The counts lie in a file beside it under flock(2), because a fault that ends
 * the process must not begin again in the next one.
 */
#include "p11fault_rules.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define CONTROL_MAX (16u * 1024u)
#define FAULT_MECHANISM_RV 0x70u /* CKR_MECHANISM_INVALID */

enum argument { ARGUMENT_NONE, ARGUMENT_DECIMAL, ARGUMENT_HEX, ARGUMENT_TEXT };

static const struct {
    const char *name;
    enum fault_action action;
    enum argument argument;
} actions[] = {
    {"delay", FAULT_DELAY, ARGUMENT_DECIMAL},
    {"busy", FAULT_BUSY, ARGUMENT_DECIMAL},
    {"hang", FAULT_HANG, ARGUMENT_NONE},
    {"crash", FAULT_CRASH, ARGUMENT_NONE},
    {"exit", FAULT_EXIT, ARGUMENT_NONE},
    {"abort", FAULT_ABORT, ARGUMENT_NONE},
    {"stdout-spam", FAULT_STDOUT, ARGUMENT_DECIMAL},
    {"stderr-spam", FAULT_STDERR, ARGUMENT_DECIMAL},
    {"closefds", FAULT_CLOSE_FDS, ARGUMENT_NONE},
    {"chdir", FAULT_CHDIR, ARGUMENT_TEXT},
    {"sigmask", FAULT_SIGMASK, ARGUMENT_NONE},
    {"setlocale", FAULT_SETLOCALE, ARGUMENT_TEXT},
    {"setuid", FAULT_SETUID, ARGUMENT_DECIMAL},
    {"thread", FAULT_THREAD, ARGUMENT_NONE},
    {"rv", FAULT_RV, ARGUMENT_HEX},
    {"garbage", FAULT_GARBAGE, ARGUMENT_NONE},
    {"short", FAULT_SHORT, ARGUMENT_NONE},
    {"long", FAULT_LONG, ARGUMENT_NONE},
    {"zero-r", FAULT_ZERO_R, ARGUMENT_NONE},
    {"zero-s", FAULT_ZERO_S, ARGUMENT_NONE},
    {"high-s", FAULT_HIGH_S, ARGUMENT_NONE},
    {"len0", FAULT_EMPTY, ARGUMENT_NONE},
    {"too-small", FAULT_TOO_SMALL, ARGUMENT_NONE},
    {"flip", FAULT_FLIP, ARGUMENT_NONE},
};

struct rule {
    char function[32];
    struct fault_step step;
    unsigned long limit; /* ULONG_MAX: always */
};

/* The control file as it was last read. */
struct control {
    struct stat seen;
    size_t rule_count;
    struct rule rules[FAULT_RULES_MAX];
    struct fault_settings settings;
};

struct counts {
    struct timespec changed; /* of the control file that these belong to */
    ino_t inode;
    uint32_t used[FAULT_RULES_MAX];
};

static pthread_mutex_t control_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct control control;

int fault_rules_open(const char *suffix)
{
    const char *base = getenv("P11FAULT_CTL");
    char path[PATH_MAX];

    if (!base || (size_t)snprintf(path, sizeof(path), "%s%s", base, suffix) >= sizeof(path))
        return -ENOENT;
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static void complain(const char *line)
{
    _cleanup_close_ int fd = fault_rules_open(".error");

    if (fd >= 0)
        (void)!pwrite(fd, line, strlen(line), 0);
}

static bool parse_number(const char *word, int base, unsigned long *ret_number)
{
    char *end = NULL;

    if (!word || !*word)
        return false;
    *ret_number = strtoul(word, &end, base);
    return *end == '\0';
}

static bool parse_argument(enum argument kind, char **words, struct fault_step *step)
{
    const char *word = kind == ARGUMENT_NONE ? NULL : strtok_r(NULL, " \t", words);

    switch (kind) {
    case ARGUMENT_NONE:
        return true;
    case ARGUMENT_DECIMAL:
        return parse_number(word, 10, &step->number);
    case ARGUMENT_HEX:
        return parse_number(word, 16, &step->number);
    case ARGUMENT_TEXT:
        return word &&
               (size_t)snprintf(step->text, sizeof(step->text), "%s", word) < sizeof(step->text);
    }
    return false;
}

/* FUNC ACTION [ARG] [COUNT] */
static bool parse_rule(const char *function, char **words, struct control *into)
{
    struct rule rule = {.limit = ULONG_MAX};
    const char *name = strtok_r(NULL, " \t", words);
    const char *count;

    if (!name || into->rule_count == FAULT_RULES_MAX)
        return false;
    (void)snprintf(rule.function, sizeof(rule.function), "%s", function);
    for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
        if (strcmp(actions[i].name, name) != 0)
            continue;
        rule.step.action = actions[i].action;
        if (!parse_argument(actions[i].argument, words, &rule.step))
            return false;
        count = strtok_r(NULL, " \t", words);
        if (count && !parse_number(count, 10, &rule.limit))
            return false;
        into->rules[into->rule_count++] = rule;
        return true;
    }
    return false;
}

static bool parse_attr(char **words, struct fault_settings *settings)
{
    static const char *const names[] = {[FAULT_ATTR_BAD_LENGTH] = "bad-length",
                                        [FAULT_ATTR_UNAVAILABLE] = "unavailable",
                                        [FAULT_ATTR_GROWING] = "growing"};
    const char *name = strtok_r(NULL, " \t", words);
    unsigned long type = 0;

    if (!name || settings->attr_count == FAULT_ATTRS_MAX ||
        !parse_number(strtok_r(NULL, " \t", words), 16, &type))
        return false;
    for (size_t i = FAULT_ATTR_BAD_LENGTH; i < ARRAY_SIZE(names); i++) {
        if (strcmp(names[i], name) != 0)
            continue;
        settings->attrs[settings->attr_count].fault = (enum fault_attr)i;
        settings->attrs[settings->attr_count++].type = type;
        return true;
    }
    return false;
}

static bool parse_removed(char **words, struct fault_settings *settings)
{
    const char *label = strtok_r(NULL, "", words);

    if (!label) {
        settings->removed_all = true;
        return true;
    }
    if (settings->removed_count == FAULT_LABELS_MAX || strlen(label) > FAULT_LABEL_LEN)
        return false;
    (void)memcpy(settings->removed[settings->removed_count++], label, strlen(label) + 1);
    return true;
}

static bool parse_found_id(char **words, struct fault_settings *settings)
{
    unsigned long id = 0;

    if (!parse_number(strtok_r(NULL, " \t", words), 16, &id) || id == 0 || id > UINT8_MAX)
        return false;
    settings->found_id = (uint8_t)id;
    return true;
}

static bool parse_mechanism(bool hidden, char **words, struct fault_settings *settings)
{
    struct fault_mechanism mechanism = {.rv = FAULT_MECHANISM_RV, .hidden = hidden};
    const char *rv = NULL;

    if (settings->mechanism_count == FAULT_MECHANISMS_MAX ||
        !parse_number(strtok_r(NULL, " \t", words), 16, &mechanism.type))
        return false;
    rv = hidden ? NULL : strtok_r(NULL, " \t", words);
    if (rv && !parse_number(rv, 16, &mechanism.rv))
        return false;
    const char *label = strtok_r(NULL, "", words);
    if (label && (size_t)snprintf(mechanism.label, sizeof(mechanism.label), "%s", label) >=
                     sizeof(mechanism.label))
        return false;
    settings->mechanisms[settings->mechanism_count++] = mechanism;
    return true;
}

/* LABEL NAME; a label with blanks cannot be given. */
static bool parse_name(char **words, struct fault_name *names, size_t *count)
{
    const char *label = strtok_r(NULL, " \t", words);
    const char *name = strtok_r(NULL, "", words);

    if (!label || !name || *count == FAULT_NAMES_MAX || strlen(label) > FAULT_LABEL_LEN ||
        strlen(name) > FAULT_NAME_LEN)
        return false;
    (void)memcpy(names[*count].label, label, strlen(label) + 1);
    (void)memcpy(names[*count].name, name, strlen(name) + 1);
    (*count)++;
    return true;
}

/* A number that is not 0. */
static bool parse_amount(char **words, unsigned int *ret_amount)
{
    unsigned long amount = 0;

    if (!parse_number(strtok_r(NULL, " \t", words), 10, &amount) || amount == 0 ||
        amount > UINT32_MAX)
        return false;
    *ret_amount = (unsigned int)amount;
    return true;
}

/* Lines of one word. */
static bool *find_switch(const char *word, struct fault_settings *settings)
{
    const struct {
        const char *name;
        bool *value;
    } switches[] = {
        {"hardware", &settings->hardware},
        {"no-public-objects", &settings->no_public_objects},
        {"no-public-keys", &settings->no_public_keys},
        {"pinpad", &settings->pinpad},
        {"count-signatures", &settings->count_signatures},
    };

    for (size_t i = 0; i < ARRAY_SIZE(switches); i++)
        if (strcmp(switches[i].name, word) == 0)
            return switches[i].value;
    return NULL;
}

/* Lines of a word and an amount. */
static unsigned int *find_amount(const char *word, struct fault_settings *settings)
{
    const struct {
        const char *name;
        unsigned int *value;
    } amounts[] = {
        {"pin-tries", &settings->pin_tries},
        {"pinpad-wait", &settings->pinpad_wait_ms},
        {"max-sessions", &settings->max_sessions},
        {"drop-sessions", &settings->drop_sessions_ms},
    };

    for (size_t i = 0; i < ARRAY_SIZE(amounts); i++)
        if (strcmp(amounts[i].name, word) == 0)
            return amounts[i].value;
    return NULL;
}

static bool parse_setting(const char *first, char **words, struct fault_settings *settings)
{
    bool *on = find_switch(first, settings);
    unsigned int *amount = find_amount(first, settings);

    if (on)
        return *on = true;
    if (amount)
        return parse_amount(words, amount);
    if (strcmp(first, "removed") == 0)
        return parse_removed(words, settings);
    if (strcmp(first, "attr") == 0)
        return parse_attr(words, settings);
    if (strcmp(first, "found-id") == 0)
        return parse_found_id(words, settings);
    if (strcmp(first, "no-mechanism") == 0 || strcmp(first, "refuse-mechanism") == 0)
        return parse_mechanism(*first == 'n', words, settings);
    if (strcmp(first, "serial") == 0)
        return parse_name(words, settings->serials, &settings->serial_count);
    if (strcmp(first, "reader") == 0)
        return parse_name(words, settings->readers, &settings->reader_count);
    return false;
}

static bool parse_line(char *line, struct control *into)
{
    char *words = NULL;
    const char *first = strtok_r(line, " \t", &words);

    if (!first || *first == '#')
        return true;
    if (strncmp(first, "C_", 2) == 0 || strcmp(first, "*") == 0)
        return parse_rule(first, &words, into);
    return parse_setting(first, &words, &into->settings);
}

static void control_parse(char *text, struct control *into)
{
    char *lines = NULL;

    for (char *line = strtok_r(text, "\n", &lines); line; line = strtok_r(NULL, "\n", &lines)) {
        char copy[256];
        (void)snprintf(copy, sizeof(copy), "%s\n", line);
        if (!parse_line(line, into))
            complain(copy);
    }
}

/* With control_mutex held. */
static void control_refresh(void)
{
    const char *path = getenv("P11FAULT_CTL");
    struct stat now = {0};
    _cleanup_free_ char *text = NULL;
    _cleanup_close_ int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0) {
        control = (struct control){0};
        return;
    }
    if (fstat(fd, &now) < 0)
        return;
    if (now.st_ino == control.seen.st_ino && now.st_size == control.seen.st_size &&
        now.st_mtim.tv_sec == control.seen.st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == control.seen.st_mtim.tv_nsec)
        return;
    text = calloc(1, CONTROL_MAX + 1);
    if (!text || read(fd, text, CONTROL_MAX) < 0)
        return;
    control = (struct control){.seen = now};
    control_parse(text, &control);
}

static bool rule_matches(const struct rule *rule, const char *function)
{
    return strcmp(rule->function, "*") == 0 || strcmp(rule->function, function) == 0;
}

/* With control_mutex held. The lock comes before the control file is read, so that no process
 * counts for a file that another one has already seen replaced. */
static void plan_under_lock(const char *function, struct fault_plan *plan)
{
    struct counts counts = {0};
    _cleanup_close_ int fd = fault_rules_open(".counts");

    control_refresh();
    if (fd < 0)
        return;
    if (pread(fd, &counts, sizeof(counts), 0) != (ssize_t)sizeof(counts) ||
        counts.inode != control.seen.st_ino ||
        counts.changed.tv_sec != control.seen.st_mtim.tv_sec ||
        counts.changed.tv_nsec != control.seen.st_mtim.tv_nsec)
        counts = (struct counts){.inode = control.seen.st_ino, .changed = control.seen.st_mtim};
    for (size_t i = 0; i < control.rule_count; i++) {
        if (!rule_matches(&control.rules[i], function) || counts.used[i] >= control.rules[i].limit)
            continue;
        counts.used[i]++;
        plan->steps[plan->count++] = control.rules[i].step;
    }
    (void)!pwrite(fd, &counts, sizeof(counts), 0);
}

void fault_rules_plan(const char *function, struct fault_plan *ret_plan)
{
    bool concerned = false;

    ret_plan->count = 0;
    (void)pthread_mutex_lock(&control_mutex);
    control_refresh();
    for (size_t i = 0; i < control.rule_count; i++)
        concerned = concerned || rule_matches(&control.rules[i], function);
    if (concerned)
        plan_under_lock(function, ret_plan);
    (void)pthread_mutex_unlock(&control_mutex);
}

void fault_rules_settings(struct fault_settings *ret_settings)
{
    (void)pthread_mutex_lock(&control_mutex);
    control_refresh();
    *ret_settings = control.settings;
    (void)pthread_mutex_unlock(&control_mutex);
}

void fault_rules_log(const char *function)
{
    const char *path = getenv("P11FAULT_LOG");
    char line[64];

    if (!path)
        return;
    _cleanup_close_ int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    int len = snprintf(line, sizeof(line), "%d %s\n", (int)getpid(), function);
    if (fd >= 0 && len > 0)
        (void)!write(fd, line, (size_t)len);
}
