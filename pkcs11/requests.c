/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to their handlers; see requests.h. */
#include "pkcs11/requests.h"

#include <string.h>

#include "common/frame.h"
#include "common/log.h"
#include "pkcs11/login.h"

/* Returns 0 when the core was answered; -errno ends the worker. */
typedef int (*request_handler_fn)(struct signer *signer, struct wire_span body, int fd);

static int request_login(struct signer *signer, struct wire_span body, int fd)
{
    struct worker_login msg;

    if (worker_login_parse(body, &msg))
        return -EPROTO;
    return login_handle(signer->worker, &msg, fd, &signer->writer);
}

static int request_logout(struct signer *signer, struct wire_span body, int fd)
{
    struct worker_logout msg;

    (void)fd;
    if (worker_logout_parse(body, &msg))
        return -EPROTO;
    return logout_handle(signer->worker, &msg, &signer->writer);
}

static int request_sign(struct signer *signer, struct wire_span body, int fd)
{
    struct worker_sign msg;

    if (worker_sign_parse(body, &msg))
        return -EPROTO;
    return signer_handle(signer, &msg, fd);
}

static const struct {
    uint8_t type;
    request_handler_fn handle;
} request_table[] = {
    {WORKER_SIGN, request_sign},
    {WORKER_LOGIN, request_login},
    {WORKER_LOGOUT, request_logout},
};

static int request_run(struct signer *signer, struct wire_span packet, int fd)
{
    struct frame frame;

    if (frame_parse(packet, &frame))
        return -EPROTO;
    for (size_t i = 0; i < ARRAY_SIZE(request_table); i++)
        if (request_table[i].type == frame.type)
            return request_table[i].handle(signer, frame.body, fd);
    return -EPROTO;
}

_Noreturn static void request_exit(int r)
{
    if (r != LINK_E_END)
        log_error("the worker ends: %s", strerror(-r));
    _exit(r == LINK_E_END ? 0 : 1);
}

/* A request that waits for a PIN, with everything that it needs. */
struct pin_request {
    struct worker *worker;
    int fd;
    size_t len;
    uint8_t packet[];
};

static void pin_request_free(struct pin_request *request)
{
    request->fd = close_fd(request->fd);
    free(request);
}

DEFINE_CLEANUP(struct pin_request *, pin_request, pin_request_free)

static void *pin_request_main(void *arg)
{
    _cleanup_(cleanup_pin_request) struct pin_request *request = arg;
    struct signer signer;

    int r = signer_init(&signer, request->worker);
    if (r == 0)
        r = request_run(&signer, (struct wire_span){request->packet, request->len}, request->fd);
    if (r)
        request_exit(r);
    signer_deinit(&signer);
    return NULL;
}

/* Owns @fd. */
static int pin_request_start(struct worker *worker, struct wire_span packet, int fd)
{
    _cleanup_(cleanup_pin_request) struct pin_request *request =
        malloc(sizeof(*request) + packet.len);
    pthread_attr_t attr;
    pthread_t thread;

    if (!request) {
        (void)close_fd(fd);
        return -ENOMEM;
    }
    *request = (struct pin_request){.worker = worker, .fd = fd, .len = packet.len};
    memcpy(request->packet, packet.data, packet.len);
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int r = pthread_create(&thread, &attr, pin_request_main, request);
    (void)pthread_attr_destroy(&attr);
    if (r == 0)
        (void)TAKE_PTR(request); /* the thread's own now */
    return -r;
}

void requests_serve(struct signer *signer)
{
    for (;;) {
        struct wire_span packet;
        int fd = -1;
        int r = link_receive(signer->worker->link, signer->packet, &packet, &fd);

        if (r == 0 && fd >= 0)
            r = pin_request_start(signer->worker, packet, fd);
        else if (r == 0)
            r = request_run(signer, packet, -1);
        if (r)
            request_exit(r);
    }
}
