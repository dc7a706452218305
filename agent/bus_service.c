/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting to a bus, again and again; see bus_service.h. */
#include "agent/bus_service.h"

#include <string.h>

#include "common/clock.h"
#include "common/log.h"

#define BUS_DAEMON "org.freedesktop.DBus"
#define BUS_PATH "/org/freedesktop/DBus"
#define BUS_LOCAL "org.freedesktop.DBus.Local"
/* Between two looks for a bus that is not there; doubled up to the last. */
#define BUS_PAUSE_FIRST_MS 250u
#define BUS_PAUSE_MAX_MS 32000u
#define BUS_ANSWER_MS 10000u /* a bus that lets us in takes less; sd-bus would wait for 90 s */
#define BUS_WAKE_MS 60000u   /* a service that could not be started is not asked for more often */

struct bus_service {
    sd_event *event;
    char *address;
    const char *name;
    const struct bus_service_callbacks *callbacks;
    void *userdata;
    sd_bus *bus;
    char *owner;            /* unique name; NULL: none is known */
    sd_event_source *timer; /* the end of the pause, or of the time to answer */
    bool is_unanswered;     /* connected, and the bus has not said anything yet */
    unsigned int failures;  /* connections in a row on which no bus answered */
    uint64_t woken_ms;      /* 0: never */
};

static int bus_service_connect(struct bus_service *service);

sd_bus *bus_service_get_bus(const struct bus_service *service)
{
    return service && service->owner ? service->bus : NULL;
}

static bool bus_service_is_sender(sd_bus_message *message, const char *name)
{
    const char *sender = sd_bus_message_get_sender(message);

    return sender && name && strcmp(sender, name) == 0;
}

bool bus_service_sent(const struct bus_service *service, sd_bus_message *message)
{
    return bus_service_is_sender(message, service->owner);
}

static void bus_service_arm(struct bus_service *service, uint64_t pause_ms)
{
    int r = sd_event_source_set_time_relative(service->timer, pause_ms * 1000);

    if (r >= 0)
        r = sd_event_source_set_enabled(service->timer, SD_EVENT_ONESHOT);
    if (r < 0)
        log_error("cannot schedule a look for a bus: %s", strerror(-r));
}

static void bus_service_schedule(struct bus_service *service)
{
    unsigned int doublings = service->failures < 7 ? service->failures : 7;

    service->is_unanswered = false;
    service->failures++;
    bus_service_arm(service, (uint64_t)BUS_PAUSE_FIRST_MS << doublings);
}

/* Notes the owner, and tells when it is another one. */
static void bus_service_set_owner(struct bus_service *service, const char *owner)
{
    bool is_there = owner && *owner;
    char *copy = is_there ? strdup(owner) : NULL;

    if (is_there && !copy)
        bus_service_schedule(service); /* what it is called is asked again, on a new connection */
    if (copy && service->owner && strcmp(copy, service->owner) == 0) {
        free(copy);
        return;
    }
    bool had_one = service->owner != NULL;
    free(service->owner);
    service->owner = copy;
    if (had_one)
        service->callbacks->vanished(service->userdata);
    if (copy)
        service->callbacks->appeared(service->bus, service->userdata);
}

/* The connection is of no use any more. Never from its own handlers without a reference. */
static void bus_service_drop(struct bus_service *service)
{
    sd_bus *bus = TAKE_PTR(service->bus);

    bus_service_set_owner(service, NULL);
    (void)sd_bus_close_unref(bus);
}

static int bus_service_handle_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct bus_service *service = userdata;
    bool is_late = service->is_unanswered;

    (void)source;
    (void)usec;
    bus_service_drop(service);
    int r = is_late ? -ETIMEDOUT : bus_service_connect(service);
    if (r) {
        log_debug("no bus for %s: %s", service->name, strerror(-r));
        bus_service_schedule(service);
        return 0;
    }
    service->is_unanswered = true;
    bus_service_arm(service, BUS_ANSWER_MS);
    return 0;
}

/* sd-bus says it of itself: the other end has closed, or did not let us in in time. */
static int bus_service_on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    struct bus_service *service = userdata;

    (void)message;
    (void)error;
    log_debug("the bus of %s is gone", service->name);
    bus_service_set_owner(service, NULL);
    bus_service_schedule(service);
    return 0;
}

static int bus_service_on_owner_changed(sd_bus_message *message, void *userdata,
                                        sd_bus_error *error)
{
    struct bus_service *service = userdata;
    const char *name = NULL;
    const char *before = NULL;
    const char *now = NULL;

    (void)error;
    if (!bus_service_is_sender(message, BUS_DAEMON) ||
        sd_bus_message_read(message, "sss", &name, &before, &now) < 0 ||
        strcmp(name, service->name) != 0)
        return 0;
    bus_service_set_owner(service, now);
    return 0;
}

/* Also tells that the bus answers at all. */
static int bus_service_on_owner(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    struct bus_service *service = userdata;
    const char *owner = NULL;

    (void)error;
    bool has_none = sd_bus_message_is_method_error(message, SD_BUS_ERROR_NAME_HAS_NO_OWNER);
    if (has_none || !sd_bus_message_is_method_error(message, NULL)) {
        service->failures = 0;
        service->is_unanswered = false;
        (void)sd_event_source_set_enabled(service->timer, SD_EVENT_OFF);
    }
    if (!sd_bus_message_is_method_error(message, NULL) &&
        sd_bus_message_read(message, "s", &owner) >= 0)
        bus_service_set_owner(service, owner);
    return 0;
}

static int bus_service_subscribe(struct bus_service *service)
{
    int r = sd_bus_match_signal_async(service->bus, NULL, NULL, "/org/freedesktop/DBus/Local",
                                      BUS_LOCAL, "Disconnected", bus_service_on_disconnected, NULL,
                                      service);
    if (r < 0)
        return r;
    r = sd_bus_match_signal_async(service->bus, NULL, BUS_DAEMON, BUS_PATH, BUS_DAEMON,
                                  "NameOwnerChanged", bus_service_on_owner_changed, NULL, service);
    if (r < 0)
        return r;
    r = service->callbacks->connected(service->bus, service->userdata);
    if (r < 0)
        return r;
    return sd_bus_call_method_async(service->bus, NULL, BUS_DAEMON, BUS_PATH, BUS_DAEMON,
                                    "GetNameOwner", bus_service_on_owner, service, "s",
                                    service->name);
}

static int bus_service_prepare(struct bus_service *service)
{
    int r = sd_bus_set_address(service->bus, service->address);

    if (r >= 0)
        r = sd_bus_set_bus_client(service->bus, true);
    if (r >= 0)
        r = sd_bus_negotiate_fds(service->bus, true);
    /* It would wait, at the end of the loop, for a bus that may never answer. */
    if (r >= 0)
        r = sd_bus_set_close_on_exit(service->bus, false);
    if (r >= 0)
        r = sd_bus_start(service->bus);
    if (r >= 0)
        r = bus_service_subscribe(service);
    if (r >= 0)
        r = sd_bus_attach_event(service->bus, service->event, SD_EVENT_PRIORITY_NORMAL);
    return r;
}

static int bus_service_connect(struct bus_service *service)
{
    int r = sd_bus_new(&service->bus);

    if (r >= 0)
        r = bus_service_prepare(service);
    if (r >= 0)
        return 0;
    bus_service_drop(service);
    return r;
}

void bus_service_wake(struct bus_service *service)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (!service->bus || service->owner ||
        (service->woken_ms > 0 && !clock_is_over(now_ms, service->woken_ms, BUS_WAKE_MS)))
        return;
    service->woken_ms = now_ms;
    /* Whether it came is seen by its name. */
    int r = sd_bus_call_method_async(service->bus, NULL, BUS_DAEMON, BUS_PATH, BUS_DAEMON,
                                     "StartServiceByName", NULL, NULL, "su", service->name, 0u);
    if (r < 0)
        log_debug("cannot ask for %s: %s", service->name, strerror(-r));
}

/* Every address of the list; others start programs or use the network. */
static bool bus_service_is_unix(const char *address)
{
    while (address && strncmp(address, "unix:", 5) == 0) {
        address = strchr(address, ';');
        if (!address || !address[1])
            return true;
        address++;
    }
    return false;
}

int bus_service_new(sd_event *event, const char *address, const char *name,
                    const struct bus_service_callbacks *callbacks, void *userdata,
                    struct bus_service **ret_service)
{
    if (!bus_service_is_unix(address))
        return -EINVAL;
    struct bus_service *service = calloc(1, sizeof(*service));
    if (!service)
        return -ENOMEM;
    service->event = sd_event_ref(event);
    service->name = name;
    service->callbacks = callbacks;
    service->userdata = userdata;
    service->address = strdup(address);
    int r = service->address ? sd_event_add_time_relative(event, &service->timer, CLOCK_MONOTONIC,
                                                          0, 0, bus_service_handle_timer, service)
                             : -ENOMEM;
    if (r < 0) {
        (void)bus_service_free(service);
        return r;
    }
    *ret_service = service;
    return 0;
}

struct bus_service *bus_service_free(struct bus_service *service)
{
    if (!service)
        return NULL;
    sd_event_source_disable_unref(service->timer);
    (void)sd_bus_close_unref(service->bus);
    (void)sd_event_unref(service->event);
    free(service->owner);
    free(service->address);
    free(service);
    return NULL;
}
