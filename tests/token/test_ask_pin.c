/* SPDX-License-Identifier: Apache-2.0 */
/* The real ask-pin: which sources it takes, and that a refused one says what to do, without the
 * PIN. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/paths.h"
#include "token_builder.h"

#define OUTPUT_MAX 4096

struct ask_pin {
    char dir[64];
    char path[128]; /* of "pin" in it */
    int status;     /* exit status */
    char out[OUTPUT_MAX];
    char err[OUTPUT_MAX];
};

static int setup(void **state)
{
    struct ask_pin *test = calloc(1, sizeof(*test));

    if (!test)
        return -1;
    *state = test;
    (void)snprintf(test->dir, sizeof(test->dir), "/tmp/mtls-ask-pin-XXXXXX");
    if (!mkdtemp(test->dir))
        return -1;
    (void)snprintf(test->path, sizeof(test->path), "%s/pin", test->dir);
    return setenv("CREDENTIALS_DIRECTORY", test->dir, 1);
}

static int teardown(void **state)
{
    struct ask_pin *test = *state;

    builder_remove(test->dir);
    free(test);
    return 0;
}

static void write_pin(const struct ask_pin *test, const void *data, size_t len, mode_t mode)
{
    _cleanup_close_ int fd = open(test->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_int_equal(write(fd, data, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
}

static void read_all(int fd, char text[OUTPUT_MAX])
{
    size_t len = 0;
    ssize_t got;

    while (len < OUTPUT_MAX - 1 && (got = read(fd, text + len, OUTPUT_MAX - 1 - len)) > 0)
        len += (size_t)got;
    text[len] = '\0';
    (void)close_fd(fd);
}

static void run(struct ask_pin *test, const char *kind, const char *argument)
{
    _cleanup_free_ char *helper = NULL;
    int out[2];
    int err[2];
    int status = 0;

    assert_int_equal(paths_helper("ask-pin", &helper), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(out[1], STDOUT_FILENO);
        (void)dup2(err[1], STDERR_FILENO);
        (void)execl(helper, "ask-pin", kind, argument, (char *)NULL);
        _exit(127);
    }
    (void)close_fd(out[1]);
    (void)close_fd(err[1]);
    read_all(out[0], test->out);
    read_all(err[0], test->err);
    assert_int_equal(waitpid(child, &status, 0), child);
    test->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void assert_pin(const struct ask_pin *test, const char *pin)
{
    char line[300];

    (void)snprintf(line, sizeof(line), "%s\n", pin);
    assert_string_equal(test->err, "");
    assert_string_equal(test->out, line);
    assert_int_equal(test->status, 0);
}

/* Nothing on standard output, one line on standard error. */
static void assert_refused(const struct ask_pin *test, const char *words)
{
    assert_int_equal(test->status, 1);
    assert_string_equal(test->out, "");
    if (!strstr(test->err, words))
        fail_msg("\"%s\" does not say \"%s\"", test->err, words);
    assert_ptr_equal(strchr(test->err, '\n'), test->err + strlen(test->err) - 1);
    assert_null(strstr(test->err, "1234"));
}

static void test_file(void **state)
{
    struct ask_pin *test = *state;

    write_pin(test, "123456", 6, 0400);
    run(test, "file", test->path);
    assert_pin(test, "123456");
}

static void test_file_line_ends(void **state)
{
    struct ask_pin *test = *state;

    write_pin(test, "123456\r\nmore", 12, 0600);
    run(test, "file", test->path);
    assert_pin(test, "123456");
}

static void test_file_open_to_others(void **state)
{
    static const mode_t modes[] = {0644, 0640, 0602, 0660, 0610};
    struct ask_pin *test = *state;

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        write_pin(test, "123456\n", 7, modes[i]);
        run(test, "file", test->path);
        assert_refused(test, "chmod 600");
        assert_non_null(strstr(test->err, test->path));
    }
}

static void test_file_of_another_owner(void **state)
{
    struct ask_pin *test = *state;

    write_pin(test, "123456\n", 7, 0600);
    if (chown(test->path, 54321, (gid_t)-1) < 0)
        skip();
    run(test, "file", test->path);
    assert_refused(test, "belongs to uid 54321");
}

static void test_file_symbolic_link(void **state)
{
    struct ask_pin *test = *state;
    char target[160];

    write_pin(test, "123456\n", 7, 0600);
    (void)snprintf(target, sizeof(target), "%s/link", test->dir);
    assert_int_equal(symlink(test->path, target), 0);
    run(test, "file", target);
    assert_refused(test, "symbolic link");
}

static void test_file_fifo(void **state)
{
    struct ask_pin *test = *state;

    assert_int_equal(mkfifo(test->path, 0600), 0);
    run(test, "file", test->path);
    assert_refused(test, "not a regular file");
}

static void test_file_directory(void **state)
{
    struct ask_pin *test = *state;

    run(test, "file", test->dir);
    assert_refused(test, "not a regular file");
}

static void test_file_missing(void **state)
{
    struct ask_pin *test = *state;

    run(test, "file", test->path);
    assert_refused(test, "No such file");
}

static void test_file_empty(void **state)
{
    struct ask_pin *test = *state;

    write_pin(test, "", 0, 0600);
    run(test, "file", test->path);
    assert_refused(test, "the PIN is empty");
    write_pin(test, "\n", 1, 0600);
    run(test, "file", test->path);
    assert_refused(test, "the PIN is empty");
}

static void test_file_length(void **state)
{
    struct ask_pin *test = *state;
    char pin[257];

    memset(pin, '7', 256);
    pin[256] = '\0';
    write_pin(test, pin, 256, 0600);
    run(test, "file", test->path);
    assert_refused(test, "longer than 255");
    write_pin(test, pin, 255, 0600);
    run(test, "file", test->path);
    pin[255] = '\0';
    assert_pin(test, pin);
}

static void test_file_nul(void **state)
{
    struct ask_pin *test = *state;

    write_pin(test,
              "12\0"
              "34\n",
              6, 0600);
    run(test, "file", test->path);
    assert_refused(test, "NUL");
}

static void test_command(void **state)
{
    struct ask_pin *test = *state;

    run(test, "command", "printf '%s\\n' 12345678 second third");
    assert_pin(test, "12345678");
}

static void test_command_utf8(void **state)
{
    struct ask_pin *test = *state;

    run(test, "command", "printf 'pä ß'");
    assert_pin(test, "pä ß");
}

/* What goes on after the first line is not waited for. */
static void test_command_goes_on(void **state)
{
    struct ask_pin *test = *state;

    run(test, "command", "exec 2>&-; echo 12345678; exec sleep 1000");
    assert_pin(test, "12345678");
}

/* An error message on the standard output is not a PIN. */
static void test_command_fails_after_its_line(void **state)
{
    struct ask_pin *test = *state;

    run(test, "command", "echo $((41152263 * 3)); exit 4");
    assert_refused(test, "ended with status 4");
}

static void test_command_fails(void **state)
{
    struct ask_pin *test = *state;

    run(test, "command", "exit 3");
    assert_refused(test, "ended with status 3");
}

static void test_command_gives_nothing(void **state)
{
    struct ask_pin *test = *state;

    run(test, "command", "true");
    assert_refused(test, "the PIN is empty");
}

static void test_command_killed(void **state)
{
    struct ask_pin *test = *state;

    run(test, "command", "kill -9 $$");
    assert_refused(test, "signal 9");
}

static void test_credential(void **state)
{
    struct ask_pin *test = *state;

    write_pin(test, "123456\n", 7, 0440);
    run(test, "credential", "pin");
    assert_pin(test, "123456");
}

static void test_credential_bad_names(void **state)
{
    static const char *const names[] = {"", ".", "..", "../pin", "/etc/passwd", "a/b"};
    struct ask_pin *test = *state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        run(test, "credential", names[i]);
        assert_refused(test, "not the name of a credential");
    }
}

static void test_credential_missing(void **state)
{
    struct ask_pin *test = *state;

    run(test, "credential", "absent");
    assert_refused(test, "No such file");
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    run(test, "credential", "absent");
    assert_refused(test, "LoadCredential=absent");
}

static void test_usage(void **state)
{
    struct ask_pin *test = *state;

    run(test, "nonsense", "x");
    assert_refused(test, "usage:");
    run(test, NULL, NULL);
    assert_refused(test, "usage:");
}

int main(void)
{
#define ASK_PIN_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        ASK_PIN_TEST(test_file),
        ASK_PIN_TEST(test_file_line_ends),
        ASK_PIN_TEST(test_file_open_to_others),
        ASK_PIN_TEST(test_file_of_another_owner),
        ASK_PIN_TEST(test_file_symbolic_link),
        ASK_PIN_TEST(test_file_fifo),
        ASK_PIN_TEST(test_file_directory),
        ASK_PIN_TEST(test_file_missing),
        ASK_PIN_TEST(test_file_empty),
        ASK_PIN_TEST(test_file_length),
        ASK_PIN_TEST(test_file_nul),
        ASK_PIN_TEST(test_command),
        ASK_PIN_TEST(test_command_utf8),
        ASK_PIN_TEST(test_command_goes_on),
        ASK_PIN_TEST(test_command_fails),
        ASK_PIN_TEST(test_command_fails_after_its_line),
        ASK_PIN_TEST(test_command_gives_nothing),
        ASK_PIN_TEST(test_command_killed),
        ASK_PIN_TEST(test_credential),
        ASK_PIN_TEST(test_credential_bad_names),
        ASK_PIN_TEST(test_credential_missing),
        ASK_PIN_TEST(test_usage),
    };

    return cmocka_run_group_tests_name("ask-pin", tests, NULL, NULL);
}
