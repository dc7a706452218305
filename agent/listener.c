/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening socket in the loop; see listener.h. Running out of descriptors never spins: one is
 * kept in reserve to shed a connection, and the listener then rests for a moment.
 */
#include "agent/listener.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "agent/socket_file.h"
#include "common/clock.h"
#include "common/log.h"

#define LISTENER_REST_US 100000u /* pause after EMFILE */
#define LISTENER_ACCEPT_BATCH 16
#define LISTENER_LOG_MS 60000u /* between two log lines about it */

struct listener {
    sd_event *event;
    listener_accept_fn accept_fn;
    void *userdata;
    char *path; /* NULL: the socket came from systemd */
    int fd;
    int lock_fd;
    int reserve_fd;
    uint64_t shed_logged_ms;
    sd_event_source *io;
    sd_event_source *rest;
    sd_event_source *watch;
};

struct listener *listener_free(struct listener *listener)
{
    if (!listener)
        return NULL;
    sd_event_source_disable_unref(listener->io);
    sd_event_source_disable_unref(listener->rest);
    sd_event_source_disable_unref(listener->watch);
    if (listener->path && listener->fd >= 0)
        (void)unlink(listener->path);
    (void)close_fd(listener->fd);
    (void)close_fd(listener->reserve_fd);
    (void)close_fd(listener->lock_fd);
    free(listener->path);
    free(listener);
    return NULL;
}

static int listener_handle_rest(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct listener *listener = userdata;

    (void)source;
    (void)usec;
    if (listener->reserve_fd < 0)
        listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return sd_event_source_set_enabled(listener->io, SD_EVENT_ON);
}

/* No descriptor is left: shed one waiting connection with the reserve, and rest. */
static int listener_shed(struct listener *listener)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (!listener->shed_logged_ms || now_ms - listener->shed_logged_ms > LISTENER_LOG_MS) {
        listener->shed_logged_ms = now_ms;
        log_warning("no descriptors are left for new connections; raise LimitNOFILE=");
    }
    listener->reserve_fd = close_fd(listener->reserve_fd);
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    (void)close_fd(fd);
    listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int r = sd_event_source_set_time_relative(listener->rest, LISTENER_REST_US);
    if (r >= 0)
        r = sd_event_source_set_enabled(listener->rest, SD_EVENT_ONESHOT);
    if (r >= 0)
        r = sd_event_source_set_enabled(listener->io, SD_EVENT_OFF);
    return r;
}

static int listener_handle_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct listener *listener = userdata;

    (void)source;
    (void)events;
    for (int i = 0; i < LISTENER_ACCEPT_BATCH; i++) {
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client >= 0) {
            listener->accept_fn(listener->userdata, client);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            return listener_shed(listener);
        /* EAGAIN: nobody waits. Anything else was one client's failure, not ours. */
        return 0;
    }
    return 0;
}

/* Checks what systemd passed; see sd_listen_fds(3). */
static int listener_take_activated(int *ret_fd)
{
    const char *pid = secure_getenv("LISTEN_PID");
    char own_pid[16];

    (void)snprintf(own_pid, sizeof(own_pid), "%d", (int)getpid());
    if (!pid || strcmp(pid, own_pid) != 0) {
        log_error("LISTEN_FDS is set, but LISTEN_PID does not name this process: sockets were "
                  "passed to another program; unset LISTEN_FDS");
        return LISTENER_E_REFUSED;
    }
    int count = sd_listen_fds(1);
    if (count != 1) {
        log_error("socket activation passed %d sockets, not one", count < 0 ? 0 : count);
        return LISTENER_E_REFUSED;
    }
    int fd = SD_LISTEN_FDS_START;
    if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0) {
        log_error("socket activation passed something else than a listening Unix stream socket: "
                  "write ListenStream=/PATH into the .socket unit");
        return LISTENER_E_REFUSED;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

static int listener_watch_io(struct listener *listener)
{
    int r = sd_event_add_io(listener->event, &listener->io, listener->fd, EPOLLIN,
                            listener_handle_io, listener);

    return r < 0 ? r : 0;
}

static int listener_make_again(struct listener *listener);

static int listener_handle_watch(sd_event_source *source, const struct inotify_event *change,
                                 void *userdata)
{
    struct listener *listener = userdata;
    struct stat stat_buf;

    (void)source;
    if (change->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) {
        log_info("the socket's directory was removed; ending");
        return sd_event_exit(listener->event, 0);
    }
    if (lstat(listener->path, &stat_buf) == 0 || errno != ENOENT)
        return 0;
    return listener_make_again(listener);
}

static int listener_watch_file(struct listener *listener)
{
    _cleanup_free_ char *dir = strdup(listener->path);

    if (!dir)
        return -ENOMEM;
    *strrchr(dir, '/') = '\0';
    int r =
        sd_event_add_inotify(listener->event, &listener->watch, dir,
                             IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR,
                             listener_handle_watch, listener);
    return r < 0 ? r : 0;
}

/* Claims the path and makes the socket; watched from before it is there, so that no end of it is
 * missed. */
static int listener_make_socket(struct listener *listener)
{
    int r = socket_file_lock(listener->path, &listener->lock_fd);

    if (!r)
        r = listener_watch_file(listener);
    if (!r)
        r = socket_file_listen(listener->path, &listener->fd);
    if (!r)
        r = socket_file_check_claim(listener->path, listener->lock_fd);
    return r > 0 ? LISTENER_E_REFUSED : r;
}

/* Our file is gone, perhaps with its directory: make all anew; connections that are open go on. */
static int listener_make_again(struct listener *listener)
{
    listener->io = sd_event_source_disable_unref(listener->io);
    listener->watch = sd_event_source_disable_unref(listener->watch);
    listener->fd = close_fd(listener->fd);
    listener->lock_fd = close_fd(listener->lock_fd);
    int r = listener_make_socket(listener);
    if (!r)
        r = listener_watch_io(listener);
    if (r) {
        log_error("the socket was removed and cannot be made again; ending");
        return sd_event_exit(listener->event, 0);
    }
    log_info("the socket was removed; made it again at %s", listener->path);
    return 0;
}

int listener_new(sd_event *event, const char *path, listener_accept_fn accept_fn, void *userdata,
                 struct listener **ret_listener)
{
    _cleanup_(cleanup_listener) struct listener *listener = calloc(1, sizeof(*listener));

    if (!listener)
        return -ENOMEM;
    *listener = (struct listener){.event = event,
                                  .accept_fn = accept_fn,
                                  .userdata = userdata,
                                  .fd = -1,
                                  .lock_fd = -1,
                                  .reserve_fd = -1};
    bool is_activated = secure_getenv("LISTEN_FDS") != NULL;
    listener->path = is_activated ? NULL : strdup(path);
    if (!is_activated && !listener->path)
        return -ENOMEM;
    int r = is_activated ? listener_take_activated(&listener->fd) : listener_make_socket(listener);
    if (r)
        return r;
    listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    r = sd_event_add_time(event, &listener->rest, CLOCK_MONOTONIC, UINT64_MAX, 0,
                          listener_handle_rest, listener);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(listener->rest, SD_EVENT_OFF);
    if (r < 0)
        return r;
    r = listener_watch_io(listener);
    if (r < 0)
        return r;
    *ret_listener = TAKE_PTR(listener);
    return 0;
}
