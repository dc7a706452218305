/* SPDX-License-Identifier: Apache-2.0 */
/* Whom the library trusts behind a socket. Needs root, as it takes other users to try it. */
#include "client/lib/peer.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "client_peer.h"
#include "unit.h"

#define OTHER_UID 65534u
#define THIRD_UID 65533u

/* A directory in /run, where nobody but root writes, that belongs to the other user. */
struct place {
    char dir[64];
    char path[96];
};

static int setup_place(void **state)
{
    struct place *place = calloc(1, sizeof(*place));

    if (!place)
        return -1;
    *state = place;
    (void)snprintf(place->dir, sizeof(place->dir), "/run/mtls-client-test-XXXXXX");
    if (geteuid() != 0)
        return 0;
    if (!mkdtemp(place->dir) || chmod(place->dir, 0755) < 0 || chown(place->dir, OTHER_UID, 0) < 0)
        return -1;
    (void)snprintf(place->path, sizeof(place->path), "%s/agent.sock", place->dir);
    return 0;
}

static int teardown_place(void **state)
{
    struct place *place = *state;

    (void)unlink(place->path);
    (void)rmdir(place->dir);
    free(place);
    return 0;
}

static void skip_without_root(void)
{
    if (geteuid() != 0)
        skip();
}

static void test_path_of_the_other_user_belongs_to_him(void **state)
{
    const struct place *place = *state;

    skip_without_root();
    assert_true(peer_path_belongs_to(place->path, OTHER_UID));
    assert_false(peer_path_belongs_to(place->path, THIRD_UID));
}

static void test_directory_that_others_can_write_to_is_nobodys(void **state)
{
    const struct place *place = *state;

    skip_without_root();
    assert_int_equal(chmod(place->dir, 0775), 0);
    assert_false(peer_path_belongs_to(place->path, OTHER_UID));
    assert_int_equal(chmod(place->dir, 0757), 0);
    assert_false(peer_path_belongs_to(place->path, OTHER_UID));
}

static void test_every_directory_above_counts(void **state)
{
    const struct place *place = *state;
    char inner[sizeof(place->dir) + 8];
    char path[sizeof(inner) + 8];

    skip_without_root();
    (void)snprintf(inner, sizeof(inner), "%s/inner", place->dir);
    (void)snprintf(path, sizeof(path), "%s/sock", inner);
    assert_int_equal(mkdir(inner, 0755), 0);
    assert_int_equal(chown(inner, OTHER_UID, 0), 0);
    bool own_parent = peer_path_belongs_to(path, OTHER_UID);
    assert_int_equal(chown(place->dir, THIRD_UID, 0), 0);
    bool foreign_parent = peer_path_belongs_to(path, OTHER_UID);
    assert_int_equal(rmdir(inner), 0);
    assert_true(own_parent);
    assert_false(foreign_parent);
}

static void test_shared_and_relative_directories_are_nobodys(void **state)
{
    (void)state;
    assert_false(peer_path_belongs_to("/tmp/agent.sock", OTHER_UID));
    assert_false(peer_path_belongs_to("/agent.sock", OTHER_UID));
    assert_false(peer_path_belongs_to("agent.sock", OTHER_UID));
    assert_false(peer_path_belongs_to("", OTHER_UID));
    assert_false(peer_path_belongs_to("/nonexistent/agent.sock", OTHER_UID));
}

/* Becomes the other user before it listens: the kernel notes who called listen(2). */
static pid_t start_foreign_agent(struct peer *peer, int ready_fd)
{
    peer->listen_fd = close_fd(peer->listen_fd);
    pid_t pid = fork();
    if (pid == 0) {
        (void)alarm(20);
        if (chown(peer->dir, OTHER_UID, OTHER_UID) < 0 ||
            setresuid(OTHER_UID, OTHER_UID, OTHER_UID) || peer_listen(peer, PEER_BACKLOG) < 0 ||
            write(ready_fd, "!", 1) != 1)
            _exit(1);
        (void)pause();
        _exit(0);
    }
    (void)close(ready_fd);
    return pid;
}

static void test_agent_of_a_stranger_is_refused(void **state)
{
    struct peer *peer = *state;
    struct mtls_agent_error error = {0};
    char signature[64];
    int ready[2];
    char byte = 0;

    skip_without_root();
    assert_int_equal(pipe(ready), 0);
    pid_t pid = start_foreign_agent(peer, ready[1]);
    ssize_t len = read(ready[0], &byte, 1);
    (void)close(ready[0]);
    struct mtls_agent *agent = mtls_agent_new(peer->path);
    mtls_agent_set_deadline(agent, 2000);
    int code = peer_sign(agent, "x", signature, &error);
    (void)mtls_agent_free(agent);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    assert_int_equal(len, 1);
    assert_int_equal(code, MTLS_AGENT_E_NO_AGENT);
    assert_non_null(strstr(error.text, "uid 65534"));
}

#define PLACE_TEST(test) cmocka_unit_test_setup_teardown(test, setup_place, teardown_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(test_path_of_the_other_user_belongs_to_him),
        PLACE_TEST(test_directory_that_others_can_write_to_is_nobodys),
        PLACE_TEST(test_every_directory_above_counts),
        cmocka_unit_test(test_shared_and_relative_directories_are_nobodys),
        cmocka_unit_test_setup_teardown(test_agent_of_a_stranger_is_refused, peer_setup,
                                        peer_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
