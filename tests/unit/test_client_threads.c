/* SPDX-License-Identifier: Apache-2.0 */
/* Several threads on one connection: pipelining, replies in any order, threads that leave. */
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>

#include "client_peer.h"
#include "common/clock.h"
#include "unit.h"

#define THREADS 8u

struct signer {
    struct mtls_agent *agent;
    unsigned int number;
    unsigned int rounds;
    const atomic_bool *stop; /* end before all rounds are done; NULL: do not */
    int code;                /* of the last call */
    unsigned int bad;        /* replies that were another thread's, or none */
};

static void *run_signer(void *argument)
{
    struct signer *signer = argument;
    char content[64];
    char signature[64];

    for (unsigned int i = 0; i < signer->rounds; i++) {
        if (signer->stop && atomic_load(signer->stop))
            break;
        (void)snprintf(content, sizeof(content), "thread %u round %u", signer->number, i);
        signer->code = peer_sign(signer->agent, content, signature, NULL);
        if (signer->code || strcmp(content, signature) != 0)
            signer->bad++;
    }
    return NULL;
}

static void start_signers(struct mtls_agent *agent, struct signer *signers, pthread_t *threads,
                          unsigned int count, unsigned int rounds)
{
    for (unsigned int i = 0; i < count; i++) {
        signers[i] = (struct signer){.agent = agent, .number = i, .rounds = rounds};
        if (pthread_create(&threads[i], NULL, run_signer, &signers[i]))
            abort();
    }
}

static unsigned int join_signers(const struct signer *signers, const pthread_t *threads,
                                 unsigned int count)
{
    unsigned int bad = 0;

    for (unsigned int i = 0; i < count; i++) {
        (void)pthread_join(threads[i], NULL);
        bad += signers[i].bad;
    }
    return bad;
}

static void test_threads_share_one_connection(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct signer signers[THREADS];
    pthread_t threads[THREADS];

    peer_start(peer, peer_script_echo); /* accepts once */
    start_signers(agent, signers, threads, THREADS, 500);
    assert_int_equal(join_signers(signers, threads, THREADS), 0);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

/* Answers only when all threads have asked, the last one first. */
static void script_reversed(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request requests[THREADS];

    peer_accept(side, &conn);
    for (int round = 0; round < 50; round++) {
        for (unsigned int i = 0; i < THREADS; i++)
            peer_expect(&conn, PROTOCOL_SIGN, &requests[i]);
        for (unsigned int i = THREADS; i > 0; i--)
            peer_reply_echo(&conn, &requests[i - 1]);
    }
    peer_expect_end(&conn);
}

static void test_requests_are_pipelined_and_replies_find_their_thread(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct signer signers[THREADS];
    pthread_t threads[THREADS];

    peer_start(peer, script_reversed);
    start_signers(agent, signers, threads, THREADS, 50);
    assert_int_equal(join_signers(signers, threads, THREADS), 0);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

/* The first request, that of the reader, is never answered; the second one after the first left. */
static void script_first_is_lost(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;

    peer_accept(side, &conn);
    peer_expect(&conn, PROTOCOL_SIGN, &request);
    peer_signal(side->sync_fd);
    peer_expect(&conn, PROTOCOL_SIGN, &request);
    peer_signal(side->sync_fd);
    peer_await(side->sync_fd);
    peer_reply_echo(&conn, &request);
    peer_expect_end(&conn);
}

static void test_reader_whose_deadline_passes_hands_its_role_on(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct signer signers[2];
    pthread_t threads[2];

    peer_start(peer, script_first_is_lost);
    mtls_agent_set_deadline(agent, 300);
    start_signers(agent, &signers[0], &threads[0], 1, 1);
    peer_await(peer->sync_fd);
    mtls_agent_set_deadline(agent, 20000);
    start_signers(agent, &signers[1], &threads[1], 1, 1);
    peer_await(peer->sync_fd);

    (void)pthread_join(threads[0], NULL);
    assert_int_equal(signers[0].code, MTLS_AGENT_E_TIMEOUT);
    peer_signal(peer->sync_fd);
    (void)pthread_join(threads[1], NULL);
    assert_int_equal(signers[1].code, 0);
    assert_int_equal(signers[1].bad, 0);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void test_follower_whose_deadline_passes_leaves(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct signer signers[2];
    pthread_t threads[2];

    peer_start(peer, script_first_is_lost);
    mtls_agent_set_deadline(agent, 1500);
    start_signers(agent, &signers[0], &threads[0], 1, 1);
    peer_await(peer->sync_fd);
    mtls_agent_set_deadline(agent, 200);
    uint64_t start_ms = clock_monotonic_ms();
    start_signers(agent, &signers[1], &threads[1], 1, 1);
    peer_await(peer->sync_fd);
    (void)pthread_join(threads[1], NULL);
    assert_int_equal(signers[1].code, MTLS_AGENT_E_TIMEOUT);
    assert_in_range(clock_monotonic_ms() - start_ms, 199, 1200);
    peer_signal(peer->sync_fd); /* the late reply belongs to nobody */
    (void)pthread_join(threads[0], NULL);
    assert_int_equal(signers[0].code, MTLS_AGENT_E_TIMEOUT);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

/* All requests are read, one is answered, then the agent dies; afterwards it is back. */
static void script_dies_with_many(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;

    peer_accept(side, &conn);
    for (unsigned int i = 0; i < THREADS; i++)
        peer_expect(&conn, PROTOCOL_SIGN, &request);
    peer_reply_echo(&conn, &request);
    peer_close(&conn);
    peer_script_echo(side);
}

static void test_death_of_the_agent_reaches_every_thread(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct signer signers[THREADS];
    pthread_t threads[THREADS];
    unsigned int ok = 0;
    unsigned int broken = 0;
    char signature[64];

    peer_start(peer, script_dies_with_many);
    start_signers(agent, signers, threads, THREADS, 1);
    (void)join_signers(signers, threads, THREADS);
    for (unsigned int i = 0; i < THREADS; i++) {
        ok += signers[i].code == 0;
        broken += signers[i].code == MTLS_AGENT_E_CONNECTION;
    }
    assert_int_equal(ok, 1);
    assert_int_equal(broken, THREADS - 1);
    assert_int_equal(peer_sign(agent, "back", signature, NULL), 0);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

static void script_echo_each(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;

    for (;;) {
        peer_accept(side, &conn);
        for (int i = 0; i < 20 && peer_read(&conn, &request); i++) {
            peer_reply_echo(&conn, &request);
            free(request.body);
        }
        frame_buffer_deinit(&conn.in);
        peer_close(&conn);
    }
}

/* An agent that closes again and again: each call ends, with its own reply or a clear error. */
static void test_connection_that_breaks_again_and_again_loses_no_thread(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct signer signers[THREADS];
    pthread_t threads[THREADS];
    size_t fd_count = peer_count_fds();

    peer_start(peer, script_echo_each);
    start_signers(agent, signers, threads, THREADS, 300);
    unsigned int bad = join_signers(signers, threads, THREADS);
    assert_true(bad < THREADS * 300 / 2);
    for (unsigned int i = 0; i < THREADS; i++)
        assert_true(signers[i].code == 0 || signers[i].code == MTLS_AGENT_E_CONNECTION);
    (void)mtls_agent_free(agent);
    peer_kill(peer);
    assert_true(peer_count_fds() < fd_count); /* the listening socket went to the script */
}

/* Frames larger than the kernel's buffer from all threads at once. */
static void *run_large_signer(void *argument)
{
    struct signer *signer = argument;
    size_t content_len = 150000 + signer->number;
    uint8_t *content = calloc(1, content_len);
    uint8_t signature[64];
    size_t len = 0;

    if (!content)
        abort();
    signer->code = mtls_agent_sign(signer->agent, peer_hash, 0x0403, MTLS_AGENT_TLS12, content,
                                   content_len, signature, sizeof(signature), &len, NULL);
    free(content);
    return NULL;
}

static void script_slow_reader(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;

    peer_accept(side, &conn);
    for (unsigned int i = 0; i < THREADS; i++) {
        peer_expect(&conn, PROTOCOL_SIGN, &request);
        peer_reply_signature(&conn, request.id, "short");
    }
    peer_expect_end(&conn);
}

static void test_large_requests_of_several_threads_do_not_mix(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct signer signers[THREADS];
    pthread_t threads[THREADS];

    peer_start(peer, script_slow_reader);
    for (unsigned int i = 0; i < THREADS; i++) {
        signers[i] = (struct signer){.agent = agent, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, run_large_signer, &signers[i]), 0);
    }
    for (unsigned int i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
        assert_int_equal(signers[i].code, 0);
    }
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

/* Reads the first request, nothing of the second, and dies; afterwards it is back. */
static void script_dies_in_a_frame(struct peer_side *side)
{
    struct peer_conn conn;
    struct peer_request request;

    peer_accept(side, &conn);
    peer_expect(&conn, PROTOCOL_SIGN, &request);
    peer_signal(side->sync_fd);
    peer_await(side->sync_fd);
    peer_close(&conn);
    peer_accept(side, &conn);
    peer_expect(&conn, PROTOCOL_STATUS, &request);
    peer_reply_error(&conn, request.id, PROTOCOL_E_BUSY, "later");
    peer_expect_end(&conn);
}

/* What the agent left unread is the begun frame, not the whole one before it. */
static void test_request_before_a_begun_frame_is_not_asked_for_again(void **state)
{
    static const uint8_t content[250000]; /* more than the kernel takes at once */
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct mtls_agent_status *status = NULL;
    struct signer signer;
    uint8_t signature[64];
    pthread_t thread;
    size_t len = 0;

    peer_start(peer, script_dies_in_a_frame);
    start_signers(agent, &signer, &thread, 1, 1);
    peer_await(peer->sync_fd);
    mtls_agent_set_deadline(agent, 100);
    assert_int_equal(mtls_agent_sign(agent, peer_hash, 0x0403, MTLS_AGENT_TLS12, content,
                                     sizeof(content), signature, sizeof(signature), &len, NULL),
                     MTLS_AGENT_E_TIMEOUT);
    mtls_agent_set_deadline(agent, 20000);
    peer_signal(peer->sync_fd);
    (void)pthread_join(thread, NULL);
    assert_int_equal(signer.code, MTLS_AGENT_E_CONNECTION);
    assert_int_equal(mtls_agent_get_status(agent, &status, NULL), MTLS_AGENT_E_BUSY);
    (void)mtls_agent_free(agent);
    assert_int_equal(peer_end(peer), 0);
}

/* Serves any number of connections, one request of whichever comes first. */
static void script_many_connections(struct peer_side *side)
{
    for (;;) {
        struct peer_conn conn;
        peer_accept(side, &conn);
        pid_t pid = fork();
        if (pid < 0)
            peer_fail("fork");
        if (pid == 0) {
            struct peer_request request;
            while (peer_read(&conn, &request)) {
                peer_reply_echo(&conn, &request);
                free(request.body);
            }
            _exit(0);
        }
        frame_buffer_deinit(&conn.in);
        peer_close(&conn);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}

/* The handle's mutex may be held by another thread at the moment of the fork. */
static void test_fork_while_other_threads_sign(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    struct signer signers[2];
    pthread_t threads[2];
    atomic_bool stop = false;
    int failures = 0;

    peer_start(peer, script_many_connections);
    for (unsigned int i = 0; i < 2; i++) {
        signers[i] =
            (struct signer){.agent = agent, .number = i, .rounds = UINT_MAX, .stop = &stop};
        assert_int_equal(pthread_create(&threads[i], NULL, run_signer, &signers[i]), 0);
    }
    for (int i = 0; i < 50; i++) {
        char signature[64];
        int status = 0;
        pid_t child = fork();
        if (child == 0) {
            (void)alarm(20);
            int code = peer_sign(agent, "child", signature, NULL);
            _exit(code == 0 && strcmp(signature, "child") == 0 ? 0 : 1);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            failures++;
    }
    atomic_store(&stop, true);
    unsigned int bad = join_signers(signers, threads, 2);
    (void)mtls_agent_free(agent);
    assert_int_equal(failures, 0);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PEER_TEST(test_threads_share_one_connection),
        PEER_TEST(test_requests_are_pipelined_and_replies_find_their_thread),
        PEER_TEST(test_reader_whose_deadline_passes_hands_its_role_on),
        PEER_TEST(test_follower_whose_deadline_passes_leaves),
        PEER_TEST(test_death_of_the_agent_reaches_every_thread),
        PEER_TEST(test_connection_that_breaks_again_and_again_loses_no_thread),
        PEER_TEST(test_large_requests_of_several_threads_do_not_mix),
        PEER_TEST(test_request_before_a_begun_frame_is_not_asked_for_again),
        PEER_TEST(test_fork_while_other_threads_sign),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
