/* SPDX-License-Identifier: Apache-2.0 */
/* Running ask-pin; see pin_source.h. */
#include "agent/pin_source.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "agent/child_log.h"
#include "agent/helper_process.h"
#include "agent/list.h"
#include "agent/packet.h"
#include "common/escape.h"
#include "common/frame.h"
#include "common/log.h"

#define PIN_SOURCE_SLACK_MS 3000u /* beyond its own deadline, then it is killed */
#define PIN_SOURCE_END_MS 3000u   /* for ask-pin to end after its socket was closed */
#define PIN_SOURCE_PACKETS_MAX 8  /* taken in one go: it has two things to say */

struct pin_source {
    pid_t pid; /* 0: ended and reaped */
    int fd;
    bool is_prompt;
    struct list
        link; /* in pin_source_released: nobody has it any more, and its process is ending */
    enum pin_source_state state;
    enum pin_answer answer;
    char identity[PIN_IDENTITY_MAX + 1];
    char text[PROTOCOL_TEXT_MAX];
    sd_event_source *io;
    sd_event_source *child; /* its end is that of this struct: see pin_source_destroy() */
    sd_event_source *deadline;
    struct child_log *log;
    pin_source_fn changed;
    void *userdata;
};

static struct list pin_source_released = {&pin_source_released, &pin_source_released};

/* The end of the child's event source, whoever brings it about. */
static void pin_source_destroy(void *userdata)
{
    struct pin_source *source = userdata;

    list_remove(&source->link);
    source->io = sd_event_source_disable_unref(source->io);
    source->deadline = sd_event_source_disable_unref(source->deadline);
    (void)close_fd(source->fd);
    (void)child_log_free(source->log);
    free(source);
}

static void pin_source_stop_talking(struct pin_source *source)
{
    source->changed = NULL;
    source->io = sd_event_source_disable_unref(source->io);
    source->fd = close_fd(source->fd);
}

struct pin_source *pin_source_kill(struct pin_source *source)
{
    if (!source)
        return NULL;
    pin_source_stop_talking(source);
    /* The event source kills and reaps what has not ended by itself; then pin_source_destroy(). */
    sd_event_source_disable_unref(source->child);
    return NULL;
}

struct pin_source *pin_source_free(struct pin_source *source)
{
    if (!source)
        return NULL;
    /* A source that is being asked has nothing to tidy up. */
    if (source->pid == 0 || (source->state == PIN_SOURCE_ASKING && !source->is_prompt) ||
        sd_event_source_set_time_relative(source->deadline, PIN_SOURCE_END_MS * 1000u) < 0 ||
        sd_event_source_set_enabled(source->deadline, SD_EVENT_ONESHOT) < 0)
        return pin_source_kill(source);
    pin_source_stop_talking(source);
    list_append(&pin_source_released, &source->link);
    return NULL;
}

static bool pin_source_is_released(const struct pin_source *source)
{
    return !list_is_empty(&source->link);
}

bool pin_source_has_released(void)
{
    return !list_is_empty(&pin_source_released);
}

void pin_source_kill_released(void)
{
    list_for_each_safe (link, &pin_source_released)
        (void)pin_source_kill(list_entry(link, struct pin_source, link));
}

const char *pin_source_name(const struct config_token *token)
{
    static const char *const names[] = {[CONFIG_PIN_ASK] = "ask",
                                        [CONFIG_PIN_FILE] = "file",
                                        [CONFIG_PIN_COMMAND] = "command",
                                        [CONFIG_PIN_CREDENTIAL] = "credential"};

    return names[token->pin];
}

static void pin_source_set_failed(struct pin_source *source, enum pin_answer answer,
                                  const char *text)
{
    source->state = PIN_SOURCE_FAILED;
    source->answer = answer;
    if (text)
        (void)snprintf(source->text, sizeof(source->text), "%s", text);
}

static int pin_source_take_answer(struct pin_source *source, struct wire_span body)
{
    struct pin_reply reply;

    if (source->state != PIN_SOURCE_ASKING || pin_reply_parse(body, &reply))
        return -EPROTO;
    source->state = reply.answer == PIN_OK ? PIN_SOURCE_READY : PIN_SOURCE_FAILED;
    source->answer = reply.answer;
    escape_text(reply.text, source->text, sizeof(source->text));
    if (reply.answer == PIN_E_REFUSED)
        (void)snprintf(source->text, sizeof(source->text),
                       "the PIN of this source was refused before, so it was not tried again");
    escape_text(reply.source, source->identity, sizeof(source->identity));
    /* What it keeps has no deadline here. */
    return sd_event_source_set_enabled(source->deadline, SD_EVENT_OFF);
}

/* Once: a disk that is full now may be full for long. */
static int pin_source_take_trouble(struct wire_span body)
{
    static bool was_told;
    struct wire_span text;
    char shown[256];

    if (pin_trouble_parse(body, &text))
        return -EPROTO;
    if (!was_told)
        log_warning("the ledger of refused PINs cannot be written (%s); the agent works without, "
                    "and will not remember them when it is started again",
                    escape_text(text, shown, sizeof(shown)));
    was_told = true;
    return 0;
}

static int pin_source_take_packet(struct pin_source *source, struct wire_span packet)
{
    struct frame frame;

    if (frame_parse(packet, &frame))
        return -EPROTO;
    if (frame.type == PIN_ANSWER)
        return pin_source_take_answer(source, frame.body);
    if (frame.type == PIN_TROUBLE)
        return pin_source_take_trouble(frame.body);
    return -EPROTO;
}

/* Takes what is there, but not for ever. False when ask-pin is gone, or is not what it should be.
 */
static bool pin_source_receive(struct pin_source *source)
{
    uint8_t packet[4096];

    for (int i = 0; source->fd >= 0 && i < PIN_SOURCE_PACKETS_MAX; i++) {
        ssize_t len = recv(source->fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);
        if (len < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        if (len <= 0 || (size_t)len > sizeof(packet) ||
            pin_source_take_packet(source, (struct wire_span){packet, (size_t)len}) < 0)
            return false;
    }
    return source->fd >= 0;
}

void pin_source_read(struct pin_source *source)
{
    (void)pin_source_receive(source);
}

static void pin_source_tell(struct pin_source *source, enum pin_source_state before)
{
    if (source->state != before && source->changed)
        source->changed(source, source->userdata);
}

static int pin_source_handle_io(sd_event_source *io, int fd, uint32_t events, void *userdata)
{
    struct pin_source *source = userdata;
    enum pin_source_state before = source->state;

    (void)io;
    (void)fd;
    (void)events;
    if (!pin_source_receive(source)) {
        /* What became of the process says its end. */
        source->io = sd_event_source_disable_unref(source->io);
        if (source->pid > 0)
            (void)kill(source->pid, SIGKILL);
    }
    pin_source_tell(source, before);
    return 0;
}

static int pin_source_handle_exit(sd_event_source *child, const siginfo_t *info, void *userdata)
{
    struct pin_source *source = userdata;
    enum pin_source_state before = source->state;

    (void)child;
    (void)info;
    source->pid = 0;
    child_log_drain(source->log);
    if (pin_source_is_released(source)) {
        (void)pin_source_kill(source);
        return 0;
    }
    (void)pin_source_receive(source);
    if (source->state != PIN_SOURCE_FAILED)
        pin_source_set_failed(source, PIN_E_FAILED,
                              before == PIN_SOURCE_ASKING ? "ask-pin ended without an answer"
                                                          : "ask-pin ended");
    pin_source_tell(source, before);
    return 0;
}

static int pin_source_handle_deadline(sd_event_source *timer, uint64_t usec, void *userdata)
{
    struct pin_source *source = userdata;
    enum pin_source_state before = source->state;

    (void)timer;
    (void)usec;
    if (source->pid > 0)
        (void)kill(source->pid, SIGKILL);
    if (pin_source_is_released(source) || source->state != PIN_SOURCE_ASKING)
        return 0;
    pin_source_set_failed(source, PIN_E_TIMEOUT, "no PIN came in time");
    pin_source_tell(source, before);
    return 0;
}

static int pin_source_run(struct pin_source *source, sd_event *event)
{
    static const char *const argv[] = {"ask-pin", NULL};
    _cleanup_close_ int log_fd = -1;
    _cleanup_close_ int own_fd = -1;
    _cleanup_close_ int their_fd = -1;
    int fds[2];

    int r = child_log_new(event, "ask-pin", &source->log, &log_fd);
    if (r)
        return r;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return -errno;
    own_fd = fds[0];
    their_fd = fds[1];
    const struct helper_request request = {
        .helper = "ask-pin", .argv = argv, .fds = {-1, log_fd, log_fd, their_fd}, .fd_count = 4};
    r = helper_process_start(&request, &source->pid);
    if (r)
        return r;
    source->fd = TAKE_FD(own_fd);
    return 0;
}

/* After this the child's event source owns @source. */
static int pin_source_attach(struct pin_source *source, sd_event *event)
{
    int r = sd_event_add_child(event, &source->child, source->pid, WEXITED, pin_source_handle_exit,
                               source);

    if (r < 0) {
        (void)kill(source->pid, SIGKILL);
        return r;
    }
    (void)sd_event_source_set_child_process_own(source->child, true);
    return sd_event_source_set_destroy_callback(source->child, pin_source_destroy);
}

static int pin_source_watch(struct pin_source *source, sd_event *event, uint32_t timeout_ms)
{
    int r = sd_event_add_io(event, &source->io, source->fd, EPOLLIN, pin_source_handle_io, source);

    if (r >= 0)
        r = sd_event_add_time_relative(event, &source->deadline, CLOCK_MONOTONIC,
                                       ((uint64_t)timeout_ms + PIN_SOURCE_SLACK_MS) * 1000u, 0,
                                       pin_source_handle_deadline, source);
    return r < 0 ? r : 0;
}

static int pin_source_ask(struct pin_source *source, const struct pin_ask *ask, int fd)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer packet;

    wire_writer_init(&packet, PIN_PACKET_MAX);
    int r = pin_ask_encode(&packet, ask);
    return r ? r : packet_send(source->fd, &packet, fd);
}

int pin_source_new(sd_event *event, const struct pin_ask *ask, int fd, pin_source_fn changed,
                   void *userdata, struct pin_source **ret_source)
{
    struct pin_source *source = calloc(1, sizeof(*source));

    if (!source)
        return -ENOMEM;
    source->fd = -1;
    list_init(&source->link);
    source->is_prompt = ask->kind == PIN_KIND_PROMPT;
    int r = pin_source_run(source, event);
    if (!r)
        r = pin_source_attach(source, event);
    if (r < 0) {
        sd_event_source_disable_unref(source->child);
        pin_source_destroy(source);
        return r;
    }
    r = pin_source_watch(source, event, ask->timeout_ms);
    if (!r)
        r = pin_source_ask(source, ask, fd);
    if (r) {
        (void)pin_source_kill(source);
        return r;
    }
    source->changed = changed;
    source->userdata = userdata;
    *ret_source = source;
    return 0;
}

int pin_source_give(struct pin_source *source, const struct pin_record *record, int *ret_fd)
{
    static const struct pin_record nothing;
    _cleanup_(cleanup_wire_writer) struct wire_writer packet;
    int fds[2];

    wire_writer_init(&packet, PIN_PACKET_MAX);
    int r = pin_record_encode(&packet, PIN_GIVE, record ? record : &nothing);
    if (r)
        return -ENOMEM;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    _cleanup_close_ int read_fd = fds[0];
    _cleanup_close_ int write_fd = fds[1];
    r = packet_send(source->fd, &packet, write_fd);
    if (r)
        return r;
    *ret_fd = TAKE_FD(read_fd);
    return 0;
}

void pin_source_record(struct pin_source *source, const struct pin_record *record)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer packet;

    wire_writer_init(&packet, PIN_PACKET_MAX);
    /* A process that is gone records nothing: what stands there is that a try was begun. */
    if (source->fd >= 0 && pin_record_encode(&packet, PIN_RECORD, record) == 0)
        (void)!packet_send(source->fd, &packet, -1);
}

enum pin_source_state pin_source_get_state(const struct pin_source *source)
{
    return source->state;
}

enum pin_answer pin_source_get_answer(const struct pin_source *source)
{
    return source->answer;
}

const char *pin_source_text(const struct pin_source *source)
{
    return source->text;
}

const char *pin_source_identity(const struct pin_source *source)
{
    return source->identity;
}
