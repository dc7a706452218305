/* SPDX-License-Identifier: Apache-2.0 */
/* Notes for a person; see notice.h. Spec: Desktop Notifications Specification 1.2. */
#include "agent/notice.h"

#include <string.h>

#include "agent/bus_service.h"
#include "agent/list.h"
#include "common/log.h"

#define NOTICE_SERVICE "org.freedesktop.Notifications"
#define NOTICE_PATH "/org/freedesktop/Notifications"
/* Somebody is waited for: the note stays until that is over, also over a full-screen window. */
#define NOTICE_URGENCY_CRITICAL 2
#define NOTICE_NEVER_EXPIRES 0

struct notice {
    struct list link;
    struct notice_board *board;
    char *key;
    char *summary;
    char *body;
    uint32_t id;       /* of the service; 0: not shown */
    sd_bus_slot *call; /* Notify is under way */
    bool is_stale;     /* its words changed meanwhile */
    bool is_over;      /* its reason is gone; it ends when the answer is there */
    bool is_put_away;  /* by the person */
};

struct notice_board {
    sd_event *event;
    struct bus_service *service; /* NULL: never enabled, or there is no session bus */
    bool is_enabled;
    bool has_capabilities; /* the service said what it can */
    bool takes_markup;
    struct list notices;
    size_t count;
};

static struct notice *notice_free(struct notice *notice)
{
    if (!notice)
        return NULL;
    list_remove(&notice->link);
    (void)sd_bus_slot_unref(notice->call);
    free(notice->key);
    free(notice->summary);
    free(notice->body);
    free(notice);
    return NULL;
}

static void notice_end(struct notice *notice)
{
    notice->board->count--;
    (void)notice_free(notice);
}

static struct notice *notice_find(const struct notice_board *board, const char *key)
{
    list_for_each (link, &board->notices) {
        struct notice *notice = list_entry(link, struct notice, link);
        if (!notice->is_over && strcmp(notice->key, key) == 0)
            return notice;
    }
    return NULL;
}

/* A server that takes markup would read "<" and "&" as such. NULL: no memory. */
static char *notice_escape_markup(const char *text)
{
    static const char *const entities[] = {['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;"};
    size_t len = strlen(text) * 5 + 1;
    char *escaped = malloc(len);
    size_t used = 0;

    for (; escaped && *text; text++) {
        unsigned char byte = (unsigned char)*text;
        const char *entity = byte < ARRAY_SIZE(entities) ? entities[byte] : NULL;
        if (entity)
            used += (size_t)snprintf(escaped + used, len - used, "%s", entity);
        else
            escaped[used++] = *text;
    }
    if (escaped)
        escaped[used] = '\0';
    return escaped;
}

static int notice_on_shown(sd_bus_message *message, void *userdata, sd_bus_error *error);

static int notice_append(const struct notice *notice, sd_bus_message *call)
{
    _cleanup_free_ char *escaped = NULL;

    if (notice->board->takes_markup) {
        escaped = notice_escape_markup(notice->body);
        if (!escaped)
            return -ENOMEM;
    }
    int r = sd_bus_message_append(call, "susss", "mtls-agent", notice->id, "", notice->summary,
                                  escaped ? escaped : notice->body);
    if (r >= 0)
        r = sd_bus_message_append(call, "as", 0);
    if (r >= 0)
        r = sd_bus_message_append(call, "a{sv}", 2, "urgency", "y", NOTICE_URGENCY_CRITICAL,
                                  "resident", "b", 1);
    return r < 0 ? r : sd_bus_message_append(call, "i", NOTICE_NEVER_EXPIRES);
}

static int notice_send(struct notice *notice, sd_bus *bus)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;

    int r = sd_bus_message_new_method_call(bus, &call, NOTICE_SERVICE, NOTICE_PATH, NOTICE_SERVICE,
                                           "Notify");
    if (r >= 0)
        r = notice_append(notice, call);
    return r < 0 ? r : sd_bus_call_async(bus, &notice->call, call, notice_on_shown, notice, 0);
}

/* Brings what is shown in line with the board, as far as that can be done now. */
static void notice_update(struct notice *notice)
{
    const struct notice_board *board = notice->board;
    sd_bus *bus = bus_service_get_bus(board->service);

    if (notice->is_put_away || !bus || !board->is_enabled || !board->has_capabilities)
        return;
    if (notice->call) {
        notice->is_stale = true;
        return;
    }
    notice->is_stale = false;
    int r = notice_send(notice, bus);
    if (r < 0)
        log_error("cannot show a notification: %s", strerror(-r));
}

/* Told, not asked: whether it is gone makes no difference to us. */
static void notice_take_down(struct notice *notice)
{
    sd_bus *bus = bus_service_get_bus(notice->board->service);
    uint32_t id = notice->id;

    notice->id = 0;
    if (!bus || id == 0)
        return;
    int r = sd_bus_call_method_async(bus, NULL, NOTICE_SERVICE, NOTICE_PATH, NOTICE_SERVICE,
                                     "CloseNotification", NULL, NULL, "u", id);
    if (r < 0)
        log_debug("cannot take down a notification: %s", strerror(-r));
}

static int notice_on_shown(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    struct notice *notice = userdata;
    const sd_bus_error *problem = sd_bus_message_get_error(message);

    (void)error;
    notice->call = sd_bus_slot_unref(notice->call);
    if (problem)
        log_debug("a notification is not shown: %s", problem->name);
    else if (sd_bus_message_read(message, "u", &notice->id) < 0)
        notice->id = 0;
    if (notice->is_over) {
        notice_take_down(notice);
        notice_end(notice);
    } else if (!notice->board->is_enabled) {
        notice_take_down(notice);
    } else if (notice->is_stale) {
        notice_update(notice);
    }
    return 0;
}

static int notice_on_capabilities(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    struct notice_board *board = userdata;
    const char *capability = NULL;

    (void)error;
    board->takes_markup = false;
    if (!sd_bus_message_is_method_error(message, NULL) &&
        sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "s") >= 0)
        while (sd_bus_message_read(message, "s", &capability) > 0)
            board->takes_markup |= strcmp(capability, "body-markup") == 0;
    board->has_capabilities = true;
    list_for_each (link, &board->notices)
        notice_update(list_entry(link, struct notice, link));
    return 0;
}

/* The person put it away, or the service did. */
static int notice_on_closed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    struct notice_board *board = userdata;
    uint32_t id = 0;

    (void)error;
    if (!bus_service_sent(board->service, message) ||
        sd_bus_message_read(message, "uu", &id, NULL) < 0 || id == 0)
        return 0;
    list_for_each (link, &board->notices) {
        struct notice *notice = list_entry(link, struct notice, link);
        if (notice->id != id)
            continue;
        notice->id = 0;
        notice->is_put_away = true;
    }
    return 0;
}

static int notice_connected(sd_bus *bus, void *userdata)
{
    return sd_bus_match_signal_async(bus, NULL, NOTICE_SERVICE, NOTICE_PATH, NOTICE_SERVICE,
                                     "NotificationClosed", notice_on_closed, NULL, userdata);
}

static void notice_appeared(sd_bus *bus, void *userdata)
{
    int r = sd_bus_call_method_async(bus, NULL, NOTICE_SERVICE, NOTICE_PATH, NOTICE_SERVICE,
                                     "GetCapabilities", notice_on_capabilities, userdata, NULL);

    if (r < 0)
        log_error("cannot ask the desktop for its notifications: %s", strerror(-r));
}

/* What the service showed has gone with it; one that comes is shown what is on the board then. */
static void notice_vanished(void *userdata)
{
    struct notice_board *board = userdata;

    board->has_capabilities = false;
    list_for_each_safe (link, &board->notices) {
        struct notice *notice = list_entry(link, struct notice, link);
        notice->call = sd_bus_slot_unref(notice->call);
        notice->id = 0;
        if (notice->is_over)
            notice_end(notice);
    }
}

bool notice_can_show(const struct notice_board *board)
{
    return board && board->is_enabled && bus_service_get_bus(board->service);
}

static int notice_set(struct notice *notice, const char *summary, const char *body)
{
    char *summary_copy = strdup(summary);
    char *body_copy = strdup(body);

    if (!summary_copy || !body_copy) {
        free(summary_copy);
        free(body_copy);
        return -ENOMEM;
    }
    free(notice->summary);
    free(notice->body);
    notice->summary = summary_copy;
    notice->body = body_copy;
    return 0;
}

static struct notice *notice_new(struct notice_board *board, const char *key)
{
    struct notice *notice = calloc(1, sizeof(*notice));

    if (!notice)
        return NULL;
    list_init(&notice->link);
    notice->board = board;
    notice->key = strdup(key);
    if (!notice->key)
        return notice_free(notice);
    list_append(&board->notices, &notice->link);
    board->count++;
    return notice;
}

int notice_show(struct notice_board *board, const char *key, const char *summary, const char *body)
{
    struct notice *notice = notice_find(board, key);
    bool is_new = !notice;

    if (notice && strcmp(notice->summary, summary) == 0 && strcmp(notice->body, body) == 0)
        return 0;
    if (is_new && board->count >= NOTICE_COUNT_MAX)
        return -ENOSPC;
    if (is_new)
        notice = notice_new(board, key);
    if (!notice)
        return -ENOMEM;
    int r = notice_set(notice, summary, body);
    if (r) {
        if (is_new)
            notice_end(notice);
        return r;
    }
    if (board->service && board->is_enabled)
        bus_service_wake(board->service);
    notice_update(notice);
    return 0;
}

bool notice_close(struct notice_board *board, const char *key)
{
    struct notice *notice = notice_find(board, key);

    if (!notice)
        return false;
    if (notice->call) {
        notice->is_over = true;
        return true;
    }
    notice_take_down(notice);
    notice_end(notice);
    return true;
}

/* NULL: there is none, or no memory to name it. */
static char *notice_session_bus(void)
{
    const char *address = secure_getenv("DBUS_SESSION_BUS_ADDRESS");
    const char *dir = secure_getenv("XDG_RUNTIME_DIR");
    char *made = NULL;

    if (address && *address)
        return strdup(address);
    /* a path with other characters would have to be escaped (D-Bus Specification, "Addresses") */
    if (!dir || *dir != '/' ||
        dir[strspn(dir, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/.")])
        return NULL;
    return asprintf(&made, "unix:path=%s/bus", dir) < 0 ? NULL : made;
}

static void notice_connect(struct notice_board *board)
{
    static const struct bus_service_callbacks callbacks = {
        .connected = notice_connected,
        .appeared = notice_appeared,
        .vanished = notice_vanished,
    };
    _cleanup_free_ char *address = notice_session_bus();

    if (!address)
        return;
    int r =
        bus_service_new(board->event, address, NOTICE_SERVICE, &callbacks, board, &board->service);
    if (r < 0)
        log_warning("there will be no desktop notifications: %s",
                    r == -EINVAL ? "$DBUS_SESSION_BUS_ADDRESS is not a Unix socket" : strerror(-r));
}

void notice_board_enable(struct notice_board *board, bool enabled)
{
    if (!board || board->is_enabled == enabled)
        return;
    board->is_enabled = enabled;
    /* The connection stays, for answers that are still to come. */
    if (enabled && !board->service)
        notice_connect(board);
    list_for_each (link, &board->notices) {
        struct notice *notice = list_entry(link, struct notice, link);
        if (enabled)
            notice_update(notice);
        else
            notice_take_down(notice);
    }
}

int notice_board_new(sd_event *event, struct notice_board **ret_board)
{
    struct notice_board *board = calloc(1, sizeof(*board));

    if (!board)
        return -ENOMEM;
    board->event = sd_event_ref(event);
    list_init(&board->notices);
    *ret_board = board;
    return 0;
}

struct notice_board *notice_board_free(struct notice_board *board)
{
    if (!board)
        return NULL;
    notice_board_enable(board, false);
    board->service = bus_service_free(board->service);
    list_for_each_safe (link, &board->notices)
        (void)notice_free(list_entry(link, struct notice, link));
    (void)sd_event_unref(board->event);
    free(board);
    return NULL;
}
