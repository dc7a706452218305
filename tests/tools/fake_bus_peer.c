/* SPDX-License-Identifier: Apache-2.0 */
/* See fake_bus_peer.h. */
#include "fake_bus_peer.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>

void fake_check(int r, const char *what)
{
    if (r >= 0)
        return;
    (void)fprintf(stderr, "%s: %s\n", what, strerror(-r));
    exit(EXIT_FAILURE);
}

void fake_say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)putchar('\n');
    (void)fflush(stdout);
}

static void fake_handle_line(struct fake_bus_peer *peer, char *line)
{
    char *words[FAKE_WORDS_MAX] = {NULL};
    char *rest = NULL;
    size_t count = 0;

    for (char *word = strtok_r(line, " ", &rest); word && count < FAKE_WORDS_MAX - 1;
         word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    if (count > 0)
        peer->command(peer, words);
}

static int fake_handle_input(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct fake_bus_peer *peer = userdata;
    ssize_t got = read(fd, peer->line + peer->line_len, sizeof(peer->line) - 1 - peer->line_len);
    char *end = NULL;

    (void)source;
    (void)events;
    if (got <= 0)
        return sd_event_exit(peer->event, 0);
    peer->line_len += (size_t)got;
    peer->line[peer->line_len] = '\0';
    while ((end = strchr(peer->line, '\n'))) {
        *end = '\0';
        fake_handle_line(peer, peer->line);
        peer->line_len -= (size_t)(end + 1 - peer->line);
        memmove(peer->line, end + 1, peer->line_len + 1);
    }
    return 0;
}

void fake_bus_peer_connect(struct fake_bus_peer *peer, int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s BUS-ADDRESS [ARGUMENT]...\n", argv[0]);
        exit(EXIT_FAILURE);
    }
    fake_check(sd_event_default(&peer->event), "event loop");
    fake_check(sd_bus_new(&peer->bus), "bus");
    fake_check(sd_bus_set_address(peer->bus, argv[1]), "address");
    fake_check(sd_bus_set_bus_client(peer->bus, true), "client");
    fake_check(sd_bus_negotiate_fds(peer->bus, true), "descriptors");
    fake_check(sd_bus_start(peer->bus), "connect");
}

int fake_bus_peer_run(struct fake_bus_peer *peer)
{
    fake_check(sd_bus_request_name(peer->bus, peer->name, 0), peer->name);
    fake_check(sd_bus_attach_event(peer->bus, peer->event, SD_EVENT_PRIORITY_NORMAL), "attach");
    fake_check(sd_event_add_io(peer->event, NULL, STDIN_FILENO, EPOLLIN, fake_handle_input, peer),
               "input");
    fake_say("ready");
    fake_check(sd_event_loop(peer->event), "loop");
    (void)sd_bus_flush_close_unref(peer->bus);
    (void)sd_event_unref(peer->event);
    return EXIT_SUCCESS;
}
