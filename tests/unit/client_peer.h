/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other side of a client in tests: a process of its own that listens at a socket in a temporary
 * directory and plays a script. A script that meets something it did not expect says so and ends
 * with an error, which peer_end() passes on to the test.
 */
#ifndef MTLS_TESTS_CLIENT_PEER_H
#define MTLS_TESTS_CLIENT_PEER_H

#include <sys/types.h>

#include "client/lib/mtls-agent.h"
#include "common/frame.h"
#include "common/protocol.h"

#define PEER_BACKLOG 16

struct peer {
    char dir[48];
    char path[64];
    int listen_fd; /* -1: closed */
    int sync_fd;   /* to the script; -1: none runs */
    pid_t pid;     /* 0: no script runs */
};

/* What a script works with. */
struct peer_side {
    int listen_fd;
    int sync_fd;
};
typedef void (*peer_script_fn)(struct peer_side *side);

/** peer_setup() - cmocka setup: *state is a struct peer that listens; no script runs yet. */
int peer_setup(void **state);
/** peer_teardown() - cmocka teardown: ends the script, removes the directory. */
int peer_teardown(void **state);

/** peer_listen() - (again) a listening socket at peer->path. Return: 0, or -1. */
int peer_listen(struct peer *peer, int backlog);

/** peer_start() - run a script in a child; the test keeps no copy of the listening socket. */
void peer_start(struct peer *peer, peer_script_fn script);
/** peer_kill() - SIGKILL, as an agent that crashed. */
void peer_kill(struct peer *peer);
/** peer_end() - wait for the end of the script. Return: its exit code; 0: all was as expected. */
int peer_end(struct peer *peer);

/** peer_signal() - from either side; peer_await() - until the other side signalled. */
void peer_signal(int sync_fd);
void peer_await(int sync_fd);

/* For scripts. Each ends the script when it fails. */
struct peer_conn {
    int fd;
    int passed_fd;         /* came with the last frame, or -1 */
    bool client_may_leave; /* before it has its reply: no failure of the script */
    struct frame_buffer in;
};
struct peer_request {
    uint8_t type;
    uint32_t id;
    uint8_t *body; /* a copy; freed by the end of the script */
    size_t len;
};

void peer_fail(const char *what) __attribute__((noreturn));
void peer_accept_raw(struct peer_side *side, struct peer_conn *conn);
/** peer_accept() - accept and answer HELLO. */
void peer_accept(struct peer_side *side, struct peer_conn *conn);
void peer_close(struct peer_conn *conn);
/** peer_read() - the next request. Return: false when the client closed. */
bool peer_read(struct peer_conn *conn, struct peer_request *request);
/** peer_expect() - the next request, which must be of this type. */
void peer_expect(struct peer_conn *conn, uint8_t type, struct peer_request *request);
void peer_expect_end(struct peer_conn *conn);
void peer_send(struct peer_conn *conn, const void *bytes, size_t len);
void peer_send_writer(struct peer_conn *conn, struct wire_writer *writer);
void peer_reply_signature(struct peer_conn *conn, uint32_t id, const char *signature);
void peer_reply_error(struct peer_conn *conn, uint32_t id, uint32_t code, const char *text);
/** peer_reply_echo() - the signature is the content of the request: proves whose reply it is. */
void peer_reply_echo(struct peer_conn *conn, const struct peer_request *request);
/** peer_serve_echo() - echo every signature until the client leaves, then close. */
void peer_serve_echo(struct peer_conn *conn);
/** peer_script_echo() - a whole script: serve one connection so. */
void peer_script_echo(struct peer_side *side);

/* For tests. */
#define PEER_TEST(test) cmocka_unit_test_setup_teardown(test, peer_setup, peer_teardown)

extern const uint8_t peer_hash[MTLS_AGENT_KEY_HASH_LEN];

/** peer_sign() - a signature over @content; it is put into @signature as a C string. */
int peer_sign(struct mtls_agent *agent, const char *content, char signature[64],
              struct mtls_agent_error *error);

/** peer_count_fds() - open descriptors of this process. */
size_t peer_count_fds(void);

#endif
