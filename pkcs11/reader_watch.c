/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader-watch: follows the smart card readers for the core, and is the only process of the agent
 * that talks to pcscd for itself. Started by the core with its end of a socket pair as descriptor
 * 3; it only tells, is asked nothing, and may be killed at any moment.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/harden.h"
#include "common/log.h"
#include "pkcs11/link.h"
#include "pkcs11/reader_watch_pcsc.h"
#include "pkcs11/reader_watch_socket.h"
#include "sandbox/sandbox.h"

#define WATCH_PAUSE_FIRST_MS 20
#define WATCH_PAUSE_MAX_MS 1000         /* pcscd is seen again within this */
#define WATCH_PAUSE_REFUSED_MAX_MS 5000 /* nothing tells that a refusal has ended */
/* Old libraries miss a reader that comes just before the wait; nothing else needs a second look. */
#define WATCH_WAIT_FIRST_MS 1000u
#define WATCH_WAIT_MS 60000u
/* pcscd does not tell when a program begins to use a card. */
#define WATCH_WAIT_CARD_MS 10000u
#define WATCH_WAIT_EXCLUSIVE_MS 1000u

struct watch {
    pid_t agent;
    struct wire_writer last; /* the report that the core has */
    int pause_ms;            /* before the next try to connect */
    unsigned int refusals;   /* in a row */
};

/* A core that ended before PR_SET_PDEATHSIG has closed its end. */
static bool watch_is_orphan(void)
{
    struct pollfd item = {.fd = READER_FD_SOCKET};

    return poll(&item, 1, 0) > 0 && (item.revents & (POLLHUP | POLLERR | POLLNVAL));
}

static int watch_prepare(struct watch *watch)
{
    int r = harden_standard_fds();

    log_set_handler(log_to_stderr, LOG_LEVEL_INFO);
    watch->agent = getppid();
    if (r == 0)
        r = harden_process();
    if (r == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        r = -errno;
    if (r == 0 && watch_is_orphan())
        r = -EPIPE;
    if (r == 0 && close_range(READER_FD_SOCKET + 1, ~0u, 0) < 0)
        r = -errno;
    if (r)
        return r;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    wire_writer_init(&watch->last, LINK_PACKET_MAX);
    r = link_init(READER_FD_SOCKET);
    if (r == 0)
        r = sandbox_enter_worker();
    /* the core has said so */
    return r == SANDBOX_E_UNAVAILABLE ? 0 : r;
}

/* Tells the core what it does not know yet. */
static void watch_report(struct watch *watch, const struct reader_report *report)
{
    struct wire_writer writer;

    wire_writer_init(&writer, LINK_PACKET_MAX);
    if (reader_report_encode(&writer, report))
        _exit(1);
    if (writer.len == watch->last.len && memcmp(writer.data, watch->last.data, writer.len) == 0) {
        wire_writer_deinit(&writer);
        return;
    }
    if (link_send(READER_FD_SOCKET, &writer))
        _exit(0);
    wire_writer_deinit(&watch->last);
    watch->last = writer;
}

static enum reader_service watch_classify(LONG rv)
{
    switch (rv) {
    case SCARD_E_NO_SERVICE:
    case SCARD_E_SERVICE_STOPPED:
    case SCARD_F_COMM_ERROR:
    case SCARD_E_INVALID_HANDLE:
        return READER_SERVICE_ABSENT;
    case SCARD_W_SECURITY_VIOLATION:
        return READER_SERVICE_REFUSED;
    default:
        return READER_SERVICE_FAILED;
    }
}

static void watch_report_failure(struct watch *watch, LONG rv)
{
    struct reader_report report = {.service = watch_classify(rv)};
    char text[PROTOCOL_TEXT_MAX];

    /* A connection that ends in the middle of a question looks like a refusal: pcscd that dies. */
    if (report.service == READER_SERVICE_REFUSED && watch->refusals++ == 0)
        report.service = READER_SERVICE_ABSENT;
    if (report.service == READER_SERVICE_ABSENT && !socket_is_there())
        (void)snprintf(text, sizeof(text),
                       "pcscd, which serves smart card readers, is not there (no %s): install it, "
                       "or start pcscd.socket",
                       socket_path());
    else if (report.service == READER_SERVICE_ABSENT)
        (void)snprintf(text, sizeof(text),
                       "pcscd, which serves smart card readers, does not answer at %s: start it",
                       socket_path());
    else if (report.service == READER_SERVICE_REFUSED)
        (void)snprintf(text, sizeof(text),
                       "pcscd refuses this user: polkit allows smart cards to users who sit at the "
                       "machine; allow org.debian.pcsc-lite.access_pcsc and "
                       "org.debian.pcsc-lite.access_card to uid %u in /etc/polkit-1/rules.d",
                       (unsigned int)geteuid());
    else
        (void)snprintf(text, sizeof(text), "pcscd answers: %s", pcsc_stringify_error(rv));
    report.text = wire_span_from_text(text);
    watch_report(watch, &report);
}

static DWORD watch_limit(const struct reader_report *report)
{
    DWORD limit_ms = WATCH_WAIT_MS;

    for (size_t i = 0; i < report->reader_count; i++) {
        /* Requests may wait for the end of that, which pcscd does not always tell. */
        if (report->readers[i].state == READER_STATE_EXCLUSIVE)
            return WATCH_WAIT_EXCLUSIVE_MS;
        if (report->readers[i].state != READER_STATE_EMPTY)
            limit_ms = WATCH_WAIT_CARD_MS;
    }
    return limit_ms;
}

/* Follows the readers as long as pcscd serves us. Return: why it does not any more. */
static LONG watch_follow(struct watch *watch)
{
    struct pcsc pcsc;
    bool is_quiet = false; /* nothing happened the last time */
    LONG rv = pcsc_open(&pcsc);

    if (rv != SCARD_S_SUCCESS)
        return rv;
    watch->refusals = 0;
    while (rv == SCARD_S_SUCCESS && (rv = pcsc_look(&pcsc, watch->agent)) == SCARD_S_SUCCESS) {
        struct reader_report report;
        pcsc_fill_report(&pcsc, &report);
        watch_report(watch, &report);
        watch->pause_ms = WATCH_PAUSE_FIRST_MS;
        rv = pcsc_wait(&pcsc, is_quiet ? watch_limit(&report) : WATCH_WAIT_FIRST_MS);
        is_quiet = rv == SCARD_E_TIMEOUT;
        if (is_quiet)
            rv = SCARD_S_SUCCESS;
    }
    pcsc_close(&pcsc);
    return rv;
}

/* Until it may be worth to try again. @fd, @is_complete: of socket_watch(). */
static void watch_pause(struct watch *watch, enum reader_service service, int fd, bool is_complete)
{
    bool is_absent = service == READER_SERVICE_ABSENT;
    int max_ms = is_absent ? WATCH_PAUSE_MAX_MS : WATCH_PAUSE_REFUSED_MAX_MS;
    /* It has had time to come up since something changed: the next change will tell. */
    bool is_quiet = is_absent && is_complete && watch->pause_ms >= max_ms;

    if (socket_wait(fd, is_quiet ? -1 : watch->pause_ms))
        watch->pause_ms = WATCH_PAUSE_FIRST_MS;
    else
        watch->pause_ms = 2 * watch->pause_ms > max_ms ? max_ms : 2 * watch->pause_ms;
}

_Noreturn static void watch_run(struct watch *watch)
{
    for (;;) {
        bool is_complete = false;
        int fd = socket_watch(&is_complete);
        LONG rv = watch_follow(watch);
        watch_report_failure(watch, rv);
        watch_pause(watch, watch_classify(rv), fd, is_complete);
        (void)close_fd(fd);
    }
}

int main(void)
{
    struct watch watch = {.pause_ms = WATCH_PAUSE_FIRST_MS};
    int r = watch_prepare(&watch);

    if (r) {
        log_error("reader-watch is started by mtls-agent and not by hand: %s", strerror(-r));
        return 2;
    }
    watch_run(&watch);
}
