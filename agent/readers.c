/* SPDX-License-Identifier: Apache-2.0 */
/* The picture of the readers and its helper; see readers.h. */
#include "agent/readers.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "agent/child_log.h"
#include "agent/helper_process.h"
#include "common/clock.h"
#include "common/escape.h"
#include "common/frame.h"
#include "common/log.h"

#define READERS_PACKET_MAX (32u * 1024u) /* of a report; its texts are bounded */
#define READERS_PAUSE_FIRST_MS 250u
#define READERS_PAUSE_MAX_MS 30000u
#define READERS_STABLE_MS 10000u /* a helper that lived so long did not fail at its start */
#define READERS_RESTART_MS 500u  /* not more often than that on demand */
#define READERS_SLOT_LEN 64u     /* of CK_SLOT_INFO.slotDescription */

_Static_assert(READERS_MAX *(PROTOCOL_NAME_MAX + PROTOCOL_TEXT_MAX / 2 + 16) + PROTOCOL_TEXT_MAX +
                       64 <
                   READERS_PACKET_MAX,
               "every report fits");

struct readers {
    sd_event *event;
    readers_changed_fn changed;
    void *userdata;
    bool is_wanted;
    int fd;    /* the helper's socket; -1: there is none */
    pid_t pid; /* 0: none, or adopted */
    sd_event_source *io;
    sd_event_source *child;
    sd_event_source *restart;
    struct child_log *log;
    uint64_t started_ms;
    unsigned int failures; /* in a row */
    uint64_t generation;
    enum reader_service service; /* of the last report; 0: none so far */
    char text[PROTOCOL_TEXT_MAX + 1];
    size_t count;
    struct reader known[READERS_KNOWN_MAX];
};

/* --- what a report changes --- */

bool reader_has_card(const struct reader *reader)
{
    return reader->is_there && reader->state >= READER_STATE_PRESENT &&
           reader->state <= READER_STATE_MUTE;
}

bool reader_is_open(const struct reader *reader)
{
    return reader->is_there &&
           (reader->state == READER_STATE_PRESENT || reader->state == READER_STATE_IN_USE);
}

/* What a card's going and coming does to a reader in generation @now. True when it did. */
static bool reader_note(struct reader *reader, const struct reader *before, uint64_t now)
{
    bool had = reader_has_card(before);
    bool has = reader_has_card(reader);
    bool is_other = reader->counter != before->counter || !reader->is_there;

    if (had && (!has || is_other))
        reader->went = now;
    /* A card that somebody held, or that did not answer, has come for us only now. */
    if (has && (!had || is_other || (reader_is_open(reader) && !reader_is_open(before))))
        reader->came = now;
    return reader->went == now || reader->came == now || reader->state != before->state ||
           reader->is_there != before->is_there || strcmp(reader->users, before->users) != 0;
}

static struct reader *readers_find_name(struct readers *readers, struct wire_span name)
{
    for (size_t i = 0; i < readers->count; i++)
        if (wire_span_is_equal(wire_span_from_text(readers->known[i].name), name))
            return &readers->known[i];
    return NULL;
}

/* Room for one more: of those that have gone, the one that did so first makes place. */
static struct reader *readers_make_room(struct readers *readers)
{
    struct reader *oldest = NULL;

    if (readers->count < READERS_KNOWN_MAX)
        return &readers->known[readers->count++];
    for (size_t i = 0; i < readers->count; i++) {
        struct reader *reader = &readers->known[i];
        if (!reader->is_there && (!oldest || reader->went < oldest->went))
            oldest = reader;
    }
    return oldest;
}

static void readers_copy_text(struct wire_span text, char *copy, size_t size)
{
    size_t len = text.len < size ? text.len : size - 1;

    memcpy(copy, text.data, len);
    copy[len] = '\0';
}

static bool readers_is_named(const struct reader_report *report, const struct reader *reader)
{
    for (size_t i = 0; i < report->reader_count; i++)
        if (wire_span_is_equal(wire_span_from_text(reader->name), report->readers[i].name))
            return true;
    return false;
}

static bool readers_take_entry(struct readers *readers, const struct reader_entry *entry,
                               uint64_t now)
{
    struct reader *reader = readers_find_name(readers, entry->name);
    struct reader before = {0};

    if (reader) {
        before = *reader;
    } else {
        reader = readers_make_room(readers);
        if (!reader)
            return false;
        *reader = (struct reader){0};
        readers_copy_text(entry->name, reader->name, sizeof(reader->name));
    }
    reader->is_there = true;
    reader->state = entry->state;
    reader->counter = entry->counter;
    readers_copy_text(entry->users, reader->users, sizeof(reader->users));
    return reader_note(reader, &before, now);
}

static bool readers_take_gone(struct reader *reader, uint64_t now)
{
    const struct reader before = *reader;

    reader->is_there = false;
    reader->users[0] = '\0';
    return reader_note(reader, &before, now);
}

static void readers_take_report(struct readers *readers, const struct reader_report *report)
{
    uint64_t now = readers->generation + 1;
    bool has_changed = readers->service != report->service;
    char text[PROTOCOL_TEXT_MAX];

    if (has_changed && report->service != READER_SERVICE_THERE)
        log_warning("no smart card readers: %s", escape_text(report->text, text, sizeof(text)));
    readers->service = report->service;
    readers_copy_text(report->text, readers->text, sizeof(readers->text));
    for (size_t i = 0; i < readers->count; i++)
        if (readers->known[i].is_there && !readers_is_named(report, &readers->known[i]))
            has_changed |= readers_take_gone(&readers->known[i], now);
    for (size_t i = 0; i < report->reader_count; i++)
        has_changed |= readers_take_entry(readers, &report->readers[i], now);
    if (!has_changed)
        return;
    readers->generation = now;
    readers->changed(readers->userdata);
}

/* --- the helper --- */

static void readers_drop_helper(struct readers *readers)
{
    readers->io = sd_event_source_disable_unref(readers->io);
    if (readers->child)
        /* The event source kills and reaps what has not ended by itself. */
        (void)sd_event_source_set_child_process_own(readers->child, true);
    readers->child = sd_event_source_disable_unref(readers->child);
    readers->log = child_log_free(readers->log);
    readers->fd = close_fd(readers->fd);
    readers->pid = 0;
}

static void readers_schedule(struct readers *readers)
{
    bool was_stable = clock_is_over(clock_monotonic_ms(), readers->started_ms, READERS_STABLE_MS);
    uint64_t pause_ms = 0;

    readers->failures = was_stable ? 1 : readers->failures + 1;
    if (readers->failures > 1) {
        unsigned int doublings = readers->failures - 2 > 7 ? 7 : readers->failures - 2;
        pause_ms = (uint64_t)READERS_PAUSE_FIRST_MS << doublings;
        pause_ms = pause_ms > READERS_PAUSE_MAX_MS ? READERS_PAUSE_MAX_MS : pause_ms;
        log_warning("reader-watch failed %u times in a row; next start in %u ms", readers->failures,
                    (unsigned int)pause_ms);
    }
    int r = sd_event_source_set_time_relative(readers->restart, pause_ms * 1000);
    if (r >= 0)
        r = sd_event_source_set_enabled(readers->restart, SD_EVENT_ONESHOT);
    if (r < 0)
        log_error("cannot schedule a start of reader-watch: %s", strerror(-r));
}

/* It ended, or sent what it may not. The picture stays: pcscd's counters tell what was missed. */
static void readers_fail(struct readers *readers)
{
    readers_drop_helper(readers);
    if (readers->is_wanted)
        readers_schedule(readers);
}

/* One packet. False when the helper is no longer of use. */
static bool readers_receive(struct readers *readers, bool *ret_got)
{
    static uint8_t packet[READERS_PACKET_MAX + 1];
    static struct reader_report report;
    struct frame frame;

    *ret_got = false;
    ssize_t len = recv(readers->fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (len <= 0)
        return false;
    if ((size_t)len > READERS_PACKET_MAX ||
        frame_parse((struct wire_span){packet, (size_t)len}, &frame) ||
        frame.type != READER_REPORT || reader_report_parse(frame.body, &report)) {
        log_error("reader-watch: ended, because it sent a message that is malformed");
        return false;
    }
    *ret_got = true;
    readers_take_report(readers, &report);
    return true;
}

static int readers_handle_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct readers *readers = userdata;
    bool has_more = false;

    (void)source;
    (void)fd;
    (void)events;
    if (!readers_receive(readers, &has_more))
        readers_fail(readers);
    return 0;
}

static int readers_handle_exit(sd_event_source *source, const siginfo_t *info, void *userdata)
{
    struct readers *readers = userdata;
    bool got = true;

    (void)source;
    readers->child = sd_event_source_disable_unref(readers->child);
    readers->pid = 0;
    while (readers->io && got && readers_receive(readers, &got))
        continue;
    child_log_drain(readers->log);
    if (info->si_code == CLD_EXITED)
        log_error("reader-watch pid %d ended with status %d", (int)info->si_pid, info->si_status);
    else
        log_error("reader-watch pid %d was ended by signal %d", (int)info->si_pid, info->si_status);
    readers_fail(readers);
    return 0;
}

int readers_adopt(struct readers *readers, int fd)
{
    readers_drop_helper(readers);
    readers->is_wanted = true;
    readers->fd = fd;
    readers->started_ms = clock_monotonic_ms();
    int r = sd_event_add_io(readers->event, &readers->io, fd, EPOLLIN, readers_handle_io, readers);
    return r < 0 ? r : 0;
}

static int readers_run(struct readers *readers, int helper_fd)
{
    static const char *const argv[] = {"reader-watch", NULL};
    _cleanup_close_ int log_fd = -1;

    int r = child_log_new(readers->event, "reader-watch", &readers->log, &log_fd);
    if (r)
        return r;
    const struct helper_request request = {
        .helper = "reader-watch",
        .argv = argv,
        .fds = {-1, log_fd, log_fd, helper_fd},
        .fd_count = 4,
    };
    r = helper_process_start(&request, &readers->pid);
    if (r)
        return r;
    r = sd_event_add_child(readers->event, &readers->child, readers->pid, WEXITED,
                           readers_handle_exit, readers);
    if (r < 0) {
        (void)kill(readers->pid, SIGKILL);
        return r;
    }
    return 0;
}

static void readers_start(struct readers *readers)
{
    _cleanup_close_ int helper_fd = -1;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
        log_error("cannot start reader-watch: %s", strerror(errno));
        readers_schedule(readers);
        return;
    }
    helper_fd = fds[1];
    int r = readers_adopt(readers, fds[0]);
    if (!r)
        r = readers_run(readers, helper_fd);
    if (!r)
        return;
    log_error("cannot start reader-watch: %s", strerror(-r));
    readers_fail(readers);
}

static int readers_handle_restart(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct readers *readers = userdata;

    (void)source;
    (void)usec;
    if (readers->fd < 0)
        readers_start(readers);
    return 0;
}

void readers_want(struct readers *readers)
{
    if (readers->is_wanted)
        return;
    readers->is_wanted = true;
    readers_start(readers);
}

void readers_restart(struct readers *readers)
{
    bool is_fresh = !clock_is_over(clock_monotonic_ms(), readers->started_ms, READERS_RESTART_MS);

    /* One that we did not start cannot be replaced; one that waits for its turn comes anyway. */
    if (!readers->is_wanted || readers->pid == 0 || is_fresh)
        return;
    readers_drop_helper(readers);
    readers_start(readers);
}

/* --- what others ask --- */

uint64_t readers_generation(const struct readers *readers)
{
    return readers->generation;
}

bool readers_are_followed(const struct readers *readers)
{
    return readers->service == READER_SERVICE_THERE;
}

const char *readers_text(const struct readers *readers)
{
    return readers->text;
}

const struct reader *readers_get(const struct readers *readers, size_t i)
{
    return i < readers->count ? &readers->known[i] : NULL;
}

/* The description of a slot is padded with blanks, which were cut off, also from within a name. */
static bool reader_is_of_slot(const struct reader *reader, struct wire_span slot)
{
    struct wire_span name = wire_span_from_text(reader->name);

    if (wire_span_is_equal(name, slot))
        return true;
    if (name.len < READERS_SLOT_LEN || slot.len == 0)
        return false;
    name.len = READERS_SLOT_LEN;
    while (name.len > 0 && name.data[name.len - 1] == ' ')
        name.len--;
    return wire_span_is_equal(name, slot);
}

const struct reader *readers_find(const struct readers *readers, struct wire_span slot)
{
    const struct reader *gone = NULL;

    for (size_t i = 0; i < readers->count; i++) {
        const struct reader *reader = &readers->known[i];
        if (!reader_is_of_slot(reader, slot))
            continue;
        if (reader->is_there)
            return reader;
        gone = reader;
    }
    return gone;
}

int readers_new(sd_event *event, readers_changed_fn changed, void *userdata,
                struct readers **ret_readers)
{
    _cleanup_(cleanup_readers) struct readers *readers = calloc(1, sizeof(*readers));

    if (!readers)
        return -ENOMEM;
    readers->event = event;
    readers->changed = changed;
    readers->userdata = userdata;
    readers->fd = -1;
    int r = sd_event_add_time(event, &readers->restart, CLOCK_MONOTONIC, UINT64_MAX, 0,
                              readers_handle_restart, readers);
    if (r >= 0)
        r = sd_event_source_set_enabled(readers->restart, SD_EVENT_OFF);
    if (r < 0)
        return r;
    *ret_readers = TAKE_PTR(readers);
    return 0;
}

struct readers *readers_free(struct readers *readers)
{
    if (!readers)
        return NULL;
    readers->is_wanted = false;
    readers_drop_helper(readers);
    sd_event_source_disable_unref(readers->restart);
    free(readers);
    return NULL;
}
