/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the person is: the display and terminal of the program that waits, as /proc shows them to
 * its own user. Of a program that has neither, those of our own environment. And which way of
 * asking there is.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/escape.h"
#include "pkcs11/ask_pin.h"

#define PERSON_ENVIRON_MAX (1024u * 1024u) /* bytes read of a program's environment */
#define PERSON_VALUE_MAX 4096u
#define PERSON_SYSTEM_QUESTIONS "/run/systemd/ask-password" /* where systemd's agents look */
#define PERSON_SYSTEM_RUNS "/run/systemd/system"            /* sd_booted(3) */
#define PERSON_SYSTEM_PROGRAM "systemd-ask-password"

/* Linux, Documentation/admin-guide/devices.txt */
#define PERSON_PTS_FIRST 136u
#define PERSON_PTS_LAST 143u
#define PERSON_CONSOLE 4u

/* What a pinentry may need. A trailing * matches any rest. */
static const char *const person_wanted[] = {
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "DBUS_SESSION_BUS_ADDRESS",
    "XDG_RUNTIME_DIR",
    "XDG_SESSION_TYPE",
    "XDG_CURRENT_DESKTOP",
    "GPG_TTY",
    "TERM",
    "LANG",
    "LC_*",
};

static bool person_wants(const char *variable)
{
    size_t name_len = strcspn(variable, "=");

    if (strlen(variable) - name_len > PERSON_VALUE_MAX)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(person_wanted); i++) {
        size_t len = strlen(person_wanted[i]);
        bool is_prefix = person_wanted[i][len - 1] == '*';
        if (is_prefix ? strncmp(variable, person_wanted[i], len - 1) == 0
                      : len == name_len && strncmp(variable, person_wanted[i], len) == 0)
            return true;
    }
    return false;
}

const char *ask_pin_person_get(const struct ask_pin_person *person, const char *name)
{
    size_t len = strlen(name);

    for (size_t at = 0; at < person->variables_len; at += strlen(person->variables + at) + 1)
        if (strncmp(person->variables + at, name, len) == 0 && person->variables[at + len] == '=')
            return person->variables + at + len + 1;
    return NULL;
}

static int person_add_variable(struct ask_pin_person *person, const char *variable)
{
    size_t len = strlen(variable) + 1;
    char *all = realloc(person->variables, person->variables_len + len);

    if (!all)
        return -ENOMEM;
    memcpy(all + person->variables_len, variable, len);
    person->variables = all;
    person->variables_len += len;
    return 0;
}

/* A file of /proc as a whole, with a NUL behind it. NULL when it may not be read. */
static char *person_read(const char *path, size_t *ret_len)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    _cleanup_free_ char *text = fd < 0 ? NULL : malloc(PERSON_ENVIRON_MAX + 1);
    size_t len = 0;
    ssize_t got = 1;

    while (text && got > 0 && len < PERSON_ENVIRON_MAX) {
        got = read(fd, text + len, PERSON_ENVIRON_MAX - len);
        if (got > 0)
            len += (size_t)got;
    }
    if (!text || got < 0)
        return NULL;
    text[len] = '\0';
    *ret_len = len;
    return TAKE_PTR(text);
}

static int person_take_client(struct ask_pin_person *person, pid_t pid)
{
    char path[64];
    size_t len = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    _cleanup_free_ char *variables = person_read(path, &len);
    for (size_t at = 0; variables && at < len; at += strlen(variables + at) + 1)
        if (person_wants(variables + at) && person_add_variable(person, variables + at))
            return -ENOMEM;
    return 0;
}

static int person_take_own(struct ask_pin_person *person)
{
    for (char **variable = environ; *variable; variable++)
        if (person_wants(*variable) && person_add_variable(person, *variable))
            return -ENOMEM;
    return 0;
}

static bool person_is_terminal(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    return fd >= 0 && isatty(fd);
}

static void person_set_tty(struct ask_pin_person *person, const char *path)
{
    if (!person->tty && path && path[0] == '/' && person_is_terminal(path))
        person->tty = strdup(path);
}

/* The terminal behind standard input, output or error. */
static void person_find_open_tty(struct ask_pin_person *person, pid_t pid)
{
    char link[64];
    char path[PATH_MAX];

    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        (void)snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)pid, fd);
        ssize_t len = readlink(link, path, sizeof(path) - 1);
        if (len <= 0)
            continue;
        path[len] = '\0';
        if (strncmp(path, "/dev/pts/", 9) == 0 || strncmp(path, "/dev/tty", 8) == 0)
            person_set_tty(person, path);
    }
}

/* Field 7 of /proc/PID/stat, see proc(5): a device number; 0: none. The name in field 2 may hold
 * anything. */
static unsigned int person_read_tty_number(pid_t pid)
{
    char path[64];
    size_t len = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    _cleanup_free_ char *stat = person_read(path, &len);
    char *at = stat ? strrchr(stat, ')') : NULL;
    for (int field = 2; at && field < 7; field++)
        at = strchr(at + 1, ' ');
    long number = at ? strtol(at, NULL, 10) : 0;
    return number > 0 && number <= INT_MAX ? (unsigned int)number : 0;
}

/* The controlling terminal. */
static void person_find_controlling_tty(struct ask_pin_person *person, pid_t pid)
{
    dev_t device = person_read_tty_number(pid);
    char path[64];

    if (device == 0)
        return;
    unsigned int major_number = major(device);
    unsigned int minor_number = minor(device);
    if (major_number >= PERSON_PTS_FIRST && major_number <= PERSON_PTS_LAST)
        (void)snprintf(path, sizeof(path), "/dev/pts/%u",
                       (major_number - PERSON_PTS_FIRST) * 256 + minor_number);
    else if (major_number == PERSON_CONSOLE)
        (void)snprintf(path, sizeof(path), "/dev/tty%u", minor_number);
    else
        return;
    person_set_tty(person, path);
}

static bool person_is_set(const struct ask_pin_person *person, const char *name)
{
    const char *value = ask_pin_person_get(person, name);

    return value && *value;
}

static void person_finish(struct ask_pin_person *person, pid_t pid)
{
    person->has_display =
        person_is_set(person, "DISPLAY") || person_is_set(person, "WAYLAND_DISPLAY");
    person_set_tty(person, ask_pin_person_get(person, "GPG_TTY"));
    if (pid <= 0)
        return;
    person_find_open_tty(person, pid);
    person_find_controlling_tty(person, pid);
}

void ask_pin_person_deinit(struct ask_pin_person *person)
{
    free(person->variables);
    free(person->tty);
    *person = (struct ask_pin_person){0};
}

/* Of another user's program nothing is taken, also where we may look, as root may: what it says
 * would lead our pinentry where that user likes. */
static bool person_is_ours(pid_t pid)
{
    char path[64];
    struct stat st;

    (void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    return pid > 0 && stat(path, &st) == 0 && st.st_uid == geteuid();
}

int ask_pin_person_find(pid_t pid, struct ask_pin_person *ret_person)
{
    struct ask_pin_person person = {0};

    if (!person_is_ours(pid))
        pid = 0;
    int r = pid > 0 ? person_take_client(&person, pid) : 0;

    person_finish(&person, pid);
    if (r == 0 && !person.has_display && !person.tty) {
        ask_pin_person_deinit(&person);
        r = person_take_own(&person);
        person_finish(&person, 0);
    }
    if (r) {
        ask_pin_person_deinit(&person);
        return r;
    }
    *ret_person = person;
    return 0;
}

static void cleanup_person(struct ask_pin_person *person)
{
    ask_pin_person_deinit(person);
}

/* A program by its path, or by its name from $PATH, which is the agent's own. */
static bool person_find_program(const char *name, char path[static PATH_MAX])
{
    const char *folders = getenv("PATH");

    if (name[0] == '/') {
        (void)snprintf(path, PATH_MAX, "%s", name);
        return access(path, X_OK) == 0;
    }
    for (const char *at = folders ? folders : "/usr/bin:/bin"; *at;) {
        size_t len = strcspn(at, ":");
        if (at[0] == '/' && snprintf(path, PATH_MAX, "%.*s/%s", (int)len, at, name) < PATH_MAX &&
            access(path, X_OK) == 0)
            return true;
        at += len + (at[len] == ':' ? 1 : 0);
    }
    return false;
}

static bool person_is_systemd(const char *program)
{
    const char *slash = strrchr(program, '/');

    return strcmp(slash ? slash + 1 : program, PERSON_SYSTEM_PROGRAM) == 0;
}

enum person_way {
    PERSON_WAY_NONE,
    PERSON_WAY_PINENTRY,
    PERSON_WAY_SYSTEMD,
};

/* How to ask, and with which program. */
static enum person_way person_choose(const struct ask_pin_prompt *prompt,
                                     const struct ask_pin_person *person,
                                     char program[static PATH_MAX])
{
    const char *wanted = *prompt->pinentry ? prompt->pinentry : "pinentry";
    bool is_there = person->has_display || person->tty;

    if (person_is_systemd(wanted))
        return person_find_program(wanted, program) ? PERSON_WAY_SYSTEMD : PERSON_WAY_NONE;
    if (is_there && person_find_program(wanted, program))
        return PERSON_WAY_PINENTRY;
    /* Only a service of the system may put its question there. */
    if (!is_there && !*prompt->pinentry && access(PERSON_SYSTEM_RUNS, F_OK) == 0 &&
        access(PERSON_SYSTEM_QUESTIONS, W_OK) == 0 &&
        person_find_program(PERSON_SYSTEM_PROGRAM, program))
        return PERSON_WAY_SYSTEMD;
    return PERSON_WAY_NONE;
}

static enum pin_answer person_nobody(const struct ask_pin_prompt *prompt,
                                     const struct ask_pin_person *person)
{
    char shown[ASK_PIN_SHOWN_MAX];

    if (!person->has_display && !person->tty)
        (void)ask_pin_fail("nobody can be asked for the PIN: there is neither a display nor a "
                           "terminal");
    else if (*prompt->pinentry)
        (void)ask_pin_fail("nobody can be asked for the PIN: %s cannot be run",
                           escape_cstring(prompt->pinentry, shown, sizeof(shown)));
    else
        (void)ask_pin_fail("nobody can be asked for the PIN: no pinentry is installed");
    return PIN_E_NOBODY;
}

enum pin_answer ask_pin_from_person(const struct ask_pin_prompt *prompt, struct secret *secret)
{
    _cleanup_(cleanup_person) struct ask_pin_person person = {0};
    char program[PATH_MAX];

    if (ask_pin_person_find(prompt->client_pid, &person))
        return ask_pin_fail("out of memory");
    switch (person_choose(prompt, &person, program)) {
    case PERSON_WAY_PINENTRY:
        return ask_pin_from_pinentry(prompt, program, &person, secret);
    case PERSON_WAY_SYSTEMD:
        return ask_pin_from_systemd(prompt, program, secret);
    case PERSON_WAY_NONE:
        break;
    }
    return person_nobody(prompt, &person);
}

enum pin_answer ask_pin_check_person(const struct ask_pin_prompt *prompt)
{
    _cleanup_(cleanup_person) struct ask_pin_person person = {0};

    if (ask_pin_person_find(prompt->client_pid, &person))
        return ask_pin_fail("out of memory");
    if (person.has_display || person.tty)
        return PIN_OK;
    (void)ask_pin_fail("nobody can be there to type the PIN at the reader: there is neither a "
                       "display nor a terminal");
    return PIN_E_NOBODY;
}
