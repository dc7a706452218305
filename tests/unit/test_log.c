/* SPDX-License-Identifier: Apache-2.0 */
/* The log: silent until told otherwise, one bounded line per call, never in anybody's way. */
#include "common/log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "unit.h"

static char last_line[2048];
static unsigned int line_count;

static void keep_line(enum log_level level, const char *line)
{
    (void)level;
    (void)snprintf(last_line, sizeof(last_line), "%s", line);
    line_count++;
    errno = EIO; /* a handler may leave any errno behind */
}

static int setup(void **state)
{
    *state = NULL;
    line_count = 0;
    log_set_handler(NULL, LOG_LEVEL_INFO);
    return 0;
}

static void test_write_without_handler_is_silent(void **state)
{
    (void)state;
    log_error("nobody hears this");
    assert_int_equal(line_count, 0);
}

static void test_write_formats_one_line(void **state)
{
    (void)state;
    log_set_handler(keep_line, LOG_LEVEL_INFO);
    log_warning("%s %d", "answer", 42);
    assert_string_equal(last_line, "answer 42");
}

static void test_write_above_the_level_is_dropped(void **state)
{
    (void)state;
    log_set_handler(keep_line, LOG_LEVEL_WARNING);
    log_debug("no");
    log_info("no");
    log_warning("yes");
    log_error("yes");
    assert_int_equal(line_count, 2);
}

static void test_write_keeps_errno(void **state)
{
    (void)state;
    log_set_handler(keep_line, LOG_LEVEL_INFO);
    errno = ENOENT;
    log_info("text");
    assert_int_equal(errno, ENOENT);
}

static void test_write_of_a_long_line_is_cut(void **state)
{
    char text[3000];

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_set_handler(keep_line, LOG_LEVEL_INFO);
    log_info("%s", text);
    assert_int_equal(strlen(last_line), 1023);
}

/* Standard error replaced by a pipe; `saved` is what it was. */
struct stderr_pipe {
    int saved;
    int read_fd;
};

static int setup_stderr(void **state)
{
    static struct stderr_pipe pipe_state;
    int fds[2] = {-1, -1};

    if (setup(state) || pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    pipe_state = (struct stderr_pipe){dup(STDERR_FILENO), fds[0]};
    if (dup2(fds[1], STDERR_FILENO) < 0)
        return -1;
    (void)close_fd(fds[1]);
    *state = &pipe_state;
    return 0;
}

static int teardown_stderr(void **state)
{
    struct stderr_pipe *pipe_state = *state;

    (void)dup2(pipe_state->saved, STDERR_FILENO);
    (void)close_fd(pipe_state->saved);
    (void)close_fd(pipe_state->read_fd);
    return 0;
}

static void test_to_stderr_writes_the_line_and_its_end(void **state)
{
    struct stderr_pipe *pipe_state = *state;
    char got[64] = {0};

    log_to_stderr(LOG_LEVEL_ERROR, "a line");
    assert_true(read(pipe_state->read_fd, got, sizeof(got) - 1) > 0);
    assert_string_equal(got, "a line\n");
}

static void test_to_stderr_tells_the_level_to_the_journal_alone(void **state)
{
    struct stderr_pipe *pipe_state = *state;
    char got[64] = {0};
    char name[64];
    struct stat stat_buf;

    assert_int_equal(fstat(STDERR_FILENO, &stat_buf), 0);
    (void)snprintf(name, sizeof(name), "%ju:%ju", (uintmax_t)stat_buf.st_dev,
                   (uintmax_t)stat_buf.st_ino);
    (void)setenv("JOURNAL_STREAM", name, 1);
    log_to_stderr(LOG_LEVEL_ERROR, "a line");
    /* Inherited by a program on a terminal, whose terminal was started by systemd. */
    (void)setenv("JOURNAL_STREAM", "8:12345", 1);
    log_to_stderr(LOG_LEVEL_ERROR, "another");
    (void)unsetenv("JOURNAL_STREAM");
    assert_true(read(pipe_state->read_fd, got, sizeof(got) - 1) > 0);
    assert_string_equal(got, "<3>a line\nanother\n");
}

static void test_to_stderr_that_nobody_reads_does_not_block(void **state)
{
    char line[1000];

    (void)state;
    memset(line, 'a', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    /* Ten times what a pipe holds; it would hang here otherwise. */
    for (int i = 0; i < 700; i++)
        log_to_stderr(LOG_LEVEL_ERROR, line);
}

#define TEST_WITH_LOG(fn) cmocka_unit_test_setup(fn, setup)
#define TEST_WITH_STDERR(fn) cmocka_unit_test_setup_teardown(fn, setup_stderr, teardown_stderr)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH_LOG(test_write_without_handler_is_silent),
        TEST_WITH_LOG(test_write_formats_one_line),
        TEST_WITH_LOG(test_write_above_the_level_is_dropped),
        TEST_WITH_LOG(test_write_keeps_errno),
        TEST_WITH_LOG(test_write_of_a_long_line_is_cut),
        TEST_WITH_STDERR(test_to_stderr_writes_the_line_and_its_end),
        TEST_WITH_STDERR(test_to_stderr_tells_the_level_to_the_journal_alone),
        TEST_WITH_STDERR(test_to_stderr_that_nobody_reads_does_not_block),
    };

    (void)unsetenv("JOURNAL_STREAM");
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
