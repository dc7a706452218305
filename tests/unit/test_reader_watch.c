/* SPDX-License-Identifier: Apache-2.0 */
/* What reader-watch knows beside pcscd: its socket's coming, and who has the library mapped. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/protocol.h"
#include "pkcs11/pcsc_use.h"
#include "pkcs11/reader_watch_socket.h"
#include "pkcs11/reader_watch_users.h"
#include "unit.h"

#define OTHER_UID 64124 /* has no other process on the machine */
#define QUICK_MS 5000   /* an event that does not come */

struct fixture {
    char dir[64];
    char folder[96];
    char socket[128];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (!fixture)
        return -1;
    *state = fixture;
    (void)snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/mtls-watch-XXXXXX");
    if (!mkdtemp(fixture->dir))
        return -1;
    (void)snprintf(fixture->folder, sizeof(fixture->folder), "%s/pcscd", fixture->dir);
    (void)snprintf(fixture->socket, sizeof(fixture->socket), "%s/pcscd.comm", fixture->folder);
    return setenv("PCSCLITE_CSOCK_NAME", fixture->socket, 1);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    (void)unlink(fixture->socket);
    (void)rmdir(fixture->folder);
    (void)rmdir(fixture->dir);
    free(fixture);
    return 0;
}

static void make_socket(const struct fixture *fixture)
{
    int fd = open(fixture->socket, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    (void)close(fd);
}

static void test_socket_that_appears_is_seen(void **state)
{
    const struct fixture *fixture = *state;
    bool is_complete = false;

    assert_int_equal(mkdir(fixture->folder, 0700), 0);
    int fd = socket_watch(&is_complete);
    assert_true(is_complete);
    assert_false(socket_is_there());
    assert_false(socket_wait(fd, 0));
    make_socket(fixture);
    assert_true(socket_wait(fd, QUICK_MS));
    assert_true(socket_is_there());
    /* it was told once */
    assert_false(socket_wait(fd, 0));
    (void)close(fd);
}

static void test_folder_that_appears_is_seen(void **state)
{
    const struct fixture *fixture = *state;
    bool is_complete = false;

    int fd = socket_watch(&is_complete);
    assert_true(is_complete);
    assert_int_equal(mkdir(fixture->folder, 0700), 0);
    assert_true(socket_wait(fd, QUICK_MS));
    (void)close(fd);
}

static void test_socket_that_is_made_anew_is_seen(void **state)
{
    const struct fixture *fixture = *state;
    bool is_complete = false;

    assert_int_equal(mkdir(fixture->folder, 0700), 0);
    make_socket(fixture);
    int fd = socket_watch(&is_complete);
    assert_int_equal(unlink(fixture->socket), 0);
    make_socket(fixture);
    assert_true(socket_wait(fd, QUICK_MS));
    (void)close(fd);
}

static void test_wait_without_a_watch_takes_its_time(void **state)
{
    (void)state;
    assert_false(socket_wait(-1, 1));
}

static const struct {
    const char *path;
    bool is_it;
} library_rows[] = {
    {"/usr/lib/x86_64-linux-gnu/libpcsclite.so.1.0.0", true},
    {"/usr/lib/libpcsclite.so.1", true},
    {"libpcsclite.so.1", true},
    {"/usr/lib/x86_64-linux-gnu/libpcsclite_real.so.1", true},
    {"/usr/lib/libpcsclite.so.1 (deleted)", true},
    {"/home/libpcsclite.so/other", false},
    {"/usr/lib/libpcsc.so.1", false},
    {"/usr/share/doc/libpcsclite1", false},
    {"", false},
};

static void test_library_is_known_by_its_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(library_rows); i++)
        if (pcsc_is_library(library_rows[i].path) != library_rows[i].is_it)
            fail_msg("\"%s\"", library_rows[i].path);
}

/* A child that has the library mapped, until its standard input ends. Return: its pid. */
static pid_t start_user(int *ret_fd)
{
    int in[2];
    int out[2];
    char byte = 0;

    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(in[1]);
        bool is_mapped = dlopen("libpcsclite.so.1", RTLD_LAZY) && pcsc_is_mapped();
        (void)!write(out[1], is_mapped ? "y" : "n", 1);
        (void)!read(in[0], &byte, 1);
        _exit(0);
    }
    assert_true(pid > 0);
    (void)close(in[0]);
    assert_int_equal(read(out[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    (void)close(out[0]);
    (void)close(out[1]);
    *ret_fd = in[1];
    return pid;
}

static void test_program_with_the_library_is_named(void **state)
{
    char text[PROTOCOL_TEXT_MAX / 2];
    char expected[64];
    int fd = -1;

    (void)state;
    assert_false(pcsc_is_mapped());
    pid_t pid = start_user(&fd);
    (void)snprintf(expected, sizeof(expected), "(pid %d)", (int)pid);
    /* A child of ours: as the agent's worker it is none of those that are named. */
    users_describe(getpid(), text, sizeof(text));
    bool is_named_as_worker = strstr(text, expected) != NULL;
    users_describe(1, text, sizeof(text));
    bool is_named = strstr(text, expected) != NULL;
    (void)close(fd);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(is_named_as_worker);
    assert_true(is_named);
    users_describe(1, text, sizeof(text));
    assert_null(strstr(text, expected));
}

static void test_names_that_do_not_fit_are_left_out(void **state)
{
    char text[8];
    int fd = -1;

    (void)state;
    pid_t pid = start_user(&fd);
    users_describe(1, text, sizeof(text));
    (void)close(fd);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_string_equal(text, "");
}

#define WATCH_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* Root's programs with the library are any number. */
static int leave_root(void **state)
{
    (void)state;
    if (geteuid() != 0)
        return 0;
    if (setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
        return -1;
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WATCH_TEST(test_socket_that_appears_is_seen),
        WATCH_TEST(test_folder_that_appears_is_seen),
        WATCH_TEST(test_socket_that_is_made_anew_is_seen),
        cmocka_unit_test(test_wait_without_a_watch_takes_its_time),
        cmocka_unit_test(test_library_is_known_by_its_name),
        cmocka_unit_test(test_program_with_the_library_is_named),
        cmocka_unit_test(test_names_that_do_not_fit_are_left_out),
    };

    return cmocka_run_group_tests_name("reader_watch", tests, leave_root, NULL);
}
