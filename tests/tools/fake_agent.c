/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake-agent: an agent for the tests of client programs. It speaks the wire protocol
 * (common/protocol.h) with software keys from PEM files, and misbehaves on request. One poll loop,
 * any number of clients; prints "ready" when it listens, and ends by SIGTERM. SIGUSR1 takes the
 * token away, and brings it back.
 */
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/clock.h"
#include "common/escape.h"
#include "common/frame.h"
#include "common/secret.h"
#include "tests/tools/fake_key.h"

#define FAKE_CLIENTS_MAX 1024u
#define FAKE_KEYS_MAX 256u
#define FAKE_PIN "1234"
#define FAKE_PIN_TIMEOUT_MS 5000u
#define FAKE_OUTPUT_MAX (4u * 1024u * 1024u)

struct client {
    int fd;
    int passed_fd; /* came with the last message, or -1 */
    bool greeted;
    bool closing; /* as soon as the output is written */
    uint32_t subscription_id;
    uint32_t subscription_mask;
    struct frame_buffer input;
    struct wire_writer output;
};

/* A request that --delay-ms holds back. */
struct delayed {
    struct client *client; /* NULL: it left */
    uint64_t due_ms;
    uint8_t type;
    uint8_t *body;
    size_t len;
    struct delayed *next;
};

struct options {
    unsigned int on; /* enum protocol_type that the faults hit; 0: all but hello */
    unsigned int delay_ms;
    unsigned int page; /* most keys in one LIST_REPLY; 0: what fits */
    bool drop;
    bool garbage;
    bool no_reply;
    bool allow_digest;
    bool locked;
    bool absent;
    uint32_t error_code; /* 0: none */
    const char *error_text;
    const char *log_path;
};

struct agent {
    struct options options;
    struct fake_key *keys[FAKE_KEYS_MAX];
    size_t key_count;
    struct client *clients[FAKE_CLIENTS_MAX];
    size_t client_count;
    struct delayed *delayed; /* in order of due_ms */
    FILE *log;
    int listen_fd;
    int signal_fd;
    uint64_t started_ms;
    uint64_t signatures;
    uint64_t refusals;
};

static _printf_(2, 3) void fake_log(const struct agent *agent, const char *format, ...)
{
    va_list args;

    if (!agent->log)
        return;
    va_start(args, format);
    (void)vfprintf(agent->log, format, args);
    va_end(args);
    (void)fputc('\n', agent->log);
    (void)fflush(agent->log);
}

/* An encoder's failure leaves nothing in the writer: the peer sees the end of the connection. */
static void fake_close_on_failure(struct client *client, int r)
{
    if (r)
        client->closing = true;
}

static void fake_reply_error(struct client *client, uint32_t id, uint32_t code, const char *text)
{
    struct protocol_error error = {.id = id, .code = code, .text = wire_span_from_text(text)};

    fake_close_on_failure(client, protocol_error_encode(&client->output, &error));
    if (id == 0)
        client->closing = true;
}

static void fake_reply_bare(struct client *client, uint8_t type, uint32_t id)
{
    fake_close_on_failure(client, protocol_bare_encode(&client->output, type, id));
}

static void fake_publish(struct agent *agent, uint32_t kind, const char *subject, const char *text)
{
    for (size_t i = 0; i < agent->client_count; i++) {
        struct client *client = agent->clients[i];
        struct protocol_event event = {
            .id = client->subscription_id,
            .kind = kind,
            .subject = wire_span_from_text(subject),
            .text = wire_span_from_text(text),
        };
        if (client->subscription_mask & kind)
            fake_close_on_failure(client, protocol_event_encode(&client->output, &event));
    }
}

static int fake_handle_hello(struct agent *agent, struct client *client, struct wire_span body)
{
    struct protocol_hello hello;
    struct protocol_hello_reply reply = {
        .version = PROTOCOL_VERSION,
        .agent_version = WIRE_SPAN_LITERAL("fake"),
    };
    char name[PROTOCOL_NAME_MAX + 1];

    if (client->greeted || protocol_hello_parse(body, &hello))
        return WIRE_E_MALFORMED;
    fake_log(agent, "hello %s", escape_text(hello.client_name, name, sizeof(name)));
    if (hello.version_min > PROTOCOL_VERSION || hello.version_max < PROTOCOL_VERSION) {
        fake_reply_error(client, 0, PROTOCOL_E_VERSION, "This agent speaks version 1 alone.");
        return 0;
    }
    client->greeted = true;
    return protocol_hello_reply_encode(&client->output, &reply);
}

static void fake_describe(const struct agent *agent, size_t index, struct protocol_key *ret_key)
{
    fake_key_describe(agent->keys[index], ret_key);
    ret_key->policy = agent->options.allow_digest ? KEY_POLICY_DIGEST : KEY_POLICY_TLS;
    ret_key->state = agent->options.locked ? KEY_STATE_LOCKED : KEY_STATE_READY;
    if (agent->options.absent)
        ret_key->state = KEY_STATE_ABSENT;
}

static int fake_reply_list(struct agent *agent, struct client *client,
                           const struct protocol_list *list, const size_t *selected, uint32_t total)
{
    struct protocol_list_reply_mark mark =
        protocol_list_reply_begin(&client->output, list->id, total);
    uint32_t added = 0;

    while (list->start + added < total) {
        struct protocol_key key;
        if (agent->options.page > 0 && added == agent->options.page)
            break;
        fake_describe(agent, selected[list->start + added], &key);
        if (!protocol_list_reply_add(&client->output, &mark, &key))
            break;
        added++;
    }
    uint32_t next = list->start + added;
    return protocol_list_reply_end(&client->output, &mark, added, next < total ? next : 0);
}

static int fake_handle_list(struct agent *agent, struct client *client, struct wire_span body)
{
    struct protocol_list list;
    char name[PROTOCOL_SELECTOR_MAX + 1];
    size_t selected[FAKE_KEYS_MAX];
    uint32_t total = 0;

    if (protocol_list_parse(body, &list))
        return WIRE_E_MALFORMED;
    fake_log(agent, "list %s", escape_text(list.selector, name, sizeof(name)));
    for (size_t i = 0; i < agent->key_count; i++)
        if (fake_key_is_selected(agent->keys[i], list.selector))
            selected[total++] = i;
    if (total == 0 && list.selector.len > 0) {
        fake_reply_error(client, list.id, PROTOCOL_E_NO_KEY,
                         "No key fits this name: `mtls list` shows those that are there.");
        return 0;
    }
    if (list.start > total)
        return WIRE_E_MALFORMED;
    return fake_reply_list(agent, client, &list, selected, total);
}

static const struct fake_key *fake_find_key(const struct agent *agent, struct wire_span hash)
{
    for (size_t i = 0; i < agent->key_count; i++) {
        struct wire_span own = {agent->keys[i]->hash, PROTOCOL_KEY_HASH_LEN};
        if (wire_span_is_equal(own, hash))
            return agent->keys[i];
    }
    return NULL;
}

static bool fake_is_tls13(struct wire_span content)
{
    static const char context[] = "TLS 1.3, client CertificateVerify";
    const size_t prefix_len = 64 + sizeof(context);

    if (content.len != prefix_len + 32 && content.len != prefix_len + 48)
        return false;
    for (size_t i = 0; i < 64; i++)
        if (content.data[i] != ' ')
            return false;
    return memcmp(content.data + 64, context, sizeof(context)) == 0;
}

/* Why the content is not what its kind says, or NULL. Of TLS 1.2 only the start is looked at. */
static const char *fake_refusal(const struct agent *agent, const struct protocol_sign *sign)
{
    switch (sign->kind) {
    case SIGN_KIND_TLS13:
        return fake_is_tls13(sign->content) ? NULL : "This is no TLS 1.3 CertificateVerify.";
    case SIGN_KIND_TLS12:
        return sign->content.len > 4 && sign->content.data[0] == 1
                   ? NULL
                   : "This is no TLS 1.2 handshake.";
    case SIGN_KIND_DIGEST:
        return agent->options.allow_digest ? NULL : "The key signs TLS alone: set sign = digest.";
    default:
        return "This kind of signature is not known.";
    }
}

static int fake_handle_sign(struct agent *agent, struct client *client, struct wire_span body)
{
    struct protocol_sign sign;
    uint8_t signature[PROTOCOL_SIGNATURE_MAX];
    size_t signature_len = sizeof(signature);

    if (protocol_sign_parse(body, &sign))
        return WIRE_E_MALFORMED;
    const struct fake_key *key = fake_find_key(agent, sign.key_hash);
    const char *kind = sign_kind_name(sign.kind);
    fake_log(agent, "sign %s %s 0x%04x %zu", key ? key->name : "-", kind ? kind : "-",
             (unsigned int)sign.scheme, sign.content.len);
    const char *refusal = fake_refusal(agent, &sign);
    if (!key) {
        fake_reply_error(client, sign.id, PROTOCOL_E_NO_KEY, "No key has this hash.");
    } else if (refusal) {
        agent->refusals++;
        fake_reply_error(client, sign.id, PROTOCOL_E_POLICY, refusal);
    } else if (agent->options.absent) {
        fake_reply_error(client, sign.id, PROTOCOL_E_TOKEN_GONE, "The token is not there.");
    } else if (agent->options.locked) {
        fake_reply_error(client, sign.id, PROTOCOL_E_LOCKED,
                         "The token waits for its PIN: run `mtls unlock`.");
    } else if (fake_key_sign(key, &sign, signature, &signature_len)) {
        fake_reply_error(client, sign.id, PROTOCOL_E_PROTO, "Key, scheme and content do not fit.");
    } else {
        struct protocol_sign_reply reply = {.id = sign.id, .signature = {signature, signature_len}};
        agent->signatures++;
        return protocol_sign_reply_encode(&client->output, &reply);
    }
    return 0;
}

static int fake_handle_status(struct agent *agent, struct client *client, struct wire_span body)
{
    uint32_t id = 0;

    if (protocol_bare_parse(body, &id))
        return WIRE_E_MALFORMED;
    fake_log(agent, "status");
    struct protocol_status_reply fixed = {
        .id = id,
        .agent_version = WIRE_SPAN_LITERAL("fake"),
        .pid = (uint32_t)getpid(),
        .uptime_ms = clock_monotonic_ms() - agent->started_ms,
        .signatures = agent->signatures,
        .refusals = agent->refusals,
        .connections = (uint32_t)agent->client_count,
    };
    const struct protocol_status_module module = {
        .name = WIRE_SPAN_LITERAL("fake"),
        .path = WIRE_SPAN_LITERAL("/nonexistent/fake.so"),
        .state = MODULE_STATE_READY,
        .workers = 1,
    };
    const struct protocol_status_token token = {
        .label = WIRE_SPAN_LITERAL(FAKE_TOKEN_LABEL),
        .serial = WIRE_SPAN_LITERAL(FAKE_TOKEN_SERIAL),
        .module = WIRE_SPAN_LITERAL("fake"),
        .state = agent->options.locked ? TOKEN_STATE_LOCKED : TOKEN_STATE_READY,
        .keys = (uint32_t)agent->key_count,
        .text = wire_span_from_text(agent->options.locked ? "run `mtls unlock`" : ""),
    };
    struct protocol_status_mark mark = protocol_status_reply_begin(&client->output, &fixed);
    protocol_status_reply_add_module(&client->output, &module);
    protocol_status_reply_begin_tokens(&client->output, &mark);
    if (!protocol_status_reply_add_token(&client->output, &mark, &token))
        return WIRE_E_MALFORMED;
    protocol_status_reply_begin_refusals(&client->output, &mark);
    protocol_status_reply_begin_readers(&client->output, &mark, (struct wire_span){0});
    return protocol_status_reply_end(&client->output, &mark);
}

static int fake_handle_subscribe(struct agent *agent, struct client *client, struct wire_span body)
{
    struct protocol_subscribe subscribe;

    if (protocol_subscribe_parse(body, &subscribe))
        return WIRE_E_MALFORMED;
    fake_log(agent, "subscribe 0x%x", (unsigned int)subscribe.mask);
    client->subscription_id = subscribe.id;
    client->subscription_mask = subscribe.mask;
    return protocol_bare_encode(&client->output, PROTOCOL_SUBSCRIBE_REPLY, subscribe.id);
}

static bool fake_token_is_named(struct wire_span selector)
{
    return selector.len == 0 || wire_span_is_equal(selector, WIRE_SPAN_LITERAL(FAKE_TOKEN_LABEL)) ||
           wire_span_is_equal(selector, WIRE_SPAN_LITERAL(FAKE_TOKEN_SERIAL)) ||
           wire_span_is_equal(selector, WIRE_SPAN_LITERAL("pkcs11:token=" FAKE_TOKEN_LABEL)) ||
           /* as the PKCS#11 module spells both */
           wire_span_is_equal(selector,
                              WIRE_SPAN_LITERAL("pkcs11:serial=%30%30%30%31;token=%66%61%6b%65"
                                                "?module-name=%66%61%6b%65"));
}

static void fake_set_locked(struct agent *agent, bool locked)
{
    agent->options.locked = locked;
    fake_publish(agent, EVENT_TOKEN_CHANGED, FAKE_TOKEN_LABEL, locked ? "locked" : "unlocked");
}

static int fake_handle_unlock(struct agent *agent, struct client *client, struct wire_span body)
{
    struct protocol_token_request request;
    _cleanup_secret_ struct secret *pin = secret_new();
    _cleanup_close_ int fd = TAKE_FD(client->passed_fd);

    if (!pin || protocol_token_request_parse(body, &request))
        return WIRE_E_MALFORMED;
    int r = fd < 0 ? SECRET_E_EMPTY : secret_read(pin, fd, FAKE_PIN_TIMEOUT_MS);
    bool right = r == 0 && pin->len == strlen(FAKE_PIN) && !memcmp(pin->data, FAKE_PIN, pin->len);
    fake_log(agent, "unlock %s", right ? "right" : "wrong");
    if (fd < 0) {
        fake_reply_error(client, request.id, PROTOCOL_E_PROTO, "UNLOCK comes with one pipe.");
    } else if (!fake_token_is_named(request.selector)) {
        fake_reply_error(client, request.id, PROTOCOL_E_NO_KEY, "No token has this name.");
    } else if (!right) {
        fake_reply_error(client, request.id, PROTOCOL_E_PIN, "The PIN is wrong; 2 tries are left.");
    } else {
        fake_reply_bare(client, PROTOCOL_UNLOCK_REPLY, request.id);
        fake_set_locked(agent, false);
    }
    return 0;
}

static int fake_handle_lock(struct agent *agent, struct client *client, struct wire_span body)
{
    struct protocol_token_request request;

    if (protocol_token_request_parse(body, &request))
        return WIRE_E_MALFORMED;
    fake_log(agent, "lock");
    if (!fake_token_is_named(request.selector)) {
        fake_reply_error(client, request.id, PROTOCOL_E_NO_KEY, "No token has this name.");
        return 0;
    }
    fake_reply_bare(client, PROTOCOL_LOCK_REPLY, request.id);
    fake_set_locked(agent, true);
    return 0;
}

static const struct request_row {
    uint8_t type;
    const char *name;
    int (*handle)(struct agent *agent, struct client *client, struct wire_span body);
} request_table[] = {
    {PROTOCOL_HELLO, "hello", fake_handle_hello},
    {PROTOCOL_LIST, "list", fake_handle_list},
    {PROTOCOL_SIGN, "sign", fake_handle_sign},
    {PROTOCOL_STATUS, "status", fake_handle_status},
    {PROTOCOL_SUBSCRIBE, "subscribe", fake_handle_subscribe},
    {PROTOCOL_UNLOCK, "unlock", fake_handle_unlock},
    {PROTOCOL_LOCK, "lock", fake_handle_lock},
};

static void fake_handle(struct agent *agent, struct client *client, uint8_t type,
                        struct wire_span body)
{
    for (size_t i = 0; i < ARRAY_SIZE(request_table); i++) {
        if (request_table[i].type != type)
            continue;
        if (type != PROTOCOL_HELLO && !client->greeted)
            break;
        if (request_table[i].handle(agent, client, body) == 0)
            return;
        break;
    }
    fake_reply_error(client, 0, PROTOCOL_E_PROTO, "This is no request of the protocol.");
}

static bool fake_is_hit(const struct options *options, uint8_t type)
{
    return options->on ? options->on == type : type != PROTOCOL_HELLO;
}

/* True when a fault took the place of the answer. */
static bool fake_misbehave(struct agent *agent, struct client *client, uint8_t type,
                           struct wire_span body)
{
    const struct options *options = &agent->options;
    struct wire_reader reader;

    if (!options->drop && !options->garbage && !options->no_reply && !options->error_code)
        return false;
    fake_log(agent, "fault %u", type);
    wire_reader_init(&reader, body);
    if (options->drop) {
        client->closing = true;
    } else if (options->garbage) {
        size_t mark = wire_begin_frame(&client->output, type | 128u);
        escape_put_raw(&client->output, "\xff\xff\xff\xffgarbage");
        fake_close_on_failure(client, wire_end_frame(&client->output, mark));
    } else if (options->error_code) {
        uint32_t id = type == PROTOCOL_HELLO ? 0 : wire_get_u32(&reader);
        fake_reply_error(client, id, options->error_code, options->error_text);
    }
    return true;
}

static void fake_delay(struct agent *agent, struct client *client, const struct frame *frame)
{
    struct delayed *delayed = calloc(1, sizeof(*delayed));
    struct delayed **tail = &agent->delayed;
    uint8_t *body = malloc(frame->body.len + 1);

    if (!delayed || !body) {
        free(delayed);
        free(body);
        client->closing = true;
        return;
    }
    if (frame->body.len > 0)
        memcpy(body, frame->body.data, frame->body.len);
    *delayed = (struct delayed){
        .client = client,
        .due_ms = clock_monotonic_ms() + agent->options.delay_ms,
        .type = frame->type,
        .body = body,
        .len = frame->body.len,
    };
    while (*tail)
        tail = &(*tail)->next;
    *tail = delayed;
}

static void fake_run_delayed(struct agent *agent)
{
    while (agent->delayed && agent->delayed->due_ms <= clock_monotonic_ms()) {
        struct delayed *first = agent->delayed;
        struct wire_span body = {first->body, first->len};
        agent->delayed = first->next;
        if (first->client && !fake_misbehave(agent, first->client, first->type, body))
            fake_handle(agent, first->client, first->type, body);
        free(first->body);
        free(first);
    }
}

static void fake_handle_frame(struct agent *agent, struct client *client, const struct frame *frame)
{
    if (!fake_is_hit(&agent->options, frame->type))
        fake_handle(agent, client, frame->type, frame->body);
    else if (agent->options.delay_ms > 0)
        fake_delay(agent, client, frame);
    else if (!fake_misbehave(agent, client, frame->type, frame->body))
        fake_handle(agent, client, frame->type, frame->body);
}

static ssize_t fake_receive(struct client *client, uint8_t *room, size_t len)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = room, .iov_len = len};
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t n = recvmsg(client->fd, &msg, MSG_CMSG_CLOEXEC);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? n : 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        client->passed_fd = close_fd(client->passed_fd);
        memcpy(&client->passed_fd, CMSG_DATA(c), sizeof(int));
    }
    return n;
}

static void fake_read(struct agent *agent, struct client *client)
{
    uint8_t *room = NULL;
    size_t len = 0;
    struct frame frame;

    if (frame_buffer_reserve(&client->input, &room, &len)) {
        client->closing = true;
        return;
    }
    ssize_t n = fake_receive(client, room, len);
    if (n < 0)
        return;
    if (n == 0) {
        client->closing = true;
        wire_writer_reset(&client->output);
        return;
    }
    frame_buffer_commit(&client->input, (size_t)n);
    int r = 0;
    while (!client->closing && (r = frame_buffer_next(&client->input, &frame)) == 0)
        fake_handle_frame(agent, client, &frame);
    if (r == WIRE_E_MALFORMED)
        client->closing = true;
}

static void fake_write(struct client *client)
{
    ssize_t n = send(client->fd, client->output.data, client->output.len, MSG_NOSIGNAL);

    if (n >= 0) {
        wire_writer_consume(&client->output, (size_t)n);
    } else if (errno != EAGAIN && errno != EINTR) {
        wire_writer_reset(&client->output);
        client->closing = true;
    }
}

static void fake_client_free(struct agent *agent, struct client *client)
{
    for (struct delayed *delayed = agent->delayed; delayed; delayed = delayed->next)
        if (delayed->client == client)
            delayed->client = NULL;
    frame_buffer_deinit(&client->input);
    wire_writer_deinit(&client->output);
    (void)close_fd(client->passed_fd);
    (void)close_fd(client->fd);
    free(client);
}

static void fake_accept(struct agent *agent)
{
    int fd = accept4(agent->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct client *client = NULL;

    if (fd < 0)
        return;
    if (agent->client_count < FAKE_CLIENTS_MAX)
        client = calloc(1, sizeof(*client));
    if (!client) {
        (void)close_fd(fd);
        return;
    }
    client->fd = fd;
    client->passed_fd = -1;
    wire_writer_init(&client->output, FAKE_OUTPUT_MAX);
    agent->clients[agent->client_count++] = client;
}

static void fake_reap(struct agent *agent)
{
    size_t kept = 0;

    for (size_t i = 0; i < agent->client_count; i++) {
        struct client *client = agent->clients[i];
        if (client->closing && client->output.len == 0)
            fake_client_free(agent, client);
        else
            agent->clients[kept++] = client;
    }
    agent->client_count = kept;
}

static void fake_handle_signal(struct agent *agent)
{
    struct signalfd_siginfo info;

    if (read(agent->signal_fd, &info, sizeof(info)) != sizeof(info))
        return;
    agent->options.absent = !agent->options.absent;
    fake_publish(agent, EVENT_TOKEN_CHANGED, FAKE_TOKEN_LABEL,
                 agent->options.absent ? "absent" : "ready");
}

static int fake_open_signals(void)
{
    sigset_t signals;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGUSR1);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
        return -errno;
    int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static int fake_timeout(const struct agent *agent)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (!agent->delayed)
        return -1;
    return agent->delayed->due_ms <= now_ms ? 0
                                            : clock_poll_timeout(agent->delayed->due_ms - now_ms);
}

static int fake_turn(struct agent *agent)
{
    struct pollfd fds[FAKE_CLIENTS_MAX + 2];
    size_t count = agent->client_count;

    for (size_t i = 0; i < count; i++) {
        struct client *client = agent->clients[i];
        short events = client->closing ? 0 : POLLIN;
        if (client->output.len > 0)
            events |= POLLOUT;
        fds[i] = (struct pollfd){.fd = client->fd, .events = events};
    }
    fds[count] = (struct pollfd){.fd = agent->listen_fd, .events = POLLIN};
    fds[count + 1] = (struct pollfd){.fd = agent->signal_fd, .events = POLLIN};
    if (poll(fds, count + 2, fake_timeout(agent)) < 0)
        return errno == EINTR ? 0 : -errno;
    if (fds[count + 1].revents & POLLIN)
        fake_handle_signal(agent);
    for (size_t i = 0; i < count; i++) {
        if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
            fake_read(agent, agent->clients[i]);
    }
    fake_run_delayed(agent);
    for (size_t i = 0; i < count; i++)
        if (agent->clients[i]->output.len > 0)
            fake_write(agent->clients[i]);
    fake_reap(agent);
    if (fds[count].revents & POLLIN)
        fake_accept(agent);
    return 0;
}

static int fake_listen(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
        return fd < 0 ? -errno : -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    (void)unlink(path);
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 128) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static unsigned int fake_type_by_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(request_table); i++)
        if (strcmp(request_table[i].name, name) == 0)
            return request_table[i].type;
    return 0;
}

/* CODE:TEXT */
static bool fake_set_error(struct options *options, char *argument)
{
    char *end = NULL;
    unsigned long code = strtoul(argument, &end, 10);

    if (end == argument || *end != ':' || code == 0 || code > UINT32_MAX)
        return false;
    options->error_code = (uint32_t)code;
    options->error_text = end + 1;
    return true;
}

static const char usage[] =
    "usage: fake-agent [OPTION]... SOCKET KEY.pem[:CERT.pem[:NAME]]...\n"
    "faults, for requests of the type given by --on hello|list|sign|status|subscribe|unlock|lock\n"
    "(default: sign; `--on all`: every one but hello):\n"
    "  --delay-ms N       answer late\n"
    "  --drop-sign        close the connection instead of an answer\n"
    "  --garbage          answer with a frame that does not parse\n"
    "  --no-reply         do not answer\n"
    "  --error CODE:TEXT  answer with this error\n"
    "others:\n"
    "  --allow-digest     sign bare digests too\n"
    "  --locked           start locked; the PIN is " FAKE_PIN "\n"
    "  --page N           at most N keys in one LIST_REPLY\n"
    "  --log FILE         append one line for each request\n";

static bool fake_parse_options(int argc, char *argv[], struct options *options)
{
    static const struct option long_options[] = {
        {"on", required_argument, NULL, 'o'},
        {"delay-ms", required_argument, NULL, 'd'},
        {"drop-sign", no_argument, NULL, 'x'},
        {"garbage", no_argument, NULL, 'g'},
        {"no-reply", no_argument, NULL, 'n'},
        {"error", required_argument, NULL, 'e'},
        {"allow-digest", no_argument, NULL, 'a'},
        {"locked", no_argument, NULL, 'k'},
        {"page", required_argument, NULL, 'p'},
        {"log", required_argument, NULL, 'l'},
        {0},
    };
    bool valid = true;
    int option = 0;

    options->on = PROTOCOL_SIGN;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == 'o') {
            options->on = fake_type_by_name(optarg);
            valid = valid && (options->on || strcmp(optarg, "all") == 0);
        } else if (option == 'e') {
            valid = valid && fake_set_error(options, optarg);
        } else if (option == 'd') {
            options->delay_ms = (unsigned int)strtoul(optarg, NULL, 10);
        } else if (option == 'p') {
            options->page = (unsigned int)strtoul(optarg, NULL, 10);
        } else if (option == 'l') {
            options->log_path = optarg;
        } else if (option == '?') {
            return false;
        }
        options->drop |= option == 'x';
        options->garbage |= option == 'g';
        options->no_reply |= option == 'n';
        options->allow_digest |= option == 'a';
        options->locked |= option == 'k';
    }
    return valid && argc - optind >= 1 && (size_t)(argc - optind) <= FAKE_KEYS_MAX;
}

static int fake_start(struct agent *agent, const char *socket_path, char *key_arguments[])
{
    for (size_t i = 0; key_arguments[i]; i++) {
        agent->keys[i] = fake_key_new(key_arguments[i]);
        if (!agent->keys[i])
            return -EINVAL;
        agent->key_count++;
    }
    if (agent->options.log_path) {
        agent->log = fopen(agent->options.log_path, "ae");
        if (!agent->log)
            return -errno;
    }
    agent->started_ms = clock_monotonic_ms();
    agent->signal_fd = fake_open_signals();
    if (agent->signal_fd < 0)
        return agent->signal_fd;
    agent->listen_fd = fake_listen(socket_path);
    return agent->listen_fd < 0 ? agent->listen_fd : 0;
}

int main(int argc, char *argv[])
{
    static struct agent agent = {.listen_fd = -1};

    if (!fake_parse_options(argc, argv, &agent.options)) {
        fputs(usage, stderr);
        return 2;
    }
    int r = fake_start(&agent, argv[optind], argv + optind + 1);
    if (r < 0) {
        fprintf(stderr, "fake-agent: %s: %s\n", argv[optind], strerror(-r));
        return 1;
    }
    puts("ready");
    (void)fflush(stdout);
    while (r == 0)
        r = fake_turn(&agent);
    fprintf(stderr, "fake-agent: %s\n", strerror(-r));
    return 1;
}
