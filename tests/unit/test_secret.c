/* SPDX-License-Identifier: Apache-2.0 */
/* PINs from descriptors: what is taken, what is refused, and that a refusal leaves nothing. */
#include "common/secret.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/wire.h"
#include "unit.h"

#define LONG_MS 10000u /* never waited for */
#define SHORT_MS 30u

struct fixture {
    struct secret *secret;
    int read_fd;
    int write_fd;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    int fds[2] = {-1, -1};

    if (!fixture || pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    fixture->secret = secret_new();
    fixture->read_fd = fds[0];
    fixture->write_fd = fds[1];
    *state = fixture;
    return fixture->secret ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    fixture->secret = secret_free(fixture->secret);
    fixture->read_fd = close_fd(fixture->read_fd);
    fixture->write_fd = close_fd(fixture->write_fd);
    free(fixture);
    return 0;
}

static int read_content(struct fixture *fixture, const void *content, size_t len)
{
    assert_int_equal(write(fixture->write_fd, content, len), len);
    fixture->write_fd = close_fd(fixture->write_fd);
    return secret_read(fixture->secret, fixture->read_fd, LONG_MS);
}

static bool is_wiped(const struct secret *secret)
{
    static const struct secret zero;

    return memcmp(secret, &zero, sizeof(zero)) == 0;
}

static struct wire_span content_of(const struct secret *secret)
{
    return (struct wire_span){secret->data, secret->len};
}

/* One file per row, so that a refused row leaves nothing for the next. */
static const struct {
    const char *name;
    struct wire_span content;
    int answer;
    struct wire_span pin;
} contents[] = {
    {"no line end", WIRE_SPAN_LITERAL("1234"), 0, WIRE_SPAN_LITERAL("1234")},
    {"LF", WIRE_SPAN_LITERAL("1234\n"), 0, WIRE_SPAN_LITERAL("1234")},
    {"CRLF", WIRE_SPAN_LITERAL("1234\r\n"), 0, WIRE_SPAN_LITERAL("1234")},
    {"only the first line", WIRE_SPAN_LITERAL("1234\n5678\n"), 0, WIRE_SPAN_LITERAL("1234")},
    {"CR without LF is content", WIRE_SPAN_LITERAL("12\r34"), 0, WIRE_SPAN_LITERAL("12\r34")},
    {"spaces are content", WIRE_SPAN_LITERAL(" 12 \n"), 0, WIRE_SPAN_LITERAL(" 12 ")},
    {"UTF-8", WIRE_SPAN_LITERAL("\xc3\xa9\n"), 0, WIRE_SPAN_LITERAL("\xc3\xa9")},
    {"not UTF-8", WIRE_SPAN_LITERAL("\xff\xfe\n"), 0, WIRE_SPAN_LITERAL("\xff\xfe")},
    {"nothing", WIRE_SPAN_LITERAL(""), SECRET_E_EMPTY, {0}},
    {"only LF", WIRE_SPAN_LITERAL("\n"), SECRET_E_EMPTY, {0}},
    {"only CRLF", WIRE_SPAN_LITERAL("\r\n"), SECRET_E_EMPTY, {0}},
    {"empty first line", WIRE_SPAN_LITERAL("\n1234\n"), SECRET_E_EMPTY, {0}},
    {"NUL inside",
     WIRE_SPAN_LITERAL("12\0"
                       "34\n"),
     SECRET_E_NUL,
     {0}},
    {"NUL at the end", WIRE_SPAN_LITERAL("1234\0"), SECRET_E_NUL, {0}},
};

static void test_read_content_is_taken_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
        void *row_state = NULL;
        assert_int_equal(setup(&row_state), 0);
        struct fixture *fixture = row_state;
        int r = read_content(fixture, contents[i].content.data, contents[i].content.len);
        bool is_right = r == contents[i].answer &&
                        wire_span_is_equal(content_of(fixture->secret), contents[i].pin) &&
                        (r == 0 || is_wiped(fixture->secret));
        teardown(&row_state);
        if (!is_right)
            fail_msg("%s: %d", contents[i].name, r);
    }
}

static const struct {
    size_t len;
    const char *line_end;
    int answer;
} lengths[] = {
    {SECRET_MAX, "", 0},
    {SECRET_MAX, "\n", 0},
    {SECRET_MAX, "\r\n", 0},
    {SECRET_MAX, "\nmore", 0},
    {SECRET_MAX + 1, "", SECRET_E_TOO_LONG},
    {SECRET_MAX + 1, "\n", SECRET_E_TOO_LONG},
    {SECRET_MAX + 1, "\r\n", SECRET_E_TOO_LONG},
    {4000, "", SECRET_E_TOO_LONG},
    {4000, "\n", SECRET_E_TOO_LONG},
};

static void test_read_length_decides(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        char content[4096];
        void *row_state = NULL;
        assert_int_equal(setup(&row_state), 0);
        struct fixture *fixture = row_state;
        memset(content, '7', lengths[i].len);
        size_t end_len = strlen(lengths[i].line_end);
        memcpy(content + lengths[i].len, lengths[i].line_end, end_len);
        int r = read_content(fixture, content, lengths[i].len + end_len);
        size_t len = fixture->secret->len;
        teardown(&row_state);
        if (r != lengths[i].answer || len != (r ? 0 : lengths[i].len))
            fail_msg("row %zu: %d", i, r);
    }
}

static void test_read_terminates_the_secret_and_clears_the_rest(void **state)
{
    struct fixture *fixture = *state;
    static const uint8_t zeros[SECRET_MAX];

    assert_int_equal(read_content(fixture, "1234\nsecond line", 16), 0);
    assert_memory_equal(fixture->secret->data + 4, zeros, SECRET_MAX - 4);
}

static void test_read_first_line_does_not_wait_for_the_end(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(write(fixture->write_fd, "1234\n", 5), 5);
    assert_int_equal(secret_read(fixture->secret, fixture->read_fd, LONG_MS), 0);
}

static void test_read_in_pieces_puts_them_together(void **state)
{
    struct fixture *fixture = *state;
    pid_t child = fork();

    if (child == 0) {
        for (const char *at = "1234\n"; *at; at++)
            if (write(fixture->write_fd, at, 1) != 1)
                _exit(1);
        _exit(0);
    }
    fixture->write_fd = close_fd(fixture->write_fd);
    int r = secret_read(fixture->secret, fixture->read_fd, LONG_MS);
    (void)waitpid(child, NULL, 0);

    assert_int_equal(r, 0);
    assert_span_equal(content_of(fixture->secret), WIRE_SPAN_LITERAL("1234"));
}

static void test_read_silent_pipe_times_out(void **state)
{
    struct fixture *fixture = *state;
    uint64_t before_ms = clock_monotonic_ms();

    assert_int_equal(secret_read(fixture->secret, fixture->read_fd, SHORT_MS), SECRET_E_TIMEOUT);
    assert_true(clock_monotonic_ms() - before_ms >= SHORT_MS);
}

static void test_read_unfinished_line_times_out_and_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(write(fixture->write_fd, "12", 2), 2);
    assert_int_equal(secret_read(fixture->secret, fixture->read_fd, SHORT_MS), SECRET_E_TIMEOUT);
    assert_true(is_wiped(fixture->secret));
}

static void test_read_fifo_never_written_times_out(void **state)
{
    struct fixture *fixture = *state;
    char dir[] = "/tmp/mtls-secret-XXXXXX";
    char path[64];

    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/fifo", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    int r = fd < 0 ? -errno : secret_read(fixture->secret, fd, SHORT_MS);
    (void)close_fd(fd);
    (void)unlink(path);
    (void)rmdir(dir);

    assert_int_equal(r, SECRET_E_TIMEOUT);
}

static void test_read_closed_descriptor_is_an_error(void **state)
{
    struct fixture *fixture = *state;

    fixture->read_fd = close_fd(fixture->read_fd);
    assert_int_equal(secret_read(fixture->secret, 1000, LONG_MS), -EBADF);
}

static void test_read_directory_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    _cleanup_close_ int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_int_equal(secret_read(fixture->secret, fd, LONG_MS), -EISDIR);
}

static void test_read_replaces_what_was_there(void **state)
{
    struct fixture *fixture = *state;

    memset(fixture->secret->data, 'x', SECRET_MAX);
    fixture->secret->len = SECRET_MAX;
    assert_int_equal(read_content(fixture, "1", 1), 0);
    assert_int_equal(fixture->secret->len, 1);
    assert_int_equal(fixture->secret->data[1], 0);
}

static void test_secret_is_not_seen_by_a_forked_child(void **state)
{
    struct fixture *fixture = *state;
    int status = 0;

    assert_int_equal(read_content(fixture, "1234", 4), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(is_wiped(fixture->secret) ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_free_null_is_fine(void **state)
{
    (void)state;
    assert_null(secret_free(NULL));
}

static void test_error_text_of_every_answer_is_its_own(void **state)
{
    (void)state;
    for (int a = SECRET_E_EMPTY; a <= SECRET_E_TIMEOUT + 1; a++)
        for (int b = a + 1; b <= SECRET_E_TIMEOUT + 1; b++)
            assert_string_not_equal(secret_error_text(a), secret_error_text(b));
}

#define TEST_WITH_SECRET(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

static int read_pair(struct fixture *fixture, const char *content, struct secret *second)
{
    size_t len = strlen(content);

    assert_int_equal(write(fixture->write_fd, content, len), len);
    fixture->write_fd = close_fd(fixture->write_fd);
    return secret_read_pair(fixture->secret, second, fixture->read_fd, LONG_MS);
}

static void test_pair_has_a_line_for_each(void **state)
{
    struct fixture *fixture = *state;
    struct secret second;

    assert_int_equal(read_pair(fixture, "old\r\nnew\nmore", &second), 0);
    assert_true(wire_span_is_equal(content_of(fixture->secret), WIRE_SPAN_LITERAL("old")));
    assert_true(wire_span_is_equal(content_of(&second), WIRE_SPAN_LITERAL("new")));
}

static void test_pair_without_a_second_line_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct secret second;

    assert_int_equal(read_pair(fixture, "old\n", &second), SECRET_E_EMPTY);
    assert_true(is_wiped(fixture->secret));
    assert_true(is_wiped(&second));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_content_is_taken_or_refused),
        cmocka_unit_test(test_read_length_decides),
        TEST_WITH_SECRET(test_read_terminates_the_secret_and_clears_the_rest),
        TEST_WITH_SECRET(test_read_first_line_does_not_wait_for_the_end),
        TEST_WITH_SECRET(test_read_in_pieces_puts_them_together),
        TEST_WITH_SECRET(test_read_silent_pipe_times_out),
        TEST_WITH_SECRET(test_read_unfinished_line_times_out_and_leaves_nothing),
        TEST_WITH_SECRET(test_read_fifo_never_written_times_out),
        TEST_WITH_SECRET(test_read_closed_descriptor_is_an_error),
        TEST_WITH_SECRET(test_read_directory_is_an_error),
        TEST_WITH_SECRET(test_read_replaces_what_was_there),
        TEST_WITH_SECRET(test_secret_is_not_seen_by_a_forked_child),
        TEST_WITH_SECRET(test_pair_has_a_line_for_each),
        TEST_WITH_SECRET(test_pair_without_a_second_line_leaves_nothing),
        cmocka_unit_test(test_free_null_is_fine),
        cmocka_unit_test(test_error_text_of_every_answer_is_its_own),
    };

    return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
