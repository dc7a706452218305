/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files: mode, no clobbering, nothing followed, nothing left behind. */
#include "client/cli/new_file.h"

#include <string.h>
#include <sys/stat.h>

#include "unit.h"

struct fixture {
    char dir[64];
    char *path;
    char *other;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (!fixture)
        return -1;
    *state = fixture;
    (void)snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/mtls-file-XXXXXX");
    if (!mkdtemp(fixture->dir))
        return -1;
    if (asprintf(&fixture->path, "%s/file", fixture->dir) < 0 ||
        asprintf(&fixture->other, "%s/other", fixture->dir) < 0)
        return -1;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    (void)unlink(fixture->path);
    (void)unlink(fixture->other);
    /* Fails, and with it the test, when something was left behind. */
    int r = rmdir(fixture->dir);
    free(fixture->path);
    free(fixture->other);
    free(fixture);
    return r;
}

static void expect_content(const char *path, const char *text)
{
    char buffer[64] = {0};
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    size_t len = fread(buffer, 1, sizeof(buffer) - 1, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(len, strlen(text));
    assert_string_equal(buffer, text);
}

static void test_write_makes_a_file_of_the_given_mode(void **state)
{
    struct fixture *fixture = *state;
    struct stat st;

    (void)umask(0);
    assert_int_equal(new_file_write(fixture->path, "text", 4, 0600, false), 0);
    assert_int_equal(stat(fixture->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    expect_content(fixture->path, "text");
}

static void test_write_leaves_a_file_that_is_there(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(new_file_write(fixture->path, "old", 3, 0600, false), 0);
    assert_int_equal(new_file_write(fixture->path, "new", 3, 0600, false), NEW_FILE_E_EXISTS);
    expect_content(fixture->path, "old");
}

static void test_write_replaces_when_asked(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(new_file_write(fixture->path, "old", 3, 0600, false), 0);
    assert_int_equal(new_file_write(fixture->path, "new", 3, 0600, true), 0);
    expect_content(fixture->path, "new");
}

static void test_write_never_follows_a_link(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(new_file_write(fixture->other, "old", 3, 0600, false), 0);
    assert_int_equal(symlink(fixture->other, fixture->path), 0);
    assert_int_equal(new_file_write(fixture->path, "new", 3, 0600, false), NEW_FILE_E_NOT_REGULAR);
    assert_int_equal(new_file_write(fixture->path, "new", 3, 0600, true), NEW_FILE_E_NOT_REGULAR);
    expect_content(fixture->other, "old");
}

static void test_write_refuses_a_dangling_link(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(symlink("/nonexistent/target", fixture->path), 0);
    assert_int_equal(new_file_write(fixture->path, "new", 3, 0600, false), NEW_FILE_E_NOT_REGULAR);
}

static void test_write_into_a_missing_directory_fails(void **state)
{
    (void)state;
    assert_int_equal(new_file_write("/nonexistent/dir/file", "x", 1, 0600, false), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write_makes_a_file_of_the_given_mode, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_leaves_a_file_that_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_replaces_when_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_never_follows_a_link, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_refuses_a_dangling_link, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_into_a_missing_directory_fails, setup, teardown),
    };
    return cmocka_run_group_tests_name("cli-new-file", tests, NULL, NULL);
}
