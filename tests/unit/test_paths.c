/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Well-known paths. The rule "beside the running program" is seen from outside: this program runs a
 * link of itself in a staged PREFIX/bin, which then prints what it finds.
 */
#include "common/paths.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "build-config.h"
#include "unit.h"

static int setup(void **state)
{
    *state = NULL;
    return unsetenv(PATHS_SOCKET_ENV) || unsetenv(PATHS_LIBEXEC_ENV) || unsetenv("XDG_RUNTIME_DIR");
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static const char *socket_path(void **state)
{
    char *path = NULL;

    assert_int_equal(paths_socket(&path), 0);
    *state = path;
    return path;
}

static const char *helper_path(void **state, const char *name)
{
    char *path = NULL;

    assert_int_equal(paths_helper(name, &path), 0);
    *state = path;
    return path;
}

static void test_socket_named_in_the_environment_is_taken(void **state)
{
    (void)setenv(PATHS_SOCKET_ENV, "/somewhere/else.sock", 1);
    (void)setenv("XDG_RUNTIME_DIR", "/run/user/1000", 1);
    assert_string_equal(socket_path(state), "/somewhere/else.sock");
}

static void test_socket_without_a_name_is_in_the_runtime_directory(void **state)
{
    (void)setenv("XDG_RUNTIME_DIR", "/run/user/1000", 1);
    assert_string_equal(socket_path(state), "/run/user/1000/mtls-agent/agent.sock");
}

static void test_socket_without_runtime_directory_is_in_run(void **state)
{
    assert_string_equal(socket_path(state), "/run/mtls-agent/agent.sock");
}

static void test_socket_with_empty_variables_is_as_without(void **state)
{
    (void)setenv(PATHS_SOCKET_ENV, "", 1);
    (void)setenv("XDG_RUNTIME_DIR", "", 1);
    assert_string_equal(socket_path(state), "/run/mtls-agent/agent.sock");
}

static void test_helper_directory_in_the_environment_is_taken(void **state)
{
    (void)setenv(PATHS_LIBEXEC_ENV, "/build/pkcs11", 1);
    assert_string_equal(helper_path(state, "token-worker"), "/build/pkcs11/token-worker");
}

static void test_helper_not_beside_the_program_is_in_the_built_in_directory(void **state)
{
    assert_string_equal(helper_path(state, "no-such-helper"), MTLS_LIBEXECDIR "/no-such-helper");
}

/* PREFIX with bin/program (this very file) and libexec/mtls-agent/token-worker. */
struct stage {
    char prefix[32];
    char program[64];
    char libexec[64];
    char libexec_own[64];
    char helper[96];
};

static int copy_own_file(const char *path)
{
    char own[PATH_MAX] = {0};

    if (readlink("/proc/self/exe", own, sizeof(own) - 1) < 0)
        return -1;
    _cleanup_fclose_ FILE *in = fopen(own, "rbe");
    _cleanup_fclose_ FILE *out = fopen(path, "wbe");
    if (!in || !out)
        return -1;
    char block[4096];
    for (size_t got = fread(block, 1, sizeof(block), in); got > 0;
         got = fread(block, 1, sizeof(block), in))
        if (fwrite(block, 1, got, out) != got)
            return -1;
    return fchmod(fileno(out), 0700);
}

static int setup_stage(void **state)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    char bin[64];

    if (!stage || setup(state))
        return -1;
    *state = stage;
    (void)snprintf(stage->prefix, sizeof(stage->prefix), "/tmp/mtls-paths-XXXXXX");
    if (!mkdtemp(stage->prefix))
        return -1;
    (void)snprintf(bin, sizeof(bin), "%s/bin", stage->prefix);
    (void)snprintf(stage->program, sizeof(stage->program), "%s/bin/prog", stage->prefix);
    (void)snprintf(stage->libexec, sizeof(stage->libexec), "%s/libexec", stage->prefix);
    (void)snprintf(stage->libexec_own, sizeof(stage->libexec_own), "%s/libexec/mtls-agent",
                   stage->prefix);
    (void)snprintf(stage->helper, sizeof(stage->helper), "%s/token-worker", stage->libexec_own);
    if (mkdir(bin, 0700) || mkdir(stage->libexec, 0700) || mkdir(stage->libexec_own, 0700))
        return -1;
    return copy_own_file(stage->program);
}

static int teardown_stage(void **state)
{
    struct stage *stage = *state;
    char bin[64];

    (void)snprintf(bin, sizeof(bin), "%s/bin", stage->prefix);
    (void)unlink(stage->helper);
    (void)unlink(stage->program);
    (void)rmdir(stage->libexec_own);
    (void)rmdir(stage->libexec);
    (void)rmdir(bin);
    (void)rmdir(stage->prefix);
    free(stage);
    return 0;
}

/* What the staged program finds. */
static void run_staged(const struct stage *stage, char *line, size_t size)
{
    char command[128];

    (void)snprintf(command, sizeof(command), "exec %s --helper token-worker", stage->program);
    FILE *out = popen(command, "re");
    assert_non_null(out);
    char *got = fgets(line, (int)size, out);
    int status = pclose(out);
    assert_int_equal(status, 0);
    assert_non_null(got);
}

static void test_helper_beside_the_program_is_found(void **state)
{
    struct stage *stage = *state;
    char line[PATH_MAX];

    assert_int_equal(copy_own_file(stage->helper), 0);
    run_staged(stage, line, sizeof(line));
    assert_string_equal(line, stage->helper);
}

static void test_helper_beside_the_program_that_cannot_run_is_passed_over(void **state)
{
    struct stage *stage = *state;
    char line[PATH_MAX];

    assert_int_equal(copy_own_file(stage->helper), 0);
    assert_int_equal(chmod(stage->helper, 0600), 0);
    run_staged(stage, line, sizeof(line));
    assert_string_equal(line, MTLS_LIBEXECDIR "/token-worker");
}

static int print_helper(const char *name)
{
    _cleanup_free_ char *path = NULL;

    if (paths_helper(name, &path))
        return 1;
    return fputs(path, stdout) < 0;
}

#define TEST_WITH_ENV(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define TEST_WITH_STAGE(fn) cmocka_unit_test_setup_teardown(fn, setup_stage, teardown_stage)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH_ENV(test_socket_named_in_the_environment_is_taken),
        TEST_WITH_ENV(test_socket_without_a_name_is_in_the_runtime_directory),
        TEST_WITH_ENV(test_socket_without_runtime_directory_is_in_run),
        TEST_WITH_ENV(test_socket_with_empty_variables_is_as_without),
        TEST_WITH_ENV(test_helper_directory_in_the_environment_is_taken),
        TEST_WITH_ENV(test_helper_not_beside_the_program_is_in_the_built_in_directory),
        TEST_WITH_STAGE(test_helper_beside_the_program_is_found),
        TEST_WITH_STAGE(test_helper_beside_the_program_that_cannot_run_is_passed_over),
    };

    if (argc == 3 && strcmp(argv[1], "--helper") == 0)
        return print_helper(argv[2]);
    return cmocka_run_group_tests_name("paths", tests, NULL, NULL);
}
