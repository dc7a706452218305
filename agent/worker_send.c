/* SPDX-License-Identifier: Apache-2.0 */
/* What a token worker is told; see worker.h. */
#include "agent/packet.h"
#include "agent/sign_request.h"
#include "agent/worker.h"
#include "common/clock.h"

#define WORKER_SLOT_BITS 6u

_Static_assert(1u << WORKER_SLOT_BITS == WORKER_WINDOW_MAX, "a sequence number ends in its slot");

int worker_send_load(struct worker *worker, const struct worker_load *load)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer packet;

    wire_writer_init(&packet, WORKER_PACKET_MAX);
    worker->hardware_threads = load->threads;
    int r = worker_load_encode(&packet, load);
    return r ? r : packet_send(worker->fd, &packet, -1);
}

int worker_send_discover(struct worker *worker)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer packet;

    wire_writer_init(&packet, WORKER_PACKET_MAX);
    int r = worker_empty_encode(&packet, WORKER_DISCOVER);
    return r ? r : packet_send(worker->fd, &packet, -1);
}

static void worker_begin_login(struct worker *worker, uint32_t token, bool is_logout)
{
    worker->login_is_pending = true;
    worker->login_is_logout = is_logout;
    worker->login_is_set_pin = false;
    worker->login_is_keypad = false;
    worker->login_seq = ++worker->seq;
    worker->login_token = token;
    worker->login_since_ms = clock_monotonic_ms();
    worker->login_call_since_ms = 0;
    atomic_store_explicit(&worker->ledger->login, WORKER_LOGIN_WAITING, memory_order_release);
}

/* @r: of the encoder. What was not sent is not pending. */
static int worker_finish_login(struct worker *worker, int r, const struct wire_writer *packet,
                               int pin_fd)
{
    if (!r)
        r = packet_send(worker->fd, packet, pin_fd);
    if (r)
        worker->login_is_pending = false;
    return r;
}

int worker_send_login(struct worker *worker, uint32_t token, int pin_fd, enum worker_tries tries,
                      bool is_keypad, uint32_t timeout_ms)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer packet;

    wire_writer_init(&packet, WORKER_PACKET_MAX);
    worker_begin_login(worker, token, false);
    worker->login_is_keypad = is_keypad;
    const struct worker_login login = {worker->login_seq, token, tries, is_keypad, timeout_ms};
    int r = worker_login_encode(&packet, &login);
    return worker_finish_login(worker, r, &packet, pin_fd);
}

int worker_send_set_pin(struct worker *worker, uint32_t token, enum worker_pin_change change,
                        int pin_fd, uint32_t timeout_ms)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer packet;

    wire_writer_init(&packet, WORKER_PACKET_MAX);
    worker_begin_login(worker, token, false);
    worker->login_is_set_pin = true;
    const struct worker_set_pin set_pin = {worker->login_seq, token, change, timeout_ms};
    int r = worker_set_pin_encode(&packet, &set_pin);
    return worker_finish_login(worker, r, &packet, pin_fd);
}

int worker_send_logout(struct worker *worker, uint32_t token)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer packet;

    wire_writer_init(&packet, WORKER_PACKET_MAX);
    worker_begin_login(worker, token, true);
    const struct worker_logout logout = {worker->login_seq, token};
    int r = worker_logout_encode(&packet, &logout);
    return worker_finish_login(worker, r, &packet, -1);
}

int worker_send_look(struct worker *worker)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer packet;

    wire_writer_init(&packet, WORKER_PACKET_MAX);
    int r = worker_empty_encode(&packet, WORKER_LOOK);
    if (!r)
        r = packet_send(worker->fd, &packet, -1);
    if (!r)
        worker->look_since_ms = clock_monotonic_ms();
    return r;
}

static uint32_t worker_find_slot(const struct worker *worker)
{
    uint32_t slot = 0;

    while (worker->slots[slot].request)
        slot++;
    return slot;
}

int worker_send_sign(struct worker *worker, struct sign_request *request,
                     const struct inventory_key *key, int pin_fd)
{
    /* Kept between calls: this is the hot path, and the core has one thread. */
    static struct wire_writer packet = {.max = WORKER_PACKET_MAX};
    uint32_t slot = worker_find_slot(worker);
    uint32_t seq = (++worker->seq << WORKER_SLOT_BITS) | slot;
    const struct worker_sign sign = {
        .seq = seq,
        .slot = slot,
        .key = key->info.key,
        .scheme = request->scheme->code,
        .tries = request->pin_tries,
        .keypad = request->pin_is_typed,
        .data = sign_request_get_data(request),
    };

    wire_writer_reset(&packet);
    int r = worker_sign_encode(&packet, &sign);
    if (r)
        return r;
    atomic_store_explicit(&worker->ledger->slots[slot], WORKER_SLOT_QUEUED, memory_order_release);
    r = packet_send(worker->fd, &packet, pin_fd);
    if (r)
        return r;
    worker->slots[slot].request = request;
    worker->slots[slot].seq = seq;
    worker->slots[slot].token = key->info.token;
    request->worker_token = key->info.token;
    worker->slots[slot].sent_us = clock_monotonic_us();
    worker->in_flight++;
    return 0;
}
