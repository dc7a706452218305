/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core when memory runs out at every possible place: an error or a closed connection for the
 * one who asked, and service as before when there is memory again. Between two turns of the loop,
 * where this test itself works, memory is there.
 *
 * Without a sanitizer every allocation of the process counts, also those of libsystemd and libc, as
 * malloc() and its kin are defined here; with one those of our own code, by the linker's --wrap.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/connection.h"
#include "common/clock.h"
#include "fuzz.h"
#include "fuzz_agent.h"

#define ALLOCATIONS_MIN 100u   /* fewer than the script needs */
#define ALLOCATIONS_MAX 20000u /* more than it can need */
#define STEP 7u
#define RECOVERY_MS 10000u
#define PAUSE_US 20000u /* between two looks at whether it has recovered */

#ifdef MTLS_TEST_WRAPS_ALLOCATION
#define HERE(name) __wrap_##name
#define THERE(name) __real_##name
#else
#define HERE(name) name
#define THERE(name) __libc_##name
#endif
#define EXPORT __attribute__((visibility("default"))) /* for the libraries */

void *THERE(malloc)(size_t size);
void *THERE(calloc)(size_t nmemb, size_t size);
void *THERE(realloc)(void *ptr, size_t size);
EXPORT void *HERE(malloc)(size_t size);
EXPORT void *HERE(calloc)(size_t nmemb, size_t size);
EXPORT void *HERE(realloc)(void *ptr, size_t size);

static bool is_counting;   /* the core is at work */
static size_t allocations; /* of the core so far */
static size_t fail_from;   /* the first that fails, from 1 */
static size_t fail_count;  /* so many fail */

static bool is_refused(void)
{
    if (!is_counting)
        return false;
    allocations++;
    if (allocations < fail_from || allocations - fail_from >= fail_count)
        return false;
    errno = ENOMEM;
    return true;
}

void *HERE(malloc)(size_t size)
{
    return is_refused() ? NULL : THERE(malloc)(size);
}

void *HERE(calloc)(size_t nmemb, size_t size)
{
    return is_refused() ? NULL : THERE(calloc)(nmemb, size);
}

void *HERE(realloc)(void *ptr, size_t size)
{
    return is_refused() ? NULL : THERE(realloc)(ptr, size);
}

int __real_sd_event_run(sd_event *event, uint64_t timeout);
int __wrap_sd_event_run(sd_event *event, uint64_t timeout);
void __real_connection_accept(struct agent *agent, int fd);
void __wrap_connection_accept(struct agent *agent, int fd);

/* The loop itself may have no memory to wait with: a turn in which nothing happened. */
int __wrap_sd_event_run(sd_event *event, uint64_t timeout)
{
    is_counting = true;
    int r = __real_sd_event_run(event, timeout);
    is_counting = false;
    return r == -ENOMEM ? 0 : r;
}

void __wrap_connection_accept(struct agent *agent, int fd)
{
    is_counting = true;
    __real_connection_accept(agent, fd);
    is_counting = false;
}

static void send_bare(struct fuzz_agent *fuzz, uint8_t type, uint32_t id)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};

    wire_writer_init(&writer, 1000);
    fuzz_check(protocol_bare_encode(&writer, type, id) == 0);
    fuzz_agent_send(fuzz, (struct wire_span){writer.data, writer.len}, false);
    fuzz_agent_turn(fuzz);
}

static void send_list(struct fuzz_agent *fuzz, uint32_t id, const char *selector)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
    const struct protocol_list list = {.id = id, .selector = wire_span_from_text(selector)};

    wire_writer_init(&writer, 1000);
    fuzz_check(protocol_list_encode(&writer, &list) == 0);
    fuzz_agent_send(fuzz, (struct wire_span){writer.data, writer.len}, false);
    fuzz_agent_turn(fuzz);
}

static void send_subscribe(struct fuzz_agent *fuzz, uint32_t id)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
    const struct protocol_subscribe subscribe = {.id = id, .mask = EVENT_ALL};

    wire_writer_init(&writer, 1000);
    fuzz_check(protocol_subscribe_encode(&writer, &subscribe) == 0);
    fuzz_agent_send(fuzz, (struct wire_span){writer.data, writer.len}, false);
    fuzz_agent_turn(fuzz);
}

static void send_token_request(struct fuzz_agent *fuzz, uint8_t type, uint32_t id)
{
    _cleanup_(cleanup_wire_writer) struct wire_writer writer = {0};
    const struct protocol_token_request request = {.id = id};

    wire_writer_init(&writer, 1000);
    fuzz_check(protocol_token_request_encode(&writer, type, &request) == 0);
    fuzz_agent_send(fuzz, (struct wire_span){writer.data, writer.len}, type == PROTOCOL_UNLOCK);
    fuzz_agent_turn(fuzz);
}

/* SIGHUP, with one more line in the last section, which is the module's: another module then. */
static void reload(struct fuzz_agent *fuzz, const char *line)
{
    FILE *file = fopen(fuzz->agent->config_file, "ae");

    fuzz_check(file && fputs(line, file) >= 0 && fclose(file) == 0);
    fuzz_check(kill(getpid(), SIGHUP) == 0);
    fuzz_agent_turn(fuzz);
}

/* The file as fuzz_agent.c wrote it. */
static void restore_config(const struct fuzz_agent *fuzz, off_t len)
{
    fuzz_check(truncate(fuzz->agent->config_file, len) == 0);
}

static off_t config_len(const struct fuzz_agent *fuzz)
{
    struct stat stat_buf;

    fuzz_check(stat(fuzz->agent->config_file, &stat_buf) == 0);
    return stat_buf.st_size;
}

/* Everything that a core does: clients, requests of every kind, a worker's death, reloads. */
static void run_script(struct fuzz_agent *fuzz)
{
    fuzz_agent_turn(fuzz);
    fuzz_agent_connect(fuzz);
    fuzz_agent_say_hello(fuzz);
    send_subscribe(fuzz, 1);
    send_list(fuzz, 2, "");
    send_list(fuzz, 3, "nothing");
    send_bare(fuzz, PROTOCOL_STATUS, 4);
    fuzz_agent_send_sign(fuzz, FUZZ_KEY_EC, 5);
    fuzz_agent_send_sign(fuzz, FUZZ_KEY_ED25519, 6);
    fuzz_agent_turn(fuzz);
    send_token_request(fuzz, PROTOCOL_LOCK, 7);
    send_token_request(fuzz, PROTOCOL_UNLOCK, 8);
    fuzz_agent_send_sign(fuzz, FUZZ_KEY_EC, 9);
    fuzz_worker_close(fuzz);
    fuzz_agent_turn(fuzz);
    reload(fuzz, "");
    fuzz_agent_connect(fuzz);
    fuzz_agent_say_hello(fuzz);
    send_bare(fuzz, PROTOCOL_STATUS, 1);
    reload(fuzz, "verify = always\n");
    send_list(fuzz, 2, "");
    fuzz_worker_close(fuzz);
    fuzz_agent_turn(fuzz);
    send_list(fuzz, 3, "");
}

/* Until a signature is made: a worker that memory cost us is started again after a pause. */
static void check_signs(struct fuzz_agent *fuzz)
{
    uint64_t end_ms = clock_monotonic_ms() + RECOVERY_MS;
    uint64_t before = fuzz->agent->counters.signatures;

    for (;;) {
        fuzz_agent_connect(fuzz);
        fuzz_agent_say_hello(fuzz);
        send_token_request(fuzz, PROTOCOL_UNLOCK, 1);
        fuzz_agent_send_sign(fuzz, FUZZ_KEY_EC, 2);
        fuzz_agent_turn(fuzz);
        if (fuzz->agent->counters.signatures > before)
            break;
        fuzz_check(clock_monotonic_ms() < end_ms);
        fuzz_check(__real_sd_event_run(fuzz->agent->event, PAUSE_US) >= 0);
    }
}

/* True while there was an allocation to refuse. */
static bool run_with_failure(size_t from, size_t count)
{
    struct fuzz_agent fuzz;

    fuzz_agent_init(&fuzz);
    fuzz.is_answering = true;
    off_t len = config_len(&fuzz);
    allocations = 0;
    fail_from = from;
    fail_count = count;
    run_script(&fuzz);
    bool has_failed = allocations >= from;
    fail_count = 0;
    fuzz_agent_check_alive(&fuzz);
    check_signs(&fuzz);
    restore_config(&fuzz, len);
    fuzz_agent_deinit(&fuzz);
    return has_failed;
}

int main(void)
{
    size_t from = 1;

    for (; run_with_failure(from, 1); from++)
        fuzz_check(from < ALLOCATIONS_MAX);
    fuzz_check(from > ALLOCATIONS_MIN);
    /* For good: the same places, but the pauses between starts of workers take their time. */
    for (size_t i = 1; i < from; i += STEP)
        (void)run_with_failure(i, SIZE_MAX);
    (void)printf("each of %zu allocations was refused\n", from - 1);
    return 0;
}
