/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A desktop's notification service. Arguments after the address are its capabilities. Commands:
 *
 *   dismiss ID     the person puts a notification away
 *   slow MS        every later Notify is answered so many milliseconds after it came
 *
 * Says "asked NAME" when somebody (unique name) asked for the capabilities, "dismissed", "notify ID
 * REPLACES URGENCY RESIDENT EXPIRES|SUMMARY|BODY", "close ID".
 */
#include <string.h>

#include "fake_bus_peer.h"

#define PATH "/org/freedesktop/Notifications"
#define SERVICE "org.freedesktop.Notifications"
#define CAPABILITIES_MAX 16

static char *capabilities[CAPABILITIES_MAX + 1];
static uint32_t last_id;
static uint64_t delay_ms;

static int service_capabilities(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

    (void)userdata;
    (void)error;
    fake_check(sd_bus_message_new_method_return(message, &reply), "reply");
    fake_check(sd_bus_message_append_strv(reply, capabilities), "capabilities");
    fake_say("asked %s", sd_bus_message_get_sender(message));
    return sd_bus_send(NULL, reply, NULL);
}

struct answer {
    sd_bus_message *call;
    uint32_t id;
};

static int answer_send(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct answer *answer = userdata;

    (void)usec;
    (void)sd_event_source_unref(source);
    fake_check(sd_bus_reply_method_return(answer->call, "u", answer->id), "answer");
    (void)sd_bus_message_unref(answer->call);
    free(answer);
    return 0;
}

static void read_hints(sd_bus_message *message, uint8_t *ret_urgency, int *ret_resident)
{
    const char *name = NULL;

    fake_check(sd_bus_message_enter_container(message, 'a', "{sv}"), "hints");
    while (sd_bus_message_enter_container(message, 'e', "sv") > 0) {
        fake_check(sd_bus_message_read(message, "s", &name), "hint");
        if (strcmp(name, "urgency") == 0)
            fake_check(sd_bus_message_read(message, "v", "y", ret_urgency), "urgency");
        else if (strcmp(name, "resident") == 0)
            fake_check(sd_bus_message_read(message, "v", "b", ret_resident), "resident");
        else
            fake_check(sd_bus_message_skip(message, "v"), "hint");
        fake_check(sd_bus_message_exit_container(message), "hint");
    }
    fake_check(sd_bus_message_exit_container(message), "hints");
}

static int service_notify(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    struct fake_bus_peer *peer = userdata;
    struct answer *answer = calloc(1, sizeof(*answer));
    uint32_t replaces = 0;
    const char *summary = NULL;
    const char *body = NULL;
    uint8_t urgency = 0;
    int resident = 0;
    int32_t expires = -1;
    sd_event_source *source = NULL;

    (void)error;
    fake_check(answer ? 0 : -ENOMEM, "memory");
    fake_check(sd_bus_message_read(message, "susss", NULL, &replaces, NULL, &summary, &body),
               "words");
    fake_check(sd_bus_message_skip(message, "as"), "actions");
    read_hints(message, &urgency, &resident);
    fake_check(sd_bus_message_read(message, "i", &expires), "end");
    uint32_t id = replaces ? replaces : ++last_id;
    answer->id = id;
    answer->call = sd_bus_message_ref(message);
    if (delay_ms > 0)
        fake_check(sd_event_add_time_relative(peer->event, &source, CLOCK_MONOTONIC,
                                              delay_ms * 1000, 0, answer_send, answer),
                   "delay");
    else
        (void)answer_send(NULL, 0, answer);
    fake_say("notify %u %u %u %d %d|%s|%s", id, replaces, urgency, resident, expires, summary,
             body);
    return 1;
}

static int service_close(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    uint32_t id = 0;

    (void)userdata;
    (void)error;
    fake_check(sd_bus_message_read(message, "u", &id), "id");
    fake_say("close %u", id);
    return sd_bus_reply_method_return(message, NULL);
}

static const sd_bus_vtable vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("GetCapabilities", "", "as", service_capabilities, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Notify", "susssasa{sv}i", "u", service_notify, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("CloseNotification", "u", "", service_close, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL("NotificationClosed", "uu", 0),
    SD_BUS_VTABLE_END,
};

static void handle_command(struct fake_bus_peer *peer, char *const words[FAKE_WORDS_MAX])
{
    uint32_t number = (uint32_t)strtoul(words[1] ? words[1] : "", NULL, 10);

    if (strcmp(words[0], "dismiss") == 0) {
        fake_check(
            sd_bus_emit_signal(peer->bus, PATH, SERVICE, "NotificationClosed", "uu", number, 2u),
            "NotificationClosed");
        fake_say("dismissed");
    } else if (strcmp(words[0], "slow") == 0) {
        delay_ms = number;
    } else {
        (void)fprintf(stderr, "no command %s\n", words[0]);
        exit(EXIT_FAILURE);
    }
}

int main(int argc, char **argv)
{
    struct fake_bus_peer peer = {.name = SERVICE, .command = handle_command};

    fake_bus_peer_connect(&peer, argc, argv);
    for (int i = 2; i < argc && i - 2 < CAPABILITIES_MAX; i++)
        capabilities[i - 2] = argv[i];
    fake_check(sd_bus_add_object_vtable(peer.bus, NULL, PATH, SERVICE, vtable, &peer), "service");
    return fake_bus_peer_run(&peer);
}
