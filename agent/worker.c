/* SPDX-License-Identifier: Apache-2.0 */
/* A token worker from the core's side; see worker.h. */
#include "agent/worker.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "agent/child_log.h"
#include "agent/helper_process.h"
#include "agent/packet.h"
#include "agent/sign_request.h"
#include "common/clock.h"
#include "common/frame.h"
#include "common/log.h"
#include "common/lookout.h"

/* Room for a window of ordinary requests and one of the largest size. */
#define WORKER_SOCKET_BUFFER (2 * WIRE_FRAME_MAX)
#define WORKER_PACKETS_PER_EVENT 32
#define WORKER_PACKETS_AT_END 4096 /* more than its socket holds */
/* Signatures that take less than this are handed over several at a time: the worker then goes from
 * one to the next without waking us. Slower ones go one per thread, so that no client's request is
 * more than one signature away from its turn. */
#define WORKER_FAST_US 2000u
#define WORKER_FAST_DEPTH 4u

_Static_assert(WORKER_THREADS_MAX *WORKER_FAST_DEPTH <= WORKER_WINDOW_MAX, "the window fits");

/* One packet at a time is built and one is read: the core has a single thread. */
static uint8_t worker_receive_buffer[WORKER_PACKET_MAX + 1];

void worker_set_state(struct worker *worker, enum worker_state state)
{
    worker->state = state;
    worker->state_since_ms = clock_monotonic_ms();
    if (state == WORKER_STATE_READY)
        worker->ready_since_ms = worker->state_since_ms;
}

struct worker *worker_free(struct worker *worker)
{
    if (!worker)
        return NULL;
    list_remove(&worker->link);
    sd_event_source_disable_unref(worker->io);
    if (worker->child) {
        (void)sd_event_source_set_child_process_own(worker->child, true);
        sd_event_source_disable_unref(worker->child);
    }
    (void)child_log_free(worker->log);
    if (worker->ledger)
        (void)munmap(worker->ledger, sizeof(*worker->ledger));
    (void)close_fd(worker->fd);
    (void)inventory_unref(worker->inventory);
    (void)inventory_unref(worker->collecting);
    free(worker->name);
    free(worker);
    return NULL;
}

void worker_kill(struct worker *worker, enum worker_end end)
{
    if (worker->state != WORKER_STATE_ENDING) {
        worker->end = end;
        worker_set_state(worker, WORKER_STATE_ENDING);
    }
    if (worker->pid > 0)
        (void)kill(worker->pid, SIGKILL);
    else
        (void)shutdown(worker->fd, SHUT_RDWR);
}

void worker_dismiss(struct worker *worker)
{
    if (worker->state == WORKER_STATE_ENDING)
        return;
    worker->end = WORKER_END_RETIRED;
    worker_set_state(worker, WORKER_STATE_ENDING);
    (void)shutdown(worker->fd, worker->pid > 0 ? SHUT_WR : SHUT_RDWR);
}

static void worker_invalid(struct worker *worker, const char *what)
{
    if (worker->state != WORKER_STATE_ENDING)
        log_error("%s: ended, because it sent %s", worker->name, what);
    worker_kill(worker, WORKER_END_INVALID);
}

static int worker_handle_token(struct worker *worker, struct wire_span body)
{
    if (!worker->collecting)
        worker->collecting = inventory_new();
    return worker->collecting ? inventory_add_token(worker->collecting, body) : -ENOMEM;
}

static int worker_handle_key(struct worker *worker, struct wire_span body)
{
    if (!worker->collecting)
        worker->collecting = inventory_new();
    return worker->collecting ? inventory_add_key(worker->collecting, body) : -ENOMEM;
}

static bool worker_has_hardware(const struct worker *worker)
{
    for (size_t i = 0; i < worker->inventory->token_count; i++)
        if (worker->inventory->tokens[i].info.flags & WORKER_TOKEN_HARDWARE)
            return true;
    return false;
}

static int worker_handle_inventory(struct worker *worker, struct wire_span body)
{
    struct worker_inventory counts;

    int r = worker_inventory_parse(body, &counts);
    if (r)
        return r;
    if (!worker->collecting)
        worker->collecting = inventory_new();
    if (!worker->collecting)
        return -ENOMEM;
    if (counts.token_count != worker->collecting->token_count ||
        counts.key_count != worker->collecting->key_count)
        return WIRE_E_MALFORMED;
    r = inventory_finish(worker->collecting);
    if (r)
        return r;
    worker->collecting->uses_pcsc = counts.uses_pcsc;
    (void)inventory_unref(worker->inventory);
    worker->inventory = TAKE_PTR(worker->collecting);
    worker->serves_hardware = worker_has_hardware(worker);
    /* the worker's own rule (struct worker_load): several for hardware, one for software */
    worker->threads = worker->serves_hardware ? worker->hardware_threads : 1;
    worker->look_since_ms = 0;
    worker->callbacks->inventory(worker, worker->userdata);
    return 0;
}

static int worker_handle_login_reply(struct worker *worker, struct wire_span body)
{
    struct worker_reply reply;

    int r = worker_reply_parse(body, &reply);
    if (r)
        return r;
    if (!worker->login_is_pending || reply.seq != worker->login_seq)
        return WIRE_E_MALFORMED;
    worker->login_is_pending = false;
    worker->callbacks->login_reply(worker, &reply, worker->userdata);
    return 0;
}

static void worker_note_service(struct worker *worker, uint64_t taken_us)
{
    uint32_t us = taken_us > UINT32_MAX ? UINT32_MAX : (uint32_t)taken_us;

    /* An eighth of the new value each time; the first one counts whole. */
    worker->service_us =
        worker->has_signed ? worker->service_us - worker->service_us / 8 + us / 8 : us;
    worker->has_signed = true;
}

uint64_t worker_began_us(const struct worker *worker, size_t slot)
{
    uint64_t sent_us = worker->slots[slot].sent_us;

    return sent_us > worker->replied_us ? sent_us : worker->replied_us;
}

static int worker_handle_sign_reply(struct worker *worker, struct wire_span body)
{
    struct worker_reply reply;

    int r = worker_reply_parse(body, &reply);
    if (r)
        return r;
    uint32_t slot = reply.seq & (WORKER_WINDOW_MAX - 1);
    struct sign_request *request = worker->slots[slot].request;
    if (!request || worker->slots[slot].seq != reply.seq)
        return WIRE_E_MALFORMED;
    uint64_t now_us = clock_monotonic_us();
    /* With several in the worker's queue the time since sending is not that of one signature. */
    if (reply.result == WORKER_OK)
        worker_note_service(worker,
                            (now_us - worker->slots[slot].sent_us) /
                                ((worker->in_flight + worker->threads - 1) / worker->threads));
    worker->taken_us = now_us - worker_began_us(worker, slot);
    worker->replied_us = now_us;
    worker->slots[slot].request = NULL;
    worker->in_flight--;
    atomic_store_explicit(&worker->ledger->slots[slot], WORKER_SLOT_FREE, memory_order_relaxed);
    worker->callbacks->sign_reply(worker, request, &reply, worker->userdata);
    return 0;
}

static int worker_handle_failure(struct worker *worker, struct wire_span body)
{
    struct worker_failure failure;

    int r = worker_failure_parse(body, &failure);
    if (r)
        return r;
    worker->callbacks->failure(worker, &failure, worker->userdata);
    return 0;
}

static int worker_handle_module(struct worker *worker, struct wire_span body)
{
    struct worker_module module;

    int r = worker_module_parse(body, &module);
    if (r)
        return r;
    worker->callbacks->module(worker, &module, worker->userdata);
    return 0;
}

static int worker_handle_discover_end(struct worker *worker, struct wire_span body)
{
    if (body.len > 0)
        return WIRE_E_MALFORMED;
    worker->callbacks->discover_end(worker, worker->userdata);
    return 0;
}

static const struct worker_row {
    uint8_t type;
    int (*handle)(struct worker *worker, struct wire_span body);
} worker_rows[] = {
    {WORKER_SIGN_REPLY, worker_handle_sign_reply},
    {WORKER_TOKEN, worker_handle_token},
    {WORKER_KEY, worker_handle_key},
    {WORKER_INVENTORY, worker_handle_inventory},
    {WORKER_LOGIN_REPLY, worker_handle_login_reply},
    {WORKER_FAILURE, worker_handle_failure},
    {WORKER_MODULE, worker_handle_module},
    {WORKER_DISCOVER_END, worker_handle_discover_end},
};

static void worker_handle_packet(struct worker *worker, struct wire_span packet)
{
    struct frame frame;

    if (frame_parse(packet, &frame)) {
        worker_invalid(worker, "a packet that is not one frame");
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(worker_rows); i++) {
        if (worker_rows[i].type != frame.type)
            continue;
        int r = worker_rows[i].handle(worker, frame.body);
        if (r == -ENOMEM)
            worker_invalid(worker, "more than there is memory for");
        else if (r)
            worker_invalid(worker, "a message that is malformed or not expected");
        return;
    }
    worker_invalid(worker, "a message of an unknown type");
}

/* One packet. 1: handled, 0: none is there, -1: the other end is gone. */
static int worker_receive(struct worker *worker)
{
    ssize_t len = recv(worker->fd, worker_receive_buffer, sizeof(worker_receive_buffer),
                       MSG_DONTWAIT | MSG_TRUNC);

    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (len <= 0)
        return -1;
    if ((size_t)len > WORKER_PACKET_MAX)
        worker_invalid(worker, "a packet that is too large");
    else
        worker_handle_packet(worker, (struct wire_span){worker_receive_buffer, (size_t)len});
    return 1;
}

static void worker_finish(struct worker *worker)
{
    enum worker_end end = worker->state == WORKER_STATE_ENDING ? worker->end : WORKER_END_CRASH;

    worker_set_state(worker, WORKER_STATE_ENDING);
    worker->callbacks->ended(worker, end, worker->userdata);
}

static int worker_handle_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct worker *worker = userdata;
    int got = 1;

    (void)source;
    (void)fd;
    (void)events;
    for (int i = 0; i < WORKER_PACKETS_PER_EVENT && got > 0; i++) {
        got = worker_receive(worker);
        /* With nothing out there is nothing to come: saves one call per signature. */
        if (worker->in_flight == 0 && worker->state == WORKER_STATE_READY)
            break;
    }
    if (got >= 0)
        return 0;
    worker->io = sd_event_source_disable_unref(worker->io);
    if (worker->pid > 0)
        (void)kill(worker->pid, SIGKILL); /* a worker without its socket is of no use */
    else
        worker_finish(worker);
    return 0;
}

static void worker_log_exit(const struct worker *worker, const siginfo_t *info)
{
    bool is_ours = worker->state == WORKER_STATE_ENDING;

    if (is_ours)
        log_debug("%s: pid %d ended", worker->name, (int)worker->pid);
    else if (info->si_code == CLD_EXITED)
        log_error("%s: pid %d ended with status %d", worker->name, (int)worker->pid,
                  info->si_status);
    else
        log_error("%s: pid %d was ended by signal %d (%s)", worker->name, (int)worker->pid,
                  info->si_status, strsignal(info->si_status));
}

static int worker_handle_exit(sd_event_source *source, const siginfo_t *info, void *userdata)
{
    struct worker *worker = userdata;

    (void)source;
    /* What it sent before its end still counts; but a child of its own may go on sending. */
    for (int i = 0; i < WORKER_PACKETS_AT_END && worker->io && worker_receive(worker) > 0; i++)
        continue;
    if (worker->log)
        child_log_drain(worker->log);
    worker_log_exit(worker, info);
    worker->child = sd_event_source_disable_unref(worker->child);
    worker->pid = 0;
    worker_finish(worker);
    return 0;
}

static int worker_set_buffers(int fd)
{
    int size = WORKER_SOCKET_BUFFER;

    /* Forced where we may; else as much as the system allows, which the default limits suffice for.
     */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0)
        return -errno;
    return 0;
}

static int worker_map_ledger(int fd, struct worker_ledger **ret_ledger)
{
    void *map = mmap(NULL, sizeof(struct worker_ledger), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED)
        return -errno;
    *ret_ledger = map;
    return 0;
}

static int worker_make_ledger(int *ret_fd)
{
    _cleanup_close_ int fd = memfd_create("mtls-agent-ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, sizeof(struct worker_ledger)) < 0)
        return -errno;
    /* A worker that could shrink it could make our reads fault. */
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int worker_new(sd_event *event, const char *name, int fd, int ledger_fd,
                      const struct worker_callbacks *callbacks, void *userdata,
                      struct worker **ret_worker)
{
    _cleanup_close_ int owned_fd = fd;
    _cleanup_(cleanup_worker) struct worker *worker = calloc(1, sizeof(*worker));

    if (!worker)
        return -ENOMEM;
    list_init(&worker->link);
    worker->event = event;
    worker->callbacks = callbacks;
    worker->userdata = userdata;
    worker->threads = 1;
    worker->hardware_threads = 1;
    worker->fd = TAKE_FD(owned_fd);
    worker_set_state(worker, WORKER_STATE_LOADING);
    worker->name = strdup(name);
    if (!worker->name)
        return -ENOMEM;
    int r = worker_map_ledger(ledger_fd, &worker->ledger);
    if (!r)
        r = worker_set_buffers(worker->fd);
    if (r)
        return r;
    r = sd_event_add_io(event, &worker->io, worker->fd, EPOLLIN, worker_handle_io, worker);
    if (r < 0)
        return r;
    *ret_worker = TAKE_PTR(worker);
    return 0;
}

int worker_adopt(sd_event *event, const char *name, int fd,
                 const struct worker_callbacks *callbacks, void *userdata,
                 struct worker **ret_worker)
{
    _cleanup_close_ int owned_fd = fd;
    _cleanup_close_ int ledger_fd = -1;

    int r = worker_make_ledger(&ledger_fd);
    if (r)
        return r;
    return worker_new(event, name, TAKE_FD(owned_fd), ledger_fd, callbacks, userdata, ret_worker);
}

/* Runs the program with its end of the socket and the ledger. */
static int worker_run(struct worker *worker, int worker_fd, int ledger_fd, char *const *environment)
{
    static const char *const argv[] = {"token-worker", NULL};
    _cleanup_close_ int log_fd = -1;

    int r = child_log_new(worker->event, worker->name, &worker->log, &log_fd);
    if (r)
        return r;
    const struct helper_request request = {
        .helper = "token-worker",
        .argv = argv,
        .fds = {-1, log_fd, log_fd, worker_fd, ledger_fd},
        .fd_count = 5,
        .environment = environment,
    };
    r = helper_process_start(&request, &worker->pid);
    if (r)
        return r;
    r = sd_event_add_child(worker->event, &worker->child, worker->pid, WEXITED, worker_handle_exit,
                           worker);
    if (r < 0) {
        (void)kill(worker->pid, SIGKILL);
        return r;
    }
    return 0;
}

int worker_spawn(sd_event *event, const char *name, char *const *environment,
                 const struct worker_callbacks *callbacks, void *userdata,
                 struct worker **ret_worker)
{
    _cleanup_(cleanup_worker) struct worker *worker = NULL;
    _cleanup_close_ int own_fd = -1;
    _cleanup_close_ int worker_fd = -1;
    _cleanup_close_ int ledger_fd = -1;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    own_fd = fds[0];
    worker_fd = fds[1];
    int r = worker_set_buffers(worker_fd);
    if (!r)
        r = worker_make_ledger(&ledger_fd);
    if (!r)
        r = worker_new(event, name, TAKE_FD(own_fd), ledger_fd, callbacks, userdata, &worker);
    if (!r)
        r = worker_run(worker, worker_fd, ledger_fd, environment);
    if (r)
        return r;
    *ret_worker = TAKE_PTR(worker);
    return 0;
}

bool worker_answers_soon(const struct worker *worker)
{
    return worker->in_flight == 1 && worker->has_signed && worker->service_us < LOOKOUT_SOON_US;
}

bool worker_has_room(const struct worker *worker)
{
    bool is_fast = worker->has_signed && worker->service_us < WORKER_FAST_US;

    return worker->state == WORKER_STATE_READY &&
           worker->in_flight < (size_t)worker->threads * (is_fast ? WORKER_FAST_DEPTH : 1);
}

const struct inventory_key *worker_get_usable_key(const struct worker *worker,
                                                  const uint8_t hash[static PROTOCOL_KEY_HASH_LEN])
{
    const struct inventory_key *key =
        worker->inventory ? inventory_find_key(worker->inventory, hash) : NULL;

    return key && key->info.usable ? key : NULL;
}

size_t worker_get_token_load(const struct worker *worker, uint32_t token)
{
    size_t load = 0;

    for (size_t i = 0; worker->in_flight > 0 && i < WORKER_WINDOW_MAX; i++)
        load += worker->slots[i].request && worker->slots[i].token == token;
    return load;
}

struct sign_request *worker_steal_request(struct worker *worker, bool *ret_was_signing)
{
    for (size_t i = 0; i < WORKER_WINDOW_MAX; i++) {
        struct sign_request *request = worker->slots[i].request;
        if (!request)
            continue;
        uint32_t state = atomic_load_explicit(&worker->ledger->slots[i], memory_order_acquire);
        *ret_was_signing = state != WORKER_SLOT_QUEUED;
        worker->slots[i].request = NULL;
        worker->in_flight--;
        return request;
    }
    return NULL;
}

struct sign_request *worker_get_signing(const struct worker *worker, uint64_t *ret_since_us)
{
    const uint64_t none = UINT64_MAX;
    uint64_t oldest_us = none;
    size_t found = 0;

    for (size_t i = 0; worker->in_flight > 0 && i < WORKER_WINDOW_MAX; i++) {
        if (!worker->slots[i].request || worker->slots[i].sent_us >= oldest_us ||
            atomic_load_explicit(&worker->ledger->slots[i], memory_order_acquire) !=
                WORKER_SLOT_SIGNING)
            continue;
        oldest_us = worker->slots[i].sent_us;
        found = i;
    }
    if (oldest_us == none)
        return NULL;
    *ret_since_us = worker_began_us(worker, found);
    return worker->slots[found].request;
}
