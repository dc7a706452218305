/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One service on a message bus (logind, the desktop's notifications), as something that comes and
 * goes: the connection to the bus is made when the bus is there and made again when it was lost,
 * and the owner of the service's name is followed. Nothing here waits: a bus that is missing, or
 * that takes connections and never answers, costs a timer.
 *
 * Anybody on a bus may send anybody a signal that looks like a service's. So what arrives counts
 * only when the bus says that the service's owner sent it: bus_service_sent().
 */
#ifndef MTLS_AGENT_BUS_SERVICE_H
#define MTLS_AGENT_BUS_SERVICE_H

#include <stdbool.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"

struct bus_service;

/* All are called from the event loop. */
struct bus_service_callbacks {
    /* A connection is being made: install matches, asynchronously. Returns 0, or -errno, upon which
     * the connection is given up and tried again later. */
    int (*connected)(sd_bus *bus, void *userdata);
    /* The name has an owner, who may be called from now on; another one than before, if any. */
    void (*appeared)(sd_bus *bus, void *userdata);
    /* The name has no owner any more, or the bus was lost: calls under way get no answer. */
    void (*vanished)(void *userdata);
};

/**
 * bus_service_new() - follow a service
 * @address:    D-Bus addresses, all of them `unix:`; copied
 * @name:       well-known name of the service; borrowed, a literal
 * @ret_service: filled; owned by the caller
 *
 * No callback is called before it returns. Return: 0, -EINVAL when an address is not `unix:` (no
 * program is started and no network used to reach a bus), or another -errno.
 */
int bus_service_new(sd_event *event, const char *address, const char *name,
                    const struct bus_service_callbacks *callbacks, void *userdata,
                    struct bus_service **ret_service) _must_check_;

/** bus_service_free() - without a callback. Return: NULL. */
struct bus_service *bus_service_free(struct bus_service *service);

/** bus_service_get_bus() - borrowed; NULL while the service is not there. */
sd_bus *bus_service_get_bus(const struct bus_service *service);

/** bus_service_sent() - the service's owner sent this message, as the bus says. */
bool bus_service_sent(const struct bus_service *service, sd_bus_message *message);

/**
 * bus_service_wake() - ask the bus to start a service that it knows how to start
 *
 * Does nothing when the service is there, or was asked for a moment ago.
 */
void bus_service_wake(struct bus_service *service);

#endif
