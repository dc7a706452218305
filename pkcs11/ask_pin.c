/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask-pin: obtains one PIN and writes it into the pipes that the core passes, each of which ends in
 * a token worker. Where the PIN is kept it lives here and nowhere else, until the core closes the
 * control socket or kills this process.
 *
 *     ask-pin                                                  started by the core
 *     ask-pin file PATH | command COMMAND | credential NAME    by hand: the PIN to stdout
 */
#include "pkcs11/ask_pin.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/frame.h"
#include "common/harden.h"
#include "pkcs11/link.h"

static char ask_pin_sentence[PROTOCOL_TEXT_MAX];

/* All that this process knows. */
struct ask_pin {
    struct secret *secret;
    bool has_pin;
    bool has_told; /* that the ledger cannot be written */
    char *ledger;  /* "": none */
    char source[PIN_IDENTITY_MAX];
    struct wire_writer writer;
};

enum pin_answer ask_pin_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(ask_pin_sentence, sizeof(ask_pin_sentence), format, args);
    va_end(args);
    return PIN_E_FAILED;
}

const char *ask_pin_text(void)
{
    return ask_pin_sentence;
}

/* One write: less than PIPE_BUF, so whoever reads gets all or nothing. */
static int ask_pin_write(const struct secret *secret, int fd)
{
    _cleanup_secret_ struct secret *line = secret_new();
    ssize_t written;

    if (!line)
        return -ENOMEM;
    memcpy(line->data, secret->data, secret->len);
    line->data[secret->len] = '\n';
    do {
        written = write(fd, line->data, secret->len + 1);
    } while (written < 0 && errno == EINTR);
    if (written < 0)
        return -errno;
    return (size_t)written == secret->len + 1 ? 0 : -EIO;
}

/* By hand, to see whether a source works. */
static int ask_pin_run_once(const char *name, const char *argument)
{
    static const char *const names[] = {[PIN_KIND_FILE] = "file",
                                        [PIN_KIND_COMMAND] = "command",
                                        [PIN_KIND_CREDENTIAL] = "credential"};
    _cleanup_secret_ struct secret *secret = secret_new();
    enum pin_answer answer = ask_pin_fail("usage: ask-pin file PATH | command COMMAND | "
                                          "credential NAME");

    if (!secret)
        return 1;
    (void)signal(SIGPIPE, SIG_DFL);
    for (size_t i = PIN_KIND_FILE; name && i < ARRAY_SIZE(names); i++)
        if (strcmp(names[i], name) == 0)
            answer = ask_pin_from_source((enum pin_kind)i, argument, PIN_TIMEOUT_MS_MAX, secret);
    int r = answer ? 0 : ask_pin_write(secret, STDOUT_FILENO);
    if (r)
        answer = ask_pin_fail("the PIN was not taken: %s", strerror(-r));
    if (answer)
        (void)dprintf(STDERR_FILENO, "%s\n", ask_pin_text());
    return answer ? 1 : 0;
}

static int ask_pin_send(const struct ask_pin *ask_pin)
{
    return link_send(PIN_FD_CONTROL, &ask_pin->writer);
}

static enum pin_answer ask_pin_prompt(struct ask_pin *ask_pin, const struct pin_ask *msg)
{
    _cleanup_free_ char *pinentry = wire_span_to_text(msg->pinentry);
    _cleanup_free_ char *text = wire_span_to_text(msg->text);
    _cleanup_free_ char *error = wire_span_to_text(msg->error);
    const struct ask_pin_prompt prompt = {.pinentry = pinentry,
                                          .client_pid = (pid_t)msg->client_pid,
                                          .text = text,
                                          .error = error,
                                          .timeout_ms = msg->timeout_ms,
                                          .control = PIN_FD_CONTROL};

    if (!pinentry || !text || !error)
        return ask_pin_fail("out of memory");
    if (msg->kind == PIN_KIND_PRESENCE)
        return ask_pin_check_person(&prompt);
    return ask_pin_from_person(&prompt, ask_pin->secret);
}

static enum pin_answer ask_pin_fetch(struct ask_pin *ask_pin, const struct pin_ask *msg, int fd)
{
    _cleanup_free_ char *argument = wire_span_to_text(msg->argument);

    if (!argument)
        return ask_pin_fail("out of memory");
    if (msg->kind == PIN_KIND_PROMPT || msg->kind == PIN_KIND_PRESENCE)
        return ask_pin_prompt(ask_pin, msg);
    if (msg->kind == PIN_KIND_RELAY)
        return ask_pin_read(ask_pin->secret, fd, msg->timeout_ms, "");
    ask_pin_source_identity(msg->kind, argument, ask_pin->source);
    if (wire_span_is_equal(msg->refused, wire_span_from_text(ask_pin->source)))
        return PIN_E_REFUSED;
    return ask_pin_from_source(msg->kind, argument, msg->timeout_ms, ask_pin->secret);
}

static int ask_pin_handle_ask(struct ask_pin *ask_pin, struct wire_span body, int fd)
{
    struct pin_ask msg;

    if (ask_pin->ledger || pin_ask_parse(body, &msg))
        return -EPROTO;
    ask_pin->ledger = wire_span_to_text(msg.ledger);
    enum pin_answer answer = ask_pin_fetch(ask_pin, &msg, fd);
    ask_pin->has_pin = answer == PIN_OK && msg.kind != PIN_KIND_PRESENCE;
    const struct pin_reply reply = {.answer = answer,
                                    .source = wire_span_from_text(ask_pin->source),
                                    .text = protocol_text(answer ? ask_pin_text() : "")};
    wire_writer_reset(&ask_pin->writer);
    /* A sentence that is no UTF-8, as a path may be, would not be taken. */
    if (pin_reply_encode(&ask_pin->writer, &reply))
        return -ENOMEM;
    return ask_pin_send(ask_pin);
}

/* Without its ledger the agent works all the same; it is told once. */
static int ask_pin_record(struct ask_pin *ask_pin, const struct pin_record *record)
{
    char text[PROTOCOL_TEXT_MAX];

    if (record->token.len == 0 || !ask_pin->ledger || !*ask_pin->ledger)
        return 0;
    int r = ask_pin_ledger_write(ask_pin->ledger, record, ask_pin->source);
    if (r == 0 || ask_pin->has_told)
        return 0;
    ask_pin->has_told = true;
    (void)snprintf(text, sizeof(text), "%s", strerror(-r));
    wire_writer_reset(&ask_pin->writer);
    if (pin_trouble_encode(&ask_pin->writer, wire_span_from_text(text)))
        return -ENOMEM;
    return ask_pin_send(ask_pin);
}

static int ask_pin_handle_give(struct ask_pin *ask_pin, struct wire_span body, int fd)
{
    struct pin_record record;

    if (pin_record_parse(body, &record))
        return -EPROTO;
    /* The end of the pipe tells the worker that there is none. */
    if (!ask_pin->has_pin || fd < 0)
        return 0;
    int r = ask_pin_record(ask_pin, &record);
    /* A worker that is gone does not take it: the core knows. */
    if (r == 0)
        (void)ask_pin_write(ask_pin->secret, fd);
    return r;
}

static int ask_pin_handle_record(struct ask_pin *ask_pin, struct wire_span body, int fd)
{
    struct pin_record record;

    (void)fd;
    return pin_record_parse(body, &record) ? -EPROTO : ask_pin_record(ask_pin, &record);
}

static const struct {
    uint8_t type;
    int (*handle)(struct ask_pin *ask_pin, struct wire_span body, int fd);
} ask_pin_rows[] = {
    {PIN_ASK, ask_pin_handle_ask},
    {PIN_GIVE, ask_pin_handle_give},
    {PIN_RECORD, ask_pin_handle_record},
};

static int ask_pin_handle_packet(struct ask_pin *ask_pin, struct wire_span packet, int fd)
{
    struct frame frame;

    if (frame_parse(packet, &frame))
        return -EPROTO;
    for (size_t i = 0; i < ARRAY_SIZE(ask_pin_rows); i++)
        if (ask_pin_rows[i].type == frame.type)
            return ask_pin_rows[i].handle(ask_pin, frame.body, fd);
    return -EPROTO;
}

/* Until the core closes its end. */
static int ask_pin_serve(struct ask_pin *ask_pin)
{
    _cleanup_free_ uint8_t *buffer = malloc(LINK_PACKET_MAX);
    int r = buffer ? 0 : -ENOMEM;

    while (r == 0) {
        struct wire_span packet;
        int received = -1;
        r = link_receive(PIN_FD_CONTROL, true, buffer, &packet, &received);
        _cleanup_close_ int fd = received;
        if (r == 0)
            r = ask_pin_handle_packet(ask_pin, packet, fd);
    }
    return r == LINK_E_END ? 0 : r;
}

static int ask_pin_run(void)
{
    struct ask_pin ask_pin = {.secret = secret_new()};
    int r = ask_pin.secret ? link_init(PIN_FD_CONTROL) : -ENOMEM;

    (void)signal(SIGPIPE, SIG_IGN);
    wire_writer_init(&ask_pin.writer, PIN_PACKET_MAX);
    if (r == 0 && fcntl(PIN_FD_CONTROL, F_SETFD, FD_CLOEXEC) < 0)
        r = -errno;
    if (r == 0)
        r = ask_pin_serve(&ask_pin);
    if (r)
        (void)dprintf(STDERR_FILENO, "ask-pin ends: %s\n", strerror(-r));
    ask_pin.secret = secret_free(ask_pin.secret);
    wire_writer_deinit(&ask_pin.writer);
    free(ask_pin.ledger);
    return r ? 1 : 0;
}

int main(int argc, char **argv)
{
    if (harden_standard_fds() || harden_process() || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) {
        (void)dprintf(STDERR_FILENO, "ask-pin cannot protect itself: %s\n", strerror(errno));
        return 1;
    }
    if (argc == 1 && isfdtype(PIN_FD_CONTROL, S_IFSOCK) > 0)
        return ask_pin_run();
    return ask_pin_run_once(argc == 3 ? argv[1] : NULL, argc == 3 ? argv[2] : "");
}
