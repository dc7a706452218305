/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to their handlers; see requests.h. */
#include "pkcs11/requests.h"

#include <poll.h>
#include <string.h>

#include "common/clock.h"
#include "common/frame.h"
#include "common/log.h"
#include "common/lookout.h"
#include "pkcs11/login.h"
#include "pkcs11/look.h"
#include "pkcs11/set_pin.h"

/* A source writes its PIN at once; one that begins and then dawdles gets so long. */
#define REQUEST_PIN_READ_MS 1000u
#define REQUESTS_WAITING_MAX (WORKER_WINDOW_MAX + 1u) /* sign requests and a login */

/* A request that waits for its PIN. */
struct pin_request {
    int fd;
    uint64_t deadline_ms; /* of the monotonic clock */
    size_t len;
    uint8_t packet[];
};

/* What one thread has to do. */
struct requests {
    struct signer *signer;
    struct lookout lookout;
    uint64_t done_us;    /* when the last request was answered */
    bool next_came_soon; /* after the one before it */
    size_t waiting_count;
    struct pin_request *waiting[REQUESTS_WAITING_MAX];
};

static void pin_request_free(struct pin_request *request)
{
    request->fd = close_fd(request->fd);
    free(request);
}

DEFINE_CLEANUP(struct pin_request *, pin_request, pin_request_free)

/*
 * Returns 0 when the core was answered; -errno ends the worker. @pin_ms: how long a PIN may be read
 * from @fd.
 */
typedef int (*request_handler_fn)(struct signer *signer, struct wire_span body, int fd,
                                  unsigned int pin_ms);

static int request_login(struct signer *signer, struct wire_span body, int fd, unsigned int pin_ms)
{
    struct worker_login msg;

    if (worker_login_parse(body, &msg))
        return -EPROTO;
    return login_handle(signer->worker, &msg, fd, pin_ms, &signer->writer);
}

static int request_logout(struct signer *signer, struct wire_span body, int fd, unsigned int pin_ms)
{
    struct worker_logout msg;

    (void)fd;
    (void)pin_ms;
    if (worker_logout_parse(body, &msg))
        return -EPROTO;
    return logout_handle(signer->worker, &msg, &signer->writer);
}

static int request_set_pin(struct signer *signer, struct wire_span body, int fd,
                           unsigned int pin_ms)
{
    struct worker_set_pin msg;

    if (worker_set_pin_parse(body, &msg))
        return -EPROTO;
    return set_pin_handle(signer->worker, &msg, fd, pin_ms, &signer->writer);
}

static int request_sign(struct signer *signer, struct wire_span body, int fd, unsigned int pin_ms)
{
    struct worker_sign msg;

    if (worker_sign_parse(body, &msg))
        return -EPROTO;
    return signer_handle(signer, &msg, fd, pin_ms);
}

static int request_look(struct signer *signer, struct wire_span body, int fd, unsigned int pin_ms)
{
    (void)fd;
    (void)pin_ms;
    return body.len > 0 ? -EPROTO : look_handle(signer->worker, &signer->writer);
}

static const struct {
    uint8_t type;
    request_handler_fn handle;
} request_table[] = {
    {WORKER_SIGN, request_sign}, {WORKER_LOGIN, request_login},     {WORKER_LOGOUT, request_logout},
    {WORKER_LOOK, request_look}, {WORKER_SET_PIN, request_set_pin},
};

static int request_run(struct signer *signer, struct wire_span packet, int fd, unsigned int pin_ms)
{
    struct frame frame;

    if (frame_parse(packet, &frame))
        return -EPROTO;
    for (size_t i = 0; i < ARRAY_SIZE(request_table); i++)
        if (request_table[i].type == frame.type)
            return request_table[i].handle(signer, frame.body, fd, pin_ms);
    return -EPROTO;
}

/* Which end it was does not matter to the core: it sees the end of the socket. */
_Noreturn static void request_exit(int r)
{
    if (r != LINK_E_END)
        log_error("the worker ends: %s", strerror(-r));
    _exit(r == LINK_E_END ? 0 : 1);
}

/* How long the PIN of a request may take to come. */
static unsigned int request_patience_ms(struct wire_span packet)
{
    struct worker_login login;
    struct worker_set_pin set;
    struct frame frame;

    if (frame_parse(packet, &frame))
        return LOGIN_CONTEXT_TIMEOUT_MS;
    if (frame.type == WORKER_LOGIN && worker_login_parse(frame.body, &login) == 0)
        return login.timeout_ms;
    if (frame.type == WORKER_SET_PIN && worker_set_pin_parse(frame.body, &set) == 0)
        return set.timeout_ms;
    return LOGIN_CONTEXT_TIMEOUT_MS;
}

/* Lays a request aside; owns @fd. */
static int requests_add_waiting(struct requests *requests, struct wire_span packet, int fd)
{
    _cleanup_close_ int owned = fd;

    /* More than the core may send: then the PIN is waited for here and now. */
    if (requests->waiting_count == REQUESTS_WAITING_MAX)
        return request_run(requests->signer, packet, fd, request_patience_ms(packet));
    struct pin_request *request = malloc(sizeof(*request) + packet.len);
    if (!request)
        return -ENOMEM;
    *request =
        (struct pin_request){.fd = TAKE_FD(owned),
                             .deadline_ms = clock_monotonic_ms() + request_patience_ms(packet),
                             .len = packet.len};
    memcpy(request->packet, packet.data, packet.len);
    requests->waiting[requests->waiting_count++] = request;
    return 0;
}

/* Runs a request whose PIN is there, or whose time is over. */
static int requests_run_waiting(struct requests *requests, size_t index, unsigned int pin_ms)
{
    _cleanup_(cleanup_pin_request) struct pin_request *request = requests->waiting[index];

    requests->waiting[index] = requests->waiting[--requests->waiting_count];
    return request_run(requests->signer, (struct wire_span){request->packet, request->len},
                       request->fd, pin_ms);
}

static uint64_t requests_next_deadline(const struct requests *requests)
{
    uint64_t next_ms = UINT64_MAX;

    for (size_t i = 0; i < requests->waiting_count; i++)
        if (requests->waiting[i]->deadline_ms < next_ms)
            next_ms = requests->waiting[i]->deadline_ms;
    return next_ms;
}

/* Waits for a packet, a PIN or the end of a request's time; runs what need not wait any longer. */
static int requests_wait(struct requests *requests)
{
    struct pollfd pollfds[REQUESTS_WAITING_MAX + 1];
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t next_ms = requests_next_deadline(requests);
    size_t count = requests->waiting_count;

    for (size_t i = 0; i < count; i++)
        pollfds[i] = (struct pollfd){.fd = requests->waiting[i]->fd, .events = POLLIN};
    pollfds[count] = (struct pollfd){.fd = requests->signer->worker->link, .events = POLLIN};
    if (poll(pollfds, count + 1, next_ms > now_ms ? clock_poll_timeout(next_ms - now_ms) : 0) < 0)
        return errno == EINTR ? 0 : -errno;

    now_ms = clock_monotonic_ms();
    /* From the end, as a request that is run is replaced by the last one. */
    for (size_t i = count; i-- > 0;) {
        bool is_ready = pollfds[i].revents != 0;
        int r = 0;

        if (is_ready || requests->waiting[i]->deadline_ms <= now_ms)
            r = requests_run_waiting(requests, i, is_ready ? REQUEST_PIN_READ_MS : 0);
        if (r)
            return r;
    }
    return 0;
}

/* Waits for a packet. One that came soon after the request before it lets expect another such. */
static int requests_receive(struct requests *requests, struct wire_span *ret_packet, int *ret_fd)
{
    struct signer *signer = requests->signer;
    int link = signer->worker->link;
    int r = LINK_E_AGAIN;

    if (requests->next_came_soon)
        lookout_begin(&requests->lookout);
    while (r == LINK_E_AGAIN && lookout_goes_on(&requests->lookout))
        r = link_receive(link, false, signer->packet, ret_packet, ret_fd);
    lookout_end(&requests->lookout);
    if (r == LINK_E_AGAIN)
        r = link_receive(link, true, signer->packet, ret_packet, ret_fd);
    requests->next_came_soon = clock_monotonic_us() - requests->done_us < LOOKOUT_SOON_US;
    return r;
}

static int requests_take_packet(struct requests *requests)
{
    struct signer *signer = requests->signer;
    struct wire_span packet;
    int fd = -1;
    /* With requests that wait for their PIN, poll() has waited for packets, too. */
    int r = requests->waiting_count > 0
                ? link_receive(signer->worker->link, false, signer->packet, &packet, &fd)
                : requests_receive(requests, &packet, &fd);

    if (r)
        return r == LINK_E_AGAIN ? 0 : r;
    if (fd >= 0)
        return requests_add_waiting(requests, packet, fd);
    r = request_run(signer, packet, -1, 0);
    requests->done_us = clock_monotonic_us();
    return r;
}

void requests_serve(struct signer *signer)
{
    struct requests requests = {.signer = signer};

    for (;;) {
        int r = requests.waiting_count > 0 ? requests_wait(&requests) : 0;

        if (r == 0)
            r = requests_take_packet(&requests);
        if (r)
            request_exit(r);
    }
}
