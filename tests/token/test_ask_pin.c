/* SPDX-License-Identifier: Apache-2.0 */
/* The real ask-pin: which sources it takes, and that a refused one says what to do, without the
 * PIN. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/frame.h"
#include "common/paths.h"
#include "common/pin_protocol.h"
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

/* ---- As the core runs it: over a socket, where it keeps the PIN. */

struct control {
    int fd;
    pid_t child;
    struct wire_writer writer;
};

static void control_start(struct control *control)
{
    _cleanup_free_ char *helper = NULL;
    int fds[2];

    assert_int_equal(paths_helper("ask-pin", &helper), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    control->child = fork();
    if (control->child == 0) {
        if (dup2(fds[1], PIN_FD_CONTROL) == PIN_FD_CONTROL)
            (void)execl(helper, "ask-pin", (char *)NULL);
        _exit(127);
    }
    (void)close_fd(fds[1]);
    control->fd = fds[0];
    wire_writer_init(&control->writer, PIN_PACKET_MAX);
}

/* Closes its socket; the exit status. */
static int control_end(struct control *control)
{
    int status = 0;

    control->fd = close_fd(control->fd);
    wire_writer_deinit(&control->writer);
    assert_int_equal(waitpid(control->child, &status, 0), control->child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void control_send(struct control *control, int fd)
{
    struct iovec iov = {control->writer.data, control->writer.len};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } data = {0};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd >= 0) {
        message.msg_control = data.space;
        message.msg_controllen = sizeof(data.space);
        data.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&data.header), &fd, sizeof(fd));
    }
    assert_int_equal(sendmsg(control->fd, &message, MSG_NOSIGNAL), control->writer.len);
    wire_writer_reset(&control->writer);
}

static void control_ask(struct control *control, const char *path, const char *refused)
{
    const struct pin_ask ask = {.kind = PIN_KIND_FILE,
                                .timeout_ms = 10000,
                                .argument = wire_span_from_text(path),
                                .refused = wire_span_from_text(refused)};

    assert_int_equal(pin_ask_encode(&control->writer, &ask), 0);
    control_send(control, -1);
}

/* The identity is for the next test step; "" when none was told. */
static enum pin_answer control_read_answer(struct control *control, char identity[PIN_IDENTITY_MAX])
{
    uint8_t packet[4096];
    struct frame frame;
    struct pin_reply reply;
    ssize_t len = recv(control->fd, packet, sizeof(packet), 0);

    assert_true(len > 0);
    assert_int_equal(frame_parse((struct wire_span){packet, (size_t)len}, &frame), 0);
    assert_int_equal(frame.type, PIN_ANSWER);
    assert_int_equal(pin_reply_parse(frame.body, &reply), 0);
    (void)snprintf(identity, PIN_IDENTITY_MAX, "%.*s", (int)reply.source.len,
                   (const char *)reply.source.data);
    return reply.answer;
}

/* What comes out of the pipe of one GIVE. */
static void control_give(struct control *control, char text[OUTPUT_MAX])
{
    static const struct pin_record nothing;
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(pin_record_encode(&control->writer, PIN_GIVE, &nothing), 0);
    control_send(control, fds[1]);
    (void)close_fd(fds[1]);
    read_all(fds[0], text);
}

static void test_control_gives_the_pin_again_and_again(void **state)
{
    struct ask_pin *test = *state;
    struct control control;
    char identity[PIN_IDENTITY_MAX];

    write_pin(test, "123456\n", 7, 0600);
    control_start(&control);
    control_ask(&control, test->path, "");
    assert_int_equal(control_read_answer(&control, identity), PIN_OK);
    assert_int_equal(unlink(test->path), 0);
    for (int i = 0; i < 3; i++) {
        control_give(&control, test->out);
        assert_string_equal(test->out, "123456\n");
    }
    assert_int_equal(control_end(&control), 0);
}

static void test_control_does_not_read_the_source_that_was_refused(void **state)
{
    struct ask_pin *test = *state;
    struct control control;
    char identity[PIN_IDENTITY_MAX];
    char other[PIN_IDENTITY_MAX];

    write_pin(test, "123456\n", 7, 0600);
    control_start(&control);
    control_ask(&control, test->path, "");
    assert_int_equal(control_read_answer(&control, identity), PIN_OK);
    assert_null(strstr(identity, "123456"));
    assert_int_equal(control_end(&control), 0);

    control_start(&control);
    control_ask(&control, test->path, identity);
    assert_int_equal(control_read_answer(&control, other), PIN_E_REFUSED);
    control_give(&control, test->out);
    assert_string_equal(test->out, "");
    assert_int_equal(control_end(&control), 0);

    write_pin(test, "1234567\n", 8, 0600);
    control_start(&control);
    control_ask(&control, test->path, identity);
    assert_int_equal(control_read_answer(&control, other), PIN_OK);
    assert_string_not_equal(identity, other);
    assert_int_equal(control_end(&control), 0);
}

static void test_control_give_without_a_pin_is_an_empty_pipe(void **state)
{
    struct ask_pin *test = *state;
    struct control control;

    control_start(&control);
    control_give(&control, test->out);
    assert_string_equal(test->out, "");
    assert_int_equal(control_end(&control), 0);
}

static void test_control_ends_at_what_it_does_not_know(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } packets[] = {
        {"", 1}, {"\0\0\0\1\x7f", 5}, {"\0\0\0\1\1", 5}, {"\0\0\0\2\2\0", 6}, {"\0\0\0\5\1", 5},
    };
    struct control control;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
        control_start(&control);
        wire_put_raw(&control.writer, packets[i].bytes, packets[i].len);
        control_send(&control, -1);
        assert_int_equal(recv(control.fd, &(char){0}, 1, 0), 0);
        assert_int_equal(control_end(&control), 1);
    }
}

static void test_control_asks_only_once(void **state)
{
    struct ask_pin *test = *state;
    struct control control;
    char identity[PIN_IDENTITY_MAX];

    write_pin(test, "123456\n", 7, 0600);
    control_start(&control);
    control_ask(&control, test->path, "");
    assert_int_equal(control_read_answer(&control, identity), PIN_OK);
    control_ask(&control, test->path, "");
    assert_int_equal(recv(control.fd, &(char){0}, 1, 0), 0);
    assert_int_equal(control_end(&control), 1);
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
        ASK_PIN_TEST(test_control_gives_the_pin_again_and_again),
        ASK_PIN_TEST(test_control_does_not_read_the_source_that_was_refused),
        ASK_PIN_TEST(test_control_give_without_a_pin_is_an_empty_pipe),
        ASK_PIN_TEST(test_control_ends_at_what_it_does_not_know),
        ASK_PIN_TEST(test_control_asks_only_once),
    };

    return cmocka_run_group_tests_name("ask-pin", tests, NULL, NULL);
}
