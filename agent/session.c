/* SPDX-License-Identifier: Apache-2.0 */
/* logind from the core's side; see session.h. Spec: org.freedesktop.login1(5). */
#include "agent/session.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>

#include "agent/agent.h"
#include "agent/bus_service.h"
#include "agent/module.h"
#include "agent/readers.h"
#include "common/log.h"

#define LOGIND "org.freedesktop.login1"
#define LOGIND_PATH "/org/freedesktop/login1"
#define LOGIND_MANAGER "org.freedesktop.login1.Manager"
#define LOGIND_SESSION "org.freedesktop.login1.Session"
#define LOGIND_SESSION_PATH "/org/freedesktop/login1/session"
#define PROPERTIES "org.freedesktop.DBus.Properties"
/* logind itself waits for 5 s (InhibitDelayMaxSec=); a process that is busy for longer takes no
 * more requests, and ends after the sleep. */
#define SESSION_SLEEP_MS 4000u
#define SESSION_COUNT_MAX 1024u /* of one user */
#define SYSTEM_BUS "unix:path=/run/dbus/system_bus_socket"

struct session_watch;

struct session {
    struct list link;
    struct session_watch *watch;
    char *path;
    sd_bus_slot *asked;      /* for its properties, of the logind that is there; NULL: not yet */
    sd_event_source *leader; /* the process that made the login; NULL: not known */
    bool is_persons;         /* somebody sits there: not cron's, not that of the user manager */
    bool is_over;            /* that one has left: a program that stayed behind keeps it */
    bool is_locked;
    bool is_listed; /* while the list is compared */
};

struct session_watch {
    struct agent *agent;
    struct bus_service *logind;
    struct list sessions; /* of our uid */
    size_t session_count;
    int inhibitor_fd;           /* sleep is delayed while it is open; -1: none */
    sd_event_source *forgotten; /* while sleep waits for PINs to be gone; NULL: it does not */
    sd_event_source *limit;
};

static struct session *session_free(struct session *session)
{
    if (!session)
        return NULL;
    list_remove(&session->link);
    (void)sd_bus_slot_unref(session->asked);
    sd_event_source_disable_unref(session->leader);
    free(session->path);
    free(session);
    return NULL;
}

static struct session *session_find(const struct session_watch *watch, const char *path)
{
    list_for_each (link, &watch->sessions) {
        struct session *session = list_entry(link, struct session, link);
        if (path && strcmp(session->path, path) == 0)
            return session;
    }
    return NULL;
}

static bool session_has_person(const struct session_watch *watch)
{
    list_for_each (link, &watch->sessions) {
        const struct session *session = list_entry(link, struct session, link);
        if (session->is_persons && !session->is_over)
            return true;
    }
    return false;
}

/* With KillUserProcesses=no logind keeps a session whose person has left, as long as any process of
 * it runs. */
static void session_note_over(struct session *session)
{
    bool had_person = session_has_person(session->watch);

    session->is_over = true;
    if (had_person && !session_has_person(session->watch))
        agent_forget_pins(session->watch->agent, "the last session of the user ended");
}

static void session_end(struct session_watch *watch, struct session *session)
{
    session_note_over(session);
    (void)session_free(session);
    watch->session_count--;
}

static int session_handle_leader(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    (void)fd;
    (void)events;
    (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
    session_note_over(userdata);
    return 0;
}

static void session_follow_leader(struct session *session, pid_t pid)
{
    int fd = pid > 0 && !session->leader ? pidfd_open(pid, 0) : -1;

    /* One that is not to be seen may be in another namespace; the state tells if it has left. */
    if (fd < 0)
        return;
    int r = sd_event_add_io(session->watch->agent->event, &session->leader, fd, EPOLLIN,
                            session_handle_leader, session);
    if (r >= 0)
        r = sd_event_source_set_io_fd_own(session->leader, true);
    if (r < 0) {
        session->leader = sd_event_source_disable_unref(session->leader);
        (void)close(fd);
        log_debug("the leader of session %s cannot be followed: %s", session->path, strerror(-r));
    }
}

/* "user", "user-early" and their like; what else there is runs without a person. */
static bool session_class_is_persons(const char *class)
{
    return strncmp(class, "user", 4) == 0;
}

static void session_set_locked(struct session_watch *watch, struct session *session, bool is_locked)
{
    bool was_locked = session->is_locked;

    session->is_locked = is_locked;
    if (is_locked && !was_locked)
        agent_forget_pins(watch->agent, "the screen was locked");
}

/* One entry of a{sv}, entered. Others than those that are looked for are skipped. */
static int session_read_property(struct session_watch *watch, struct session *session,
                                 sd_bus_message *message)
{
    const char *name = NULL;
    const char *class = NULL;
    const char *state = NULL;
    uint32_t leader = 0;
    int is_locked = 0;

    int r = sd_bus_message_read(message, "s", &name);
    if (r < 0)
        return r;
    if (strcmp(name, "State") == 0) {
        r = sd_bus_message_read(message, "v", "s", &state);
        if (r >= 0 && strcmp(state, "closing") == 0)
            session_note_over(session);
        return r;
    }
    if (strcmp(name, "Leader") == 0) {
        r = sd_bus_message_read(message, "v", "u", &leader);
        if (r >= 0)
            session_follow_leader(session, (pid_t)leader);
        return r;
    }
    if (strcmp(name, "Class") == 0) {
        r = sd_bus_message_read(message, "v", "s", &class);
        if (r >= 0)
            session->is_persons = session_class_is_persons(class);
        return r;
    }
    if (strcmp(name, "LockedHint") == 0) {
        r = sd_bus_message_read(message, "v", "b", &is_locked);
        if (r >= 0)
            session_set_locked(watch, session, is_locked);
        return r;
    }
    return sd_bus_message_skip(message, "v");
}

static int session_read_properties(struct session_watch *watch, struct session *session,
                                   sd_bus_message *message)
{
    int r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "{sv}");

    while (r >= 0) {
        r = sd_bus_message_enter_container(message, SD_BUS_TYPE_DICT_ENTRY, "sv");
        if (r <= 0)
            return r;
        r = session_read_property(watch, session, message);
        if (r >= 0)
            r = sd_bus_message_exit_container(message);
    }
    return r;
}

static int session_on_properties(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    struct session *session = userdata;

    (void)error;
    if (!sd_bus_message_is_method_error(message, NULL) &&
        session_read_properties(session->watch, session, message) < 0)
        log_debug("the properties of session %s cannot be read", session->path);
    return 0;
}

static void session_ask_properties(struct session *session)
{
    int r = sd_bus_call_method_async(bus_service_get_bus(session->watch->logind), &session->asked,
                                     LOGIND, session->path, PROPERTIES, "GetAll",
                                     session_on_properties, session, "s", LOGIND_SESSION);

    if (r < 0)
        log_error("cannot ask logind for a session: %s", strerror(-r));
}

static struct session *session_new(struct session_watch *watch, const char *path)
{
    struct session *session = calloc(1, sizeof(*session));

    if (!session)
        return NULL;
    list_init(&session->link);
    session->watch = watch;
    session->path = strdup(path);
    if (!session->path)
        return session_free(session);
    list_append(&watch->sessions, &session->link);
    watch->session_count++;
    return session;
}

static void session_note(struct session_watch *watch, const char *path)
{
    struct session *session = session_find(watch, path);

    if (!session && watch->session_count < SESSION_COUNT_MAX) {
        session = session_new(watch, path);
        if (!session)
            log_error("no memory to follow a session of logind");
    }
    if (!session)
        return;
    session->is_listed = true;
    if (!session->asked)
        session_ask_properties(session);
}

static int session_read_list(struct session_watch *watch, sd_bus_message *message)
{
    uint32_t uid = 0;
    const char *path = NULL;

    int r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "(susso)");
    while (r >= 0) {
        r = sd_bus_message_read(message, "(susso)", NULL, &uid, NULL, NULL, &path);
        if (r <= 0)
            return r;
        if (uid == watch->agent->uid)
            session_note(watch, path);
    }
    return r;
}

/* Also after logind was away: what is not in the list has ended meanwhile. */
static int session_on_list(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    struct session_watch *watch = userdata;

    (void)error;
    if (sd_bus_message_is_method_error(message, NULL))
        return 0;
    list_for_each (link, &watch->sessions)
        list_entry(link, struct session, link)->is_listed = false;
    int r = session_read_list(watch, message);
    if (r < 0) {
        log_debug("the sessions of logind cannot be read: %s", strerror(-r));
        return 0;
    }
    list_for_each_safe (link, &watch->sessions) {
        struct session *session = list_entry(link, struct session, link);
        if (!session->is_listed)
            session_end(watch, session);
    }
    return 0;
}

static void session_ask_list(struct session_watch *watch)
{
    int r = sd_bus_call_method_async(bus_service_get_bus(watch->logind), NULL, LOGIND, LOGIND_PATH,
                                     LOGIND_MANAGER, "ListSessions", session_on_list, watch, NULL);

    if (r < 0)
        log_error("cannot ask logind for its sessions: %s", strerror(-r));
}

static int session_on_new(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    struct session_watch *watch = userdata;

    (void)error;
    /* Whose it is says only the list. */
    if (bus_service_sent(watch->logind, message))
        session_ask_list(watch);
    return 0;
}

static int session_on_removed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    struct session_watch *watch = userdata;
    const char *path = NULL;

    (void)error;
    if (!bus_service_sent(watch->logind, message) ||
        sd_bus_message_read(message, "so", NULL, &path) < 0)
        return 0;
    struct session *session = session_find(watch, path);
    if (session)
        session_end(watch, session);
    return 0;
}

/* Somebody asks the session to lock its screen: it may do so later, or has nothing to lock with. */
static int session_on_lock(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    struct session_watch *watch = userdata;

    (void)error;
    if (bus_service_sent(watch->logind, message) &&
        session_find(watch, sd_bus_message_get_path(message)))
        agent_forget_pins(watch->agent, "the session was locked");
    return 0;
}

static int session_on_changed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    struct session_watch *watch = userdata;
    struct session *session = session_find(watch, sd_bus_message_get_path(message));
    const char *interface = NULL;

    (void)error;
    if (!session || !bus_service_sent(watch->logind, message) ||
        sd_bus_message_read(message, "s", &interface) < 0 || strcmp(interface, LOGIND_SESSION) != 0)
        return 0;
    if (session_read_properties(watch, session, message) < 0)
        log_debug("the properties of session %s cannot be read", session->path);
    return 0;
}

static int session_on_inhibitor(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    struct session_watch *watch = userdata;
    const sd_bus_error *problem = sd_bus_message_get_error(message);
    int fd = -1;

    (void)error;
    /* one that ends, or hangs, is asked again when it is back */
    if (problem && (sd_bus_error_has_name(problem, SD_BUS_ERROR_NO_REPLY) ||
                    sd_bus_error_has_name(problem, SD_BUS_ERROR_DISCONNECTED)))
        return 0;
    if (problem) {
        log_warning("logind does not let us delay sleep: %s; PINs are forgotten all the same",
                    problem->name);
        return 0;
    }
    if (sd_bus_message_read(message, "h", &fd) < 0)
        return 0;
    watch->inhibitor_fd = close_fd(watch->inhibitor_fd);
    watch->inhibitor_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* the message owns the other one */
    if (watch->inhibitor_fd < 0)
        log_error("cannot keep the lock that delays sleep: %s", strerror(errno));
    return 0;
}

static void session_take_inhibitor(struct session_watch *watch)
{
    sd_bus *bus = bus_service_get_bus(watch->logind);

    if (!bus || watch->inhibitor_fd >= 0)
        return;
    int r = sd_bus_call_method_async(bus, NULL, LOGIND, LOGIND_PATH, LOGIND_MANAGER, "Inhibit",
                                     session_on_inhibitor, watch, "ssss", "sleep", "mtls-agent",
                                     "Forgetting the PINs of tokens", "delay");
    if (r < 0)
        log_error("cannot ask logind to delay sleep: %s", strerror(-r));
}

static void session_let_sleep(struct session_watch *watch)
{
    watch->forgotten = sd_event_source_disable_unref(watch->forgotten);
    watch->limit = sd_event_source_disable_unref(watch->limit);
    watch->inhibitor_fd = close_fd(watch->inhibitor_fd);
}

/* Runs after everything else that the loop does: a process may have ended. */
static int session_check_forgotten(sd_event_source *source, void *userdata)
{
    struct session_watch *watch = userdata;

    (void)source;
    if (!agent_is_forgetting(watch->agent))
        session_let_sleep(watch);
    return 0;
}

static int session_handle_limit(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct session_watch *watch = userdata;

    (void)source;
    (void)usec;
    log_warning("a token's process is still busy as the system goes to sleep");
    session_let_sleep(watch);
    return 0;
}

static void session_prepare_sleep(struct session_watch *watch)
{
    sd_event *event = watch->agent->event;

    agent_forget_pins(watch->agent, "the system goes to sleep");
    if (watch->forgotten)
        return; /* it was said twice */
    if (!agent_is_forgetting(watch->agent)) {
        session_let_sleep(watch);
        return;
    }
    int r = sd_event_add_post(event, &watch->forgotten, session_check_forgotten, watch);
    if (r >= 0)
        r = sd_event_add_time_relative(event, &watch->limit, CLOCK_MONOTONIC,
                                       (uint64_t)SESSION_SLEEP_MS * 1000, 0, session_handle_limit,
                                       watch);
    if (r < 0) {
        log_error("cannot wait for the PINs to be forgotten: %s", strerror(-r));
        session_let_sleep(watch);
    }
}

/* Cards were without power: what a module remembers of them is wrong, and many do not notice. */
static void session_wake_up(struct session_watch *watch)
{
    log_info("the system woke up: looking at the tokens again");
    session_let_sleep(watch);
    session_take_inhibitor(watch);
    list_for_each_safe (link, &watch->agent->modules)
        module_look_again_now(list_entry(link, struct module, link));
    readers_restart(watch->agent->readers);
    agent_watch(watch->agent);
}

static int session_on_sleep(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    struct session_watch *watch = userdata;
    int begins = 0;

    (void)error;
    if (!bus_service_sent(watch->logind, message) || sd_bus_message_read(message, "b", &begins) < 0)
        return 0;
    if (begins)
        session_prepare_sleep(watch);
    else
        session_wake_up(watch);
    return 0;
}

static int session_match(struct session_watch *watch, sd_bus *bus)
{
    static const struct {
        const char *interface;
        const char *member;
        sd_bus_message_handler_t handler;
    } signals[] = {
        {LOGIND_MANAGER, "PrepareForSleep", session_on_sleep},
        {LOGIND_MANAGER, "SessionNew", session_on_new},
        {LOGIND_MANAGER, "SessionRemoved", session_on_removed},
        {LOGIND_SESSION, "Lock", session_on_lock},
    };
    int r = 0;

    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(signals); i++)
        r = sd_bus_match_signal_async(bus, NULL, LOGIND, NULL, signals[i].interface,
                                      signals[i].member, signals[i].handler, NULL, watch);
    if (r < 0)
        return r;
    return sd_bus_add_match_async(
        bus, NULL,
        "type='signal',sender='" LOGIND "',path_namespace='" LOGIND_SESSION_PATH
        "',interface='" PROPERTIES "',member='PropertiesChanged',arg0='" LOGIND_SESSION "'",
        session_on_changed, NULL, watch);
}

static int session_connected(sd_bus *bus, void *userdata)
{
    return session_match(userdata, bus);
}

static void session_appeared(sd_bus *bus, void *userdata)
{
    struct session_watch *watch = userdata;

    (void)bus;
    log_debug("logind is there");
    session_take_inhibitor(watch);
    session_ask_list(watch);
}

/* Sessions that were there are compared with those that a new logind lists. */
static void session_vanished(void *userdata)
{
    struct session_watch *watch = userdata;

    watch->inhibitor_fd = close_fd(watch->inhibitor_fd);
    list_for_each (link, &watch->sessions) {
        struct session *session = list_entry(link, struct session, link);
        session->asked = sd_bus_slot_unref(session->asked);
    }
}

int session_watch_new(struct agent *agent, struct session_watch **ret_watch)
{
    static const struct bus_service_callbacks callbacks = {
        .connected = session_connected,
        .appeared = session_appeared,
        .vanished = session_vanished,
    };
    const char *address = secure_getenv("DBUS_SYSTEM_BUS_ADDRESS");
    struct session_watch *watch = calloc(1, sizeof(*watch));

    if (!watch)
        return -ENOMEM;
    watch->agent = agent;
    watch->inhibitor_fd = -1;
    list_init(&watch->sessions);
    int r = bus_service_new(agent->event, address ? address : SYSTEM_BUS, LOGIND, &callbacks, watch,
                            &watch->logind);
    if (r == -EINVAL)
        log_warning("$DBUS_SYSTEM_BUS_ADDRESS is not a Unix socket: sleep and screen locks are not "
                    "noticed");
    else if (r < 0) {
        (void)session_watch_free(watch);
        return r;
    }
    *ret_watch = watch;
    return 0;
}

struct session_watch *session_watch_free(struct session_watch *watch)
{
    if (!watch)
        return NULL;
    watch->logind = bus_service_free(watch->logind);
    session_let_sleep(watch);
    list_for_each_safe (link, &watch->sessions)
        (void)session_free(list_entry(link, struct session, link));
    free(watch);
    return NULL;
}
