/* SPDX-License-Identifier: Apache-2.0 */
/* The core between two socket pairs; see fuzz_agent.h. */
#include "fuzz_agent.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "agent/agent_reload.h"
#include "agent/connection.h"
#include "agent/helper_process.h"
#include "agent/readers.h"
#include "agent/worker.h"
#include "common/der_ecdsa.h"
#include "common/paths.h"
#include "fuzz.h"
#include "tests/unit/message_table.h"

#define FUZZ_READER "Reader 00 00"
#define TURNS_MAX 10000 /* a core that is still busy then is in a loop */

/* SubjectPublicKeyInfo of P-256's generator, and of RFC 8032 section 7.1 test 1. */
static const uint8_t spki_ec[] = {
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1,
    0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d,
    0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe,
    0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b,
    0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5};
static const uint8_t spki_ed25519[] = {
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00, 0xd7, 0x5a, 0x98,
    0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1,
    0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a};

static const struct {
    struct wire_span spki;
    enum key_type type;
    uint32_t bits;
    uint32_t scheme;
} keys[FUZZ_KEY_COUNT] = {
    [FUZZ_KEY_EC] = {{spki_ec, sizeof(spki_ec)}, KEY_TYPE_EC, 256, SCHEME_ECDSA_SHA256},
    [FUZZ_KEY_ED25519] = {{spki_ed25519, sizeof(spki_ed25519)},
                          KEY_TYPE_ED25519,
                          255,
                          SCHEME_ED25519},
};

/* Where the wrapped worker_spawn() puts our end: the core asks for a worker when it likes. One that
 * it ended itself takes its login along; after one that died there is a login by a source. */
static struct fuzz_agent *spawning;
static sigset_t signal_mask;

int __wrap_worker_spawn(sd_event *event, const char *name, char *const *environment,
                        const struct worker_callbacks *callbacks, void *userdata,
                        struct worker **ret_worker);
int __wrap_worker_spawn(sd_event *event, const char *name, char *const *environment,
                        const struct worker_callbacks *callbacks, void *userdata,
                        struct worker **ret_worker)
{
    int fds[2];

    (void)environment;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return -errno;
    spawning->is_locked |= spawning->worker >= 0;
    (void)close_fd(spawning->worker);
    spawning->worker = fds[1];
    return worker_adopt(event, name, fds[0], callbacks, userdata, ret_worker);
}

/* No process is started: the fuzzer plays them all. */
int __wrap_helper_process_start(const struct helper_request *request, pid_t *ret_pid);
int __wrap_helper_process_start(const struct helper_request *request, pid_t *ret_pid)
{
    (void)request;
    (void)ret_pid;
    return -ENOENT;
}

/* A configuration file without a place in the file system. */
static const char *config_file(void)
{
    static char path[64];
    char program[512] = {0};

    if (path[0])
        return path;
    int fd = memfd_create("fuzz-config", MFD_CLOEXEC);
    fuzz_check(fd >= 0 && fchmod(fd, 0600) == 0);
    fuzz_check(readlink("/proc/self/exe", program, sizeof(program) - 1) > 0);
    /* Any file will do as module: nothing loads it here. */
    fuzz_check(
        dprintf(fd, "[agent]\naudit = off\n[module fuzz]\npath = %s\nworkers = 1\n", program) > 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return path;
}

/* The core drops a helper that sends what it may not: then there is another one. */
static void start_helper(struct fuzz_agent *fuzz)
{
    char byte = 0;
    int fds[2];

    if (fuzz->helper >= 0 && recv(fuzz->helper, &byte, 1, MSG_DONTWAIT) < 0)
        return;
    (void)close_fd(fuzz->helper);
    fuzz_check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    fuzz->helper = fds[0];
    fuzz_check(readers_adopt(fuzz->agent->readers, fds[1]) == 0);
}

void fuzz_agent_init(struct fuzz_agent *fuzz)
{
    *fuzz = (struct fuzz_agent){.client = -1, .worker = -1, .helper = -1};
    spawning = fuzz;
    for (int i = 0; i < FUZZ_KEY_COUNT; i++)
        (void)SHA256(keys[i].spki.data, keys[i].spki.len, fuzz->key_hash[i]);
    (void)sigprocmask(SIG_SETMASK, NULL, &signal_mask);
    /* No process is started: a PIN goes straight to the worker, and nobody is asked. */
    fuzz_check(setenv(PATHS_LIBEXEC_ENV, "/nonexistent", 1) == 0);
    fuzz_check(agent_new(config_file(), &fuzz->agent) == 0);
    struct config *config = fuzz->agent->config;
    fuzz_check(agent_add_module(fuzz->agent, config, config->modules[0]) == 0);
    fuzz_check(fuzz->worker >= 0);
    start_helper(fuzz);
}

void fuzz_agent_deinit(struct fuzz_agent *fuzz)
{
    fuzz->client = close_fd(fuzz->client);
    fuzz_agent_turn(fuzz);
    fuzz->agent = agent_free(fuzz->agent);
    fuzz->worker = close_fd(fuzz->worker);
    fuzz->helper = close_fd(fuzz->helper);
    frame_buffer_deinit(&fuzz->replies);
    (void)sigprocmask(SIG_SETMASK, &signal_mask, NULL);
}

void fuzz_agent_connect(struct fuzz_agent *fuzz)
{
    int fds[2];

    (void)close_fd(fuzz->client);
    frame_buffer_deinit(&fuzz->replies);
    fuzz->request_count = 0;
    fuzz->reply_count = 0;
    fuzz_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    fuzz->client = fds[0];
    connection_accept(fuzz->agent, fds[1]);
    fuzz_agent_turn(fuzz);
}

void fuzz_agent_say_hello(struct fuzz_agent *fuzz)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
    struct protocol_hello hello = {1, 1, WIRE_SPAN_LITERAL("fuzz")};

    wire_writer_init(&writer, 1000);
    fuzz_check(protocol_hello_encode(&writer, &hello) == 0);
    fuzz_agent_send(fuzz, (struct wire_span){writer.data, writer.len}, false);
    fuzz_agent_turn(fuzz);
}

/* The read end of a pipe that holds a PIN. */
static int make_pin_pipe(void)
{
    int fds[2];

    fuzz_check(pipe2(fds, O_CLOEXEC) == 0);
    fuzz_check(write(fds[1], "1234\n", 5) == 5);
    (void)close_fd(fds[1]);
    return fds[0];
}

void fuzz_agent_send(struct fuzz_agent *fuzz, struct wire_span bytes, bool with_pipe)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {(void *)(uintptr_t)bytes.data, bytes.len};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    _cleanup_close_ int pipe_fd = with_pipe ? make_pin_pipe() : -1;

    if (fuzz->client < 0 || bytes.len == 0)
        return;
    if (with_pipe) {
        message.msg_control = control.space;
        message.msg_controllen = sizeof(control.space);
        control.header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &pipe_fd, sizeof(int));
    }
    /* A frame has five bytes at least: so many answers are allowed in all. */
    fuzz->request_count += 1 + bytes.len / 5;
    (void)sendmsg(fuzz->client, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void fuzz_agent_send_sign(struct fuzz_agent *fuzz, enum fuzz_key key, uint32_t id)
{
    static const uint8_t content[130] =
        "                                                                "
        "TLS 1.3, client CertificateVerify\0"
        "a transcript hash of thirty-two ";
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
    struct protocol_sign sign = {
        .id = id,
        .deadline_ms = 10000,
        .key_hash = {fuzz->key_hash[key], PROTOCOL_KEY_HASH_LEN},
        .scheme = keys[key].scheme,
        .kind = SIGN_KIND_TLS13,
        .content = {content, sizeof(content)},
    };

    wire_writer_init(&writer, 1000);
    fuzz_check(protocol_sign_encode(&writer, &sign) == 0);
    fuzz_agent_send(fuzz, (struct wire_span){writer.data, writer.len}, false);
}

/* Only what has the form of a signature may reach a client, whatever the worker said. */
static void check_signature(struct wire_span body)
{
    struct protocol_sign_reply reply;
    uint8_t raw[DER_ECDSA_RAW_MAX];
    size_t raw_len = 0;

    fuzz_check(protocol_sign_reply_parse(body, &reply) == 0);
    fuzz_check(reply.signature.len == 64 ||
               der_ecdsa_to_raw(256, reply.signature, raw, &raw_len) == 0);
}

static void check_reply(struct fuzz_agent *fuzz, const struct frame *frame)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
    const struct message_row *row =
        message_find(client_messages, client_message_count, frame->type);

    fuzz_check(row && frame->type >= 128);
    wire_writer_init(&writer, 2 * WIRE_FRAME_MAX);
    fuzz_check(row->recode(frame->body, frame->type, &writer) == 0);
    if (frame->type == PROTOCOL_SIGN_REPLY)
        check_signature(frame->body);
    if (frame->type != PROTOCOL_EVENT)
        fuzz->reply_count++;
    fuzz_check(fuzz->reply_count <= fuzz->request_count + 1);
}

/* Takes what the agent sent; true when there was something. */
static bool read_replies(struct fuzz_agent *fuzz)
{
    struct frame frame;
    uint8_t *room = NULL;
    size_t room_len = 0;

    if (fuzz->client < 0)
        return false;
    fuzz_check(frame_buffer_reserve(&fuzz->replies, &room, &room_len) == 0);
    ssize_t got = recv(fuzz->client, room, room_len, MSG_DONTWAIT);
    if (got <= 0)
        return false;
    frame_buffer_commit(&fuzz->replies, (size_t)got);
    int r = frame_buffer_next(&fuzz->replies, &frame);
    for (; r == 0; r = frame_buffer_next(&fuzz->replies, &frame))
        check_reply(fuzz, &frame);
    fuzz_check(r == WIRE_E_MORE);
    return true;
}

void fuzz_worker_send(struct fuzz_agent *fuzz, struct wire_span packet)
{
    if (fuzz->worker >= 0)
        (void)send(fuzz->worker, packet.data, packet.len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void fuzz_worker_close(struct fuzz_agent *fuzz)
{
    fuzz->worker = close_fd(fuzz->worker);
}

/* Sends what @writer holds as one packet and empties it. */
static void flush_packet(struct fuzz_agent *fuzz, struct wire_writer *writer, int r)
{
    fuzz_check(r == 0);
    fuzz_worker_send(fuzz, (struct wire_span){writer->data, writer->len});
    wire_writer_reset(writer);
}

static uint32_t token_flags(const struct fuzz_agent *fuzz)
{
    return WORKER_TOKEN_LOGIN_REQUIRED | (fuzz->is_locked ? 0 : WORKER_TOKEN_LOGGED_IN);
}

void fuzz_helper_send(struct fuzz_agent *fuzz, struct wire_span packet)
{
    start_helper(fuzz);
    (void)send(fuzz->helper, packet.data, packet.len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void fuzz_helper_send_reader(struct fuzz_agent *fuzz, uint8_t state, uint8_t counter)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
    const struct reader_report report = {
        .service = READER_SERVICE_THERE,
        .reader_count = state != 0,
        .readers = {{WIRE_SPAN_LITERAL(FUZZ_READER), (enum reader_state)state, counter, {0}}},
    };

    wire_writer_init(&writer, WIRE_FRAME_MAX);
    fuzz_check(reader_report_encode(&writer, &report) == 0);
    fuzz_helper_send(fuzz, (struct wire_span){writer.data, writer.len});
}

void fuzz_worker_send_inventory(struct fuzz_agent *fuzz, bool uses_pcsc)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
    struct worker_token token = {
        .token = 0,
        .flags = token_flags(fuzz),
        .label = WIRE_SPAN_LITERAL("fuzz"),
        .serial = WIRE_SPAN_LITERAL("1"),
        .slot = wire_span_from_text(uses_pcsc ? FUZZ_READER : ""),
    };
    struct worker_inventory counts = {1, FUZZ_KEY_COUNT, uses_pcsc};

    wire_writer_init(&writer, WIRE_FRAME_MAX);
    flush_packet(fuzz, &writer, worker_token_encode(&writer, &token));
    for (uint32_t i = 0; i < FUZZ_KEY_COUNT; i++) {
        struct worker_key key = {.key = i,
                                 .token = 0,
                                 .type = keys[i].type,
                                 .bits = keys[i].bits,
                                 .usable = !fuzz->is_locked,
                                 .label = WIRE_SPAN_LITERAL("key"),
                                 .spki = keys[i].spki};
        key.scheme_count = scheme_list_for_key(key.type, key.bits, key.schemes);
        flush_packet(fuzz, &writer, worker_key_encode(&writer, &key));
    }
    flush_packet(fuzz, &writer, worker_inventory_encode(&writer, &counts));
}

static void answer_sign(struct fuzz_agent *fuzz, struct wire_span body)
{
    static const uint8_t signature[64] = {0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01};
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
    struct worker_sign sign;

    fuzz_check(worker_sign_parse(body, &sign) == 0);
    fuzz->last_seq = sign.seq;
    if (!fuzz->is_answering)
        return;
    struct worker_reply reply = {
        .seq = sign.seq,
        .result = WORKER_OK,
        .signature = {signature, sign.key == FUZZ_KEY_EC ? 8 : 64},
    };
    wire_writer_init(&writer, 1000);
    flush_packet(fuzz, &writer, worker_reply_encode(&writer, WORKER_SIGN_REPLY, &reply));
}

static void answer_login(struct fuzz_agent *fuzz, uint32_t seq, bool is_locked)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};

    fuzz->is_locked = is_locked;
    const struct worker_reply reply = {
        .seq = seq,
        .result = WORKER_OK,
        .token_flags = token_flags(fuzz),
    };
    fuzz_worker_send_inventory(fuzz, false);
    wire_writer_init(&writer, 1000);
    flush_packet(fuzz, &writer, worker_reply_encode(&writer, WORKER_LOGIN_REPLY, &reply));
}

/* What the core sends to a worker is of the right form, and a worker that works answers it. */
static void answer_packet(struct fuzz_agent *fuzz, const struct frame *frame)
{
    static struct worker_load load;
    struct worker_login login;
    struct worker_logout logout;
    struct worker_set_pin set_pin;

    switch (frame->type) {
    case WORKER_LOAD:
        fuzz_check(worker_load_parse(frame->body, &load) == 0);
        if (fuzz->is_answering)
            fuzz_worker_send_inventory(fuzz, false);
        break;
    case WORKER_LOGIN:
        fuzz_check(worker_login_parse(frame->body, &login) == 0);
        if (fuzz->is_answering)
            answer_login(fuzz, login.seq, false);
        break;
    case WORKER_LOGOUT:
        fuzz_check(worker_logout_parse(frame->body, &logout) == 0);
        if (fuzz->is_answering)
            answer_login(fuzz, logout.seq, true);
        break;
    case WORKER_LOOK:
        fuzz_check(frame->body.len == 0);
        if (fuzz->is_answering)
            fuzz_worker_send_inventory(fuzz, false);
        break;
    case WORKER_SET_PIN:
        fuzz_check(worker_set_pin_parse(frame->body, &set_pin) == 0);
        if (fuzz->is_answering)
            answer_login(fuzz, set_pin.seq, false);
        break;
    case WORKER_SIGN:
        answer_sign(fuzz, frame->body);
        break;
    default:
        fuzz_check(!"a type that goes to no worker");
    }
}

/* Takes one packet that the core sent to the worker; true when there was one. */
static bool read_packet(struct fuzz_agent *fuzz)
{
    static uint8_t packet[WIRE_HEADER_LEN + WIRE_FRAME_MAX + 1];
    struct frame frame;

    if (fuzz->worker < 0)
        return false;
    /* Without room for control data the kernel closes a descriptor that comes along. */
    ssize_t got = recv(fuzz->worker, packet, sizeof(packet), MSG_DONTWAIT);
    fuzz->is_locked |= got == 0;
    if (got <= 0)
        return false;
    fuzz_check(frame_parse((struct wire_span){packet, (size_t)got}, &frame) == 0);
    answer_packet(fuzz, &frame);
    return true;
}

void fuzz_agent_turn(struct fuzz_agent *fuzz)
{
    bool is_busy = true;

    for (int turn = 0; is_busy; turn++) {
        fuzz_check(turn < TURNS_MAX);
        int r = sd_event_run(fuzz->agent->event, 0);
        fuzz_check(r >= 0);
        is_busy = r > 0;
        while (read_packet(fuzz))
            is_busy = true;
        while (read_replies(fuzz))
            is_busy = true;
    }
}

void fuzz_agent_check_alive(struct fuzz_agent *fuzz)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};

    /* As after its time is over: a worker that never comes up holds no client for ever. */
    fuzz->agent->is_settled = true;
    fuzz_agent_connect(fuzz);
    fuzz_agent_say_hello(fuzz);
    fuzz_check(fuzz->reply_count == 1);
    wire_writer_init(&writer, 1000);
    fuzz_check(protocol_bare_encode(&writer, PROTOCOL_STATUS, 1) == 0);
    fuzz_agent_send(fuzz, (struct wire_span){writer.data, writer.len}, false);
    fuzz_agent_turn(fuzz);
    fuzz_check(fuzz->reply_count == 2);
}
