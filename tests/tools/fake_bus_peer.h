/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fakes of services on a message bus share: the address on the command line, commands as
 * lines on standard input, what happened as lines on standard output, the end with the input.
 */
#ifndef MTLS_TESTS_FAKE_BUS_PEER_H
#define MTLS_TESTS_FAKE_BUS_PEER_H

#include <stdbool.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"

#define FAKE_WORDS_MAX 8

struct fake_bus_peer {
    sd_bus *bus;
    sd_event *event;
    const char *name; /* to be owned */
    void (*command)(struct fake_bus_peer *peer, char *const words[FAKE_WORDS_MAX]);
    char line[512];
    size_t line_len;
};

/** fake_check() - ends the program, with the call's name, when @r is negative. */
void fake_check(int r, const char *what);

/** fake_say() - one line for the test. */
void fake_say(const char *format, ...) _printf_(1, 2);

/** fake_bus_peer_connect() - to the bus at argv[1]; the name is not owned yet. */
void fake_bus_peer_connect(struct fake_bus_peer *peer, int argc, char **argv);

/** fake_bus_peer_run() - own the name, say "ready", serve until the input ends. */
int fake_bus_peer_run(struct fake_bus_peer *peer);

#endif
