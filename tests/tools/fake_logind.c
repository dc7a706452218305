/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logind as far as the agent uses it: sessions, their locks, delay locks for sleep. Arguments after
 * the address are sessions that are there from the start, as ID:UID:CLASS or ID:UID:CLASS:LEADER;
 * the leader is a process, else our parent. Commands:
 *
 *   add ID UID CLASS   a session comes        remove ID        it ends
 *   quiet-remove ID    likewise, without a signal: as if it had ended while nobody listened
 *   leave ID           its person left, and logind keeps it: a program stayed behind
 *   lock ID            the signal Lock        hint ID 0|1      the property LockedHint
 *   sleep 1|0          PrepareForSleep        refuse           no delay locks from now on
 *
 * Says "inhibit NAME WHAT MODE" when somebody (unique name) takes a delay lock, "refused" when it
 * may not, "released" when one is given back, "listed" when the sessions were asked for, "got ID"
 * for the properties of one.
 */
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>

#include "fake_bus_peer.h"

#define MANAGER_PATH "/org/freedesktop/login1"
#define MANAGER "org.freedesktop.login1.Manager"
#define SESSION "org.freedesktop.login1.Session"
#define SESSIONS_MAX 16

static bool is_refusing;
static struct session {
    bool is_there;
    bool is_locked;
    char id[32];
    char path[128];
    char class[32];
    uint32_t uid;
    pid_t leader;
    bool is_closing;
    sd_bus_slot *slot;
} sessions[SESSIONS_MAX];

static struct session *session_find(const char *id)
{
    for (size_t i = 0; i < SESSIONS_MAX; i++)
        if (sessions[i].is_there && strcmp(sessions[i].id, id) == 0)
            return &sessions[i];
    (void)fprintf(stderr, "no session %s\n", id);
    exit(EXIT_FAILURE);
}

static int session_get(sd_bus *bus, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    const struct session *session = userdata;

    (void)bus;
    (void)path;
    (void)interface;
    (void)error;
    if (strcmp(property, "Class") == 0)
        return sd_bus_message_append(reply, "s", session->class);
    if (strcmp(property, "Leader") == 0)
        return sd_bus_message_append(reply, "u", (uint32_t)session->leader);
    if (strcmp(property, "State") == 0)
        return sd_bus_message_append(reply, "s", session->is_closing ? "closing" : "active");
    fake_say("got %s", session->id);
    return sd_bus_message_append(reply, "b", (int)session->is_locked);
}

static const sd_bus_vtable session_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Class", "s", session_get, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Leader", "u", session_get, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("State", "s", session_get, 0, 0),
    SD_BUS_PROPERTY("LockedHint", "b", session_get, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_SIGNAL("Lock", "", 0),
    SD_BUS_VTABLE_END,
};

static int manager_list(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

    (void)userdata;
    (void)error;
    fake_check(sd_bus_message_new_method_return(message, &reply), "reply");
    fake_check(sd_bus_message_open_container(reply, 'a', "(susso)"), "reply");
    for (size_t i = 0; i < SESSIONS_MAX; i++)
        if (sessions[i].is_there)
            fake_check(sd_bus_message_append(reply, "(susso)", sessions[i].id, sessions[i].uid,
                                             "user", "seat0", sessions[i].path),
                       "reply");
    fake_check(sd_bus_message_close_container(reply), "reply");
    int r = sd_bus_send(NULL, reply, NULL);
    fake_say("listed");
    return r;
}

/* Every copy of the other end is closed. */
static int manager_handle_release(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    (void)events;
    (void)userdata;
    (void)sd_event_source_unref(source);
    (void)close(fd);
    fake_say("released");
    return 0;
}

static int manager_inhibit(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    struct fake_bus_peer *peer = userdata;
    sd_event_source *source = NULL;
    const char *what = NULL;
    const char *mode = NULL;
    int fds[2];

    if (is_refusing) {
        fake_say("refused");
        return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, "no");
    }
    fake_check(sd_bus_message_read(message, "ssss", &what, NULL, NULL, &mode), "arguments");
    fake_check(pipe2(fds, O_CLOEXEC | O_NONBLOCK), "pipe");
    fake_check(sd_event_add_io(peer->event, &source, fds[0], EPOLLIN, manager_handle_release, NULL),
               "release");
    int r = sd_bus_reply_method_return(message, "h", fds[1]);
    (void)close(fds[1]);
    fake_say("inhibit %s %s %s", sd_bus_message_get_sender(message), what, mode);
    return r;
}

static const sd_bus_vtable manager_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("ListSessions", "", "a(susso)", manager_list, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Inhibit", "ssss", "h", manager_inhibit, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL("SessionNew", "so", 0),
    SD_BUS_SIGNAL("SessionRemoved", "so", 0),
    SD_BUS_SIGNAL("PrepareForSleep", "b", 0),
    SD_BUS_VTABLE_END,
};

static void session_add(struct fake_bus_peer *peer, const char *id, const char *uid,
                        const char *class, const char *leader)
{
    size_t i = 0;

    while (i < SESSIONS_MAX - 1 && sessions[i].is_there)
        i++;
    struct session *session = &sessions[i];
    *session = (struct session){.is_there = true, .uid = (uint32_t)strtoul(uid, NULL, 10)};
    session->leader = leader ? (pid_t)strtol(leader, NULL, 10) : getppid();
    (void)snprintf(session->id, sizeof(session->id), "%s", id);
    (void)snprintf(session->class, sizeof(session->class), "%s", class);
    (void)snprintf(session->path, sizeof(session->path), MANAGER_PATH "/session/_3%s", id);
    fake_check(sd_bus_add_object_vtable(peer->bus, &session->slot, session->path, SESSION,
                                        session_vtable, session),
               "session");
    fake_check(sd_bus_emit_signal(peer->bus, MANAGER_PATH, MANAGER, "SessionNew", "so", session->id,
                                  session->path),
               "SessionNew");
}

static void session_remove(struct fake_bus_peer *peer, struct session *session, bool is_told)
{
    session->is_there = false;
    session->slot = sd_bus_slot_unref(session->slot);
    if (is_told)
        fake_check(sd_bus_emit_signal(peer->bus, MANAGER_PATH, MANAGER, "SessionRemoved", "so",
                                      session->id, session->path),
                   "SessionRemoved");
}

static void handle_command(struct fake_bus_peer *peer, char *const words[FAKE_WORDS_MAX])
{
    const char *verb = words[0];

    if (strcmp(verb, "add") == 0) {
        session_add(peer, words[1], words[2], words[3], NULL);
    } else if (strcmp(verb, "remove") == 0 || strcmp(verb, "quiet-remove") == 0) {
        session_remove(peer, session_find(words[1]), *verb == 'r');
    } else if (strcmp(verb, "leave") == 0) {
        session_find(words[1])->is_closing = true;
    } else if (strcmp(verb, "lock") == 0) {
        fake_check(sd_bus_emit_signal(peer->bus, session_find(words[1])->path, SESSION, "Lock", ""),
                   "Lock");
    } else if (strcmp(verb, "hint") == 0) {
        session_find(words[1])->is_locked = *words[2] == '1';
        fake_check(sd_bus_emit_properties_changed(peer->bus, session_find(words[1])->path, SESSION,
                                                  "LockedHint", NULL),
                   "LockedHint");
    } else if (strcmp(verb, "refuse") == 0) {
        is_refusing = true;
    } else if (strcmp(verb, "sleep") == 0) {
        fake_check(sd_bus_emit_signal(peer->bus, MANAGER_PATH, MANAGER, "PrepareForSleep", "b",
                                      *words[1] == '1'),
                   "PrepareForSleep");
    } else {
        (void)fprintf(stderr, "no command %s\n", verb);
        exit(EXIT_FAILURE);
    }
}

int main(int argc, char **argv)
{
    struct fake_bus_peer peer = {.name = "org.freedesktop.login1", .command = handle_command};
    char *rest = NULL;

    fake_bus_peer_connect(&peer, argc, argv);
    for (int i = 2; i < argc; i++) {
        const char *id = strtok_r(argv[i], ":", &rest);
        const char *uid = strtok_r(NULL, ":", &rest);
        const char *class = strtok_r(NULL, ":", &rest);
        session_add(&peer, id, uid, class, strtok_r(NULL, ":", &rest));
    }
    fake_check(
        sd_bus_add_object_vtable(peer.bus, NULL, MANAGER_PATH, MANAGER, manager_vtable, &peer),
        "manager");
    return fake_bus_peer_run(&peer);
}
