/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pinentry, asked through libassuan in the order that GnuPG's agent made the custom: options,
 * what the dialog says, GETPIN. Its dialog may stand for minutes, so we wait for its line and for
 * the end of our own control socket at once. libassuan's buffers, which the PIN passes, are wiped.
 */
#include <assuan.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>

#include "common/clock.h"
#include "common/escape.h"
#include "pkcs11/ask_pin.h"

#define PINENTRY_LINE_MAX ((size_t)ASSUAN_LINELENGTH - 2)
#define PINENTRY_ATTEMPTS 3u /* for a PIN that is none: empty, too long */
#define PINENTRY_END_MS 500u /* a pinentry that is told to end has so long */
#define PINENTRY_MESSAGE_MAX 256u

struct pinentry {
    const struct ask_pin_prompt *prompt;
    const struct ask_pin_person *person;
    assuan_context_t context;
    pid_t parent;
    uint64_t deadline_ms;
    int tty;
    struct termios tty_settings; /* as they were, when tty >= 0 */
};

static void pinentry_free_wiped(void *memory)
{
    if (memory)
        explicit_bzero(memory, malloc_usable_size(memory));
    free(memory);
}

static void *pinentry_realloc_wiped(void *memory, size_t size)
{
    size_t old_size = memory ? malloc_usable_size(memory) : 0;
    void *copy = malloc(size);

    if (copy && memory)
        memcpy(copy, memory, old_size < size ? old_size : size);
    if (copy)
        pinentry_free_wiped(memory);
    return copy;
}

/* Between fork and exec: the person's environment, and an end with ours. */
static void pinentry_prepare_child(void *userdata, int reserved)
{
    const struct pinentry *pinentry = userdata;
    const struct ask_pin_person *person = pinentry->person;

    (void)reserved;
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != pinentry->parent)
        _exit(127);
    for (size_t at = 0; at < person->variables_len; at += strlen(person->variables + at) + 1)
        (void)putenv(person->variables + at);
    (void)signal(SIGPIPE, SIG_DFL);
}

/* What a line may not hold is written as %XX; what does not fit is left out, by whole characters.
 */
static void pinentry_escape(const char *text, char *buffer, size_t size)
{
    size_t len = 0;

    for (; *text && len + 4 <= size; text++) {
        bool is_plain = (unsigned char)*text >= 0x20 && *text != '%';
        if (is_plain)
            buffer[len++] = *text;
        else
            len += (size_t)snprintf(buffer + len, size - len, "%%%02X", (unsigned char)*text);
    }
    while (*text && len > 0 && ((unsigned char)*text & 0xc0) == 0x80) {
        len--;
        text--;
    }
    buffer[len] = '\0';
}

/* Waits until the pinentry says something. PIN_OK, or why not. */
static enum pin_answer pinentry_wait(struct pinentry *pinentry)
{
    assuan_fd_t fds[4];
    int count = assuan_get_active_fds(pinentry->context, 0, fds, (int)ARRAY_SIZE(fds));
    struct pollfd pollfds[] = {{.fd = count > 0 ? fds[0] : -1, .events = POLLIN},
                               {.fd = pinentry->prompt->control, .events = POLLRDHUP}};

    while (!assuan_pending_line(pinentry->context)) {
        uint64_t now_ms = clock_monotonic_ms();
        if (now_ms >= pinentry->deadline_ms)
            return PIN_E_TIMEOUT;
        int ready =
            poll(pollfds, ARRAY_SIZE(pollfds), clock_poll_timeout(pinentry->deadline_ms - now_ms));
        if (ready < 0 && errno != EINTR)
            return ask_pin_fail("the pinentry cannot be waited for: %s", strerror(errno));
        if (ready > 0 && pollfds[1].revents)
            return PIN_E_CANCELLED;
        if (ready > 0 && pollfds[0].revents)
            return PIN_OK;
    }
    return PIN_OK;
}

static enum pin_answer pinentry_read(struct pinentry *pinentry, char **ret_line, size_t *ret_len)
{
    enum pin_answer answer = pinentry_wait(pinentry);

    if (answer)
        return answer;
    gpg_error_t error = assuan_read_line(pinentry->context, ret_line, ret_len);
    if (!error)
        return PIN_OK;
    if (gpg_err_code(error) == GPG_ERR_EOF)
        return ask_pin_fail("the pinentry ended without an answer");
    return ask_pin_fail("the pinentry cannot be read from: %s", gpg_strerror(error));
}

static int pinentry_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return -1;
}

/* "D " lines: the PIN with %XX in it. One byte too many is kept, so that it is seen. */
static void pinentry_take_data(struct secret *secret, const char *line, size_t len)
{
    for (size_t i = 0; i < len && secret->len <= SECRET_MAX; i++) {
        int high = line[i] == '%' && i + 2 < len ? pinentry_digit(line[i + 1]) : -1;
        int low = high >= 0 ? pinentry_digit(line[i + 2]) : -1;
        if (low >= 0) {
            secret->data[secret->len++] = (uint8_t)(high * 16 + low);
            i += 2;
        } else {
            secret->data[secret->len++] = (uint8_t)line[i];
        }
    }
}

static enum pin_answer pinentry_explain(const char *line)
{
    gpg_error_t error = (gpg_error_t)strtoul(line, NULL, 10);
    char shown[PINENTRY_MESSAGE_MAX];

    switch (gpg_err_code(error)) {
    case GPG_ERR_CANCELED:
    case GPG_ERR_FULLY_CANCELED:
        return PIN_E_CANCELLED;
    case GPG_ERR_TIMEOUT:
        return PIN_E_TIMEOUT;
    case GPG_ERR_NO_PIN_ENTRY:
        (void)ask_pin_fail("nobody can be asked for the PIN: the pinentry has neither a display "
                           "nor a terminal");
        return PIN_E_NOBODY;
    default:
        return ask_pin_fail("the pinentry failed: %s", escape_cstring(line, shown, sizeof(shown)));
    }
}

/* One command and its reply. @secret: takes the data that comes; NULL: none is expected. */
static enum pin_answer pinentry_command(struct pinentry *pinentry, const char *command,
                                        struct secret *secret)
{
    gpg_error_t error = assuan_write_line(pinentry->context, command);
    char *line = NULL;
    size_t len = 0;

    if (error)
        return ask_pin_fail("the pinentry does not listen: %s", gpg_strerror(error));
    for (;;) {
        enum pin_answer answer = pinentry_read(pinentry, &line, &len);
        if (answer)
            return answer;
        if (strncmp(line, "OK", 2) == 0 && (len == 2 || line[2] == ' '))
            return PIN_OK;
        if (strncmp(line, "ERR ", 4) == 0)
            return pinentry_explain(line + 4);
        if (secret && len > 2 && strncmp(line, "D ", 2) == 0)
            pinentry_take_data(secret, line + 2, len - 2);
        explicit_bzero(line, len);
    }
}

/* A command with a text. One that it does not know it does without. */
static enum pin_answer pinentry_tell(struct pinentry *pinentry, const char *command,
                                     const char *text)
{
    char line[ASSUAN_LINELENGTH];
    size_t len = (size_t)snprintf(line, sizeof(line), "%s", command);

    if (!text || !*text)
        return PIN_OK;
    pinentry_escape(text, line + len, PINENTRY_LINE_MAX - len);
    enum pin_answer answer = pinentry_command(pinentry, line, NULL);
    bool may_go_on = answer == PIN_E_FAILED && kill(assuan_get_pid(pinentry->context), 0) == 0;
    return may_go_on ? PIN_OK : answer;
}

static enum pin_answer pinentry_set_up(struct pinentry *pinentry)
{
    const struct ask_pin_prompt *prompt = pinentry->prompt;
    const struct ask_pin_person *person = pinentry->person;
    const char *all_locale = ask_pin_person_get(person, "LC_ALL");
    char timeout[16];

    (void)snprintf(timeout, sizeof(timeout), "%u", (prompt->timeout_ms + 999) / 1000);
    const struct {
        const char *command;
        const char *text;
    } lines[] = {
        {"OPTION ttyname=", person->tty},
        {"OPTION ttytype=", person->tty ? ask_pin_person_get(person, "TERM") : NULL},
        {"OPTION lc-ctype=", all_locale ? all_locale : ask_pin_person_get(person, "LC_CTYPE")},
        {"OPTION lc-messages=",
         all_locale ? all_locale : ask_pin_person_get(person, "LC_MESSAGES")},
        {"SETTIMEOUT ", timeout},
        {"SETTITLE ", "mtls-agent"},
        {"SETDESC ", prompt->text},
        {"SETPROMPT ", "PIN:"},
    };
    enum pin_answer answer = PIN_OK;

    for (size_t i = 0; i < ARRAY_SIZE(lines) && answer == PIN_OK; i++)
        answer = pinentry_tell(pinentry, lines[i].command, lines[i].text);
    return answer;
}

/* As secret_read() has it: what no PIN can be is refused here. 0, or SECRET_E_... */
static int pinentry_check(struct secret *secret)
{
    int r = 0;

    if (secret->len == 0)
        r = SECRET_E_EMPTY;
    else if (secret->len > SECRET_MAX)
        r = SECRET_E_TOO_LONG;
    else if (memchr(secret->data, '\0', secret->len) || memchr(secret->data, '\n', secret->len))
        r = SECRET_E_NUL;
    if (r)
        secret_wipe(secret);
    return r;
}

static enum pin_answer pinentry_ask(struct pinentry *pinentry, struct secret *secret)
{
    const char *error = pinentry->prompt->error;
    int r = 0;

    for (unsigned int i = 0; i < PINENTRY_ATTEMPTS; i++) {
        enum pin_answer answer = pinentry_tell(pinentry, "SETERROR ", error);
        secret_wipe(secret);
        if (answer == PIN_OK)
            answer = pinentry_command(pinentry, "GETPIN", secret);
        if (answer) {
            secret_wipe(secret);
            return answer;
        }
        r = pinentry_check(secret);
        if (r == 0)
            return PIN_OK;
        error = secret_error_text(r);
    }
    return ask_pin_fail("%s", secret_error_text(r));
}

static void pinentry_save_tty(struct pinentry *pinentry)
{
    pinentry->tty = -1;
    if (!pinentry->person->tty)
        return;
    pinentry->tty = open(pinentry->person->tty, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (pinentry->tty >= 0 && tcgetattr(pinentry->tty, &pinentry->tty_settings) < 0)
        pinentry->tty = close_fd(pinentry->tty);
}

/* Ends it; one that is killed in its dialog leaves a terminal without echo behind. */
static void pinentry_end(struct pinentry *pinentry, bool is_in_dialog)
{
    pid_t pid = assuan_get_pid(pinentry->context);
    uint64_t deadline_ms = clock_monotonic_ms() + PINENTRY_END_MS;

    if (is_in_dialog && pid > 0) {
        (void)kill(pid, SIGTERM);
        while (waitpid(pid, NULL, WNOHANG) == 0 && clock_monotonic_ms() < deadline_ms)
            (void)poll(NULL, 0, 10);
        (void)kill(pid, SIGKILL);
        if (pinentry->tty >= 0)
            (void)tcsetattr(pinentry->tty, TCSANOW, &pinentry->tty_settings);
    }
    assuan_release(pinentry->context);
    pinentry->tty = close_fd(pinentry->tty);
}

static enum pin_answer pinentry_start(struct pinentry *pinentry, const char *program)
{
    static struct assuan_malloc_hooks hooks = {malloc, pinentry_realloc_wiped, pinentry_free_wiped};
    const char *slash = strrchr(program, '/');
    const char *argv[] = {slash ? slash + 1 : program, NULL};
    assuan_fd_t no_fds[] = {ASSUAN_INVALID_FD};
    char shown[ASK_PIN_SHOWN_MAX];

    gpg_error_t error =
        assuan_new_ext(&pinentry->context, GPG_ERR_SOURCE_DEFAULT, &hooks, NULL, NULL);
    if (error)
        return ask_pin_fail("out of memory");
    assuan_begin_confidential(pinentry->context);
    /* Its first line is read here, in the same breath. */
    error = assuan_pipe_connect(pinentry->context, program, argv, no_fds, pinentry_prepare_child,
                                pinentry, 0);
    if (!error)
        return PIN_OK;
    assuan_release(pinentry->context);
    pinentry->context = NULL;
    return ask_pin_fail("%s did not come up: %s", escape_cstring(program, shown, sizeof(shown)),
                        gpg_strerror(error));
}

enum pin_answer ask_pin_from_pinentry(const struct ask_pin_prompt *prompt, const char *program,
                                      const struct ask_pin_person *person, struct secret *secret)
{
    struct pinentry pinentry = {.prompt = prompt,
                                .person = person,
                                .parent = getpid(),
                                .deadline_ms = clock_monotonic_ms() + prompt->timeout_ms};

    /* One that died must not take us along. */
    (void)signal(SIGPIPE, SIG_IGN);
    pinentry_save_tty(&pinentry);
    enum pin_answer answer = pinentry_start(&pinentry, program);
    if (answer) {
        pinentry.tty = close_fd(pinentry.tty);
        return answer;
    }
    answer = pinentry_set_up(&pinentry);
    if (answer == PIN_OK)
        answer = pinentry_ask(&pinentry, secret);
    pinentry_end(&pinentry, answer != PIN_OK);
    return answer;
}
