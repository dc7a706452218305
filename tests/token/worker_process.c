/* SPDX-License-Identifier: Apache-2.0 */
/* The core's side of one worker, for tests; see worker_process.h. */
#include "worker_process.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/paths.h"

#define PATIENCE_MS 20000
#define PACKET_MAX (WIRE_HEADER_LEN + WIRE_FRAME_MAX)

static void exec_worker(int socket_fd, int ledger_fd, int stderr_fd, const char *const *env)
{
    _cleanup_free_ char *path = NULL;

    if (paths_helper("token-worker", &path))
        _exit(126);
    /* First out of the way of 3 and 4, as any of them may be one of those. */
    int sock = fcntl(socket_fd, F_DUPFD, 10);
    int ledger = fcntl(ledger_fd, F_DUPFD, 10);
    (void)dup2(stderr_fd, STDERR_FILENO);
    (void)dup2(sock, WORKER_FD_SOCKET);
    (void)dup2(ledger, WORKER_FD_LEDGER);
    (void)execle(path, "token-worker", (char *)NULL, env);
    _exit(127);
}

void worker_process_start(struct worker_process *worker, const char *const *env)
{
    int sockets[2];
    int errors[2];
    int size = 2 * (int)PACKET_MAX;

    *worker = (struct worker_process){.fd = -1};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    assert_int_equal(pipe2(errors, O_CLOEXEC), 0);
    assert_int_equal(setsockopt(sockets[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    int ledger = memfd_create("ledger", MFD_CLOEXEC);
    assert_int_equal(ftruncate(ledger, sizeof(struct worker_ledger)), 0);
    worker->ledger =
        mmap(NULL, sizeof(struct worker_ledger), PROT_READ | PROT_WRITE, MAP_SHARED, ledger, 0);
    assert_ptr_not_equal(worker->ledger, MAP_FAILED);
    worker->packet = malloc(PACKET_MAX);
    assert_non_null(worker->packet);

    worker->pid = fork();
    assert_true(worker->pid >= 0);
    if (worker->pid == 0)
        exec_worker(sockets[1], ledger, errors[1], env);
    (void)close_fd(sockets[1]);
    (void)close_fd(errors[1]);
    (void)close_fd(ledger);
    worker->fd = sockets[0];
    worker->stderr_fd = errors[0];
}

static void forget_inventory(struct worker_process *worker)
{
    for (size_t i = 0; i < worker->kept_count; i++)
        free(worker->kept[i]);
    worker->kept_count = 0;
    worker->token_count = 0;
    worker->key_count = 0;
}

int worker_process_wait(struct worker_process *worker)
{
    int status = -1;

    if (worker->pid <= 0)
        return -1;
    _cleanup_close_ int pidfd = pidfd_open(worker->pid, 0);
    struct pollfd pollfd = {.fd = pidfd, .events = POLLIN};
    bool ended = pidfd >= 0 && poll(&pollfd, 1, PATIENCE_MS) == 1;
    if (!ended)
        (void)kill(worker->pid, SIGKILL);
    (void)waitpid(worker->pid, &status, 0);
    worker->pid = 0;
    return ended ? status : -1;
}

int worker_process_stop(struct worker_process *worker)
{
    worker->fd = close_fd(worker->fd);
    int status = worker_process_wait(worker);
    worker->stderr_fd = close_fd(worker->stderr_fd);
    if (worker->ledger)
        (void)munmap(worker->ledger, sizeof(struct worker_ledger));
    worker->ledger = NULL;
    forget_inventory(worker);
    free(worker->packet);
    worker->packet = NULL;
    return status;
}

void worker_process_send(struct worker_process *worker, const struct wire_writer *writer,
                         int pass_fd)
{
    union {
        struct cmsghdr align;
        char data[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {writer->data, writer->len};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};

    if (pass_fd >= 0) {
        header.msg_control = control.data;
        header.msg_controllen = sizeof(control.data);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &pass_fd, sizeof(int));
    }
    assert_int_equal(sendmsg(worker->fd, &header, MSG_NOSIGNAL), writer->len);
}

bool worker_process_receive(struct worker_process *worker)
{
    struct pollfd pollfd = {.fd = worker->fd, .events = POLLIN};

    if (poll(&pollfd, 1, PATIENCE_MS) != 1)
        fail_msg("no packet from the worker; it said: %s", worker_process_stderr(worker));
    ssize_t got = recv(worker->fd, worker->packet, PACKET_MAX, 0);
    if (got <= 0)
        return false;
    assert_int_equal(frame_parse((struct wire_span){worker->packet, (size_t)got}, &worker->frame),
                     0);
    return true;
}

void worker_process_load(struct worker_process *worker, const struct worker_load *load)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer;

    wire_writer_init(&writer, PACKET_MAX);
    assert_int_equal(worker_load_encode(&writer, load), 0);
    worker_process_send(worker, &writer, -1);
}

/* The packet stays as it is; a new buffer takes its place. */
static struct wire_span keep_body(struct worker_process *worker)
{
    uint8_t *copy = malloc(worker->frame.body.len + 1);

    assert_non_null(copy);
    assert_true(worker->kept_count < sizeof(worker->kept) / sizeof(worker->kept[0]));
    memcpy(copy, worker->frame.body.data, worker->frame.body.len);
    worker->kept[worker->kept_count++] = copy;
    return (struct wire_span){copy, worker->frame.body.len};
}

/* Takes the packet as part of an inventory; true when it ends one. */
static bool take_inventory(struct worker_process *worker)
{
    struct worker_inventory end;

    switch (worker->frame.type) {
    case WORKER_TOKEN:
        assert_true(worker->token_count < sizeof(worker->tokens) / sizeof(worker->tokens[0]));
        assert_int_equal(
            worker_token_parse(keep_body(worker), &worker->tokens[worker->token_count++]), 0);
        return false;
    case WORKER_KEY:
        assert_true(worker->key_count < WORKER_PROCESS_KEYS_MAX);
        assert_int_equal(worker_key_parse(keep_body(worker), &worker->keys[worker->key_count++]),
                         0);
        return false;
    case WORKER_INVENTORY:
        assert_int_equal(worker_inventory_parse(worker->frame.body, &end), 0);
        assert_int_equal(end.token_count, worker->token_count);
        assert_int_equal(end.key_count, worker->key_count);
        return true;
    default:
        fail_msg("message %u in the middle of an inventory", worker->frame.type);
        return false;
    }
}

void worker_process_read_inventory(struct worker_process *worker)
{
    forget_inventory(worker);
    do {
        if (!worker_process_receive(worker))
            fail_msg("the worker ended; it said: %s", worker_process_stderr(worker));
    } while (!take_inventory(worker));
}

const struct worker_reply *worker_process_read_reply(struct worker_process *worker, uint8_t type)
{
    if (!worker_process_receive(worker))
        fail_msg("the worker ended; it said: %s", worker_process_stderr(worker));
    if (worker->frame.type == WORKER_TOKEN || worker->frame.type == WORKER_INVENTORY) {
        forget_inventory(worker);
        while (!take_inventory(worker))
            assert_true(worker_process_receive(worker));
        assert_true(worker_process_receive(worker));
    }
    assert_int_equal(worker->frame.type, type);
    assert_int_equal(worker_reply_parse(worker->frame.body, &worker->reply), 0);
    return &worker->reply;
}

/* The read end of a pipe that holds the PIN and a line end. */
static int pin_pipe(const char *pin)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(dprintf(fds[1], "%s\n", pin), strlen(pin) + 1);
    (void)close_fd(fds[1]);
    return fds[0];
}

const struct worker_reply *worker_process_login(struct worker_process *worker, uint32_t token,
                                                const char *pin, bool person)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer;
    _cleanup_close_ int fd = pin_pipe(pin);
    const struct worker_login msg = {
        .seq = ++worker->seq,
        .token = token,
        .tries = person ? WORKER_TRIES_ALL : WORKER_TRIES_SAFE,
        .timeout_ms = PATIENCE_MS,
    };

    wire_writer_init(&writer, PACKET_MAX);
    assert_int_equal(worker_login_encode(&writer, &msg), 0);
    worker_process_send(worker, &writer, fd);
    const struct worker_reply *reply = worker_process_read_reply(worker, WORKER_LOGIN_REPLY);
    assert_int_equal(reply->seq, msg.seq);
    return reply;
}

const struct worker_reply *worker_process_logout(struct worker_process *worker, uint32_t token)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer;
    const struct worker_logout msg = {++worker->seq, token};

    wire_writer_init(&writer, PACKET_MAX);
    assert_int_equal(worker_logout_encode(&writer, &msg), 0);
    worker_process_send(worker, &writer, -1);
    const struct worker_reply *reply = worker_process_read_reply(worker, WORKER_LOGIN_REPLY);
    assert_int_equal(reply->seq, msg.seq);
    return reply;
}

uint32_t worker_process_send_sign(struct worker_process *worker, uint32_t slot, uint32_t key,
                                  uint32_t scheme, struct wire_span data, const char *pin)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer;
    _cleanup_close_ int fd = pin ? pin_pipe(pin) : -1;
    const struct worker_sign msg = {
        .seq = ++worker->seq, .slot = slot, .key = key, .scheme = scheme, .data = data};

    wire_writer_init(&writer, PACKET_MAX);
    assert_int_equal(worker_sign_encode(&writer, &msg), 0);
    atomic_store(&worker->ledger->slots[slot], WORKER_SLOT_QUEUED);
    worker_process_send(worker, &writer, fd);
    return msg.seq;
}

const struct worker_reply *worker_process_sign(struct worker_process *worker, uint32_t key,
                                               uint32_t scheme, struct wire_span data,
                                               const char *pin)
{
    uint32_t seq = worker_process_send_sign(worker, 0, key, scheme, data, pin);
    const struct worker_reply *reply = worker_process_read_reply(worker, WORKER_SIGN_REPLY);

    assert_int_equal(reply->seq, seq);
    return reply;
}

const struct worker_key *worker_process_find_key(const struct worker_process *worker,
                                                 const char *label)
{
    for (size_t i = 0; i < worker->key_count; i++)
        if (wire_span_is_equal(worker->keys[i].label, wire_span_from_text(label)))
            return &worker->keys[i];
    return NULL;
}

const char *worker_process_stderr(struct worker_process *worker)
{
    size_t len = strlen(worker->stderr_text);
    struct pollfd pollfd = {.fd = worker->stderr_fd, .events = POLLIN};

    while (len + 1 < sizeof(worker->stderr_text) && poll(&pollfd, 1, 0) == 1) {
        ssize_t got = read(worker->stderr_fd, worker->stderr_text + len,
                           sizeof(worker->stderr_text) - 1 - len);
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    worker->stderr_text[len] = '\0';
    return worker->stderr_text;
}
