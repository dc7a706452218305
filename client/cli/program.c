/* SPDX-License-Identifier: Apache-2.0 */
/* Other programs; see program.h. */
#include "client/cli/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/clock.h"

/* Where Debian has what is for administrators; a user's $PATH need not name it. */
#define PROGRAM_FURTHER_DIRS "/usr/sbin:/sbin"
#define PROGRAM_FILE_MAX (64u * 1024u * 1024u)

static bool program_is_executable(const char *path)
{
    struct stat st;

    return access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* *ret_path stays as it is when no directory of @dirs has the program. */
static int program_find_in(const char *dirs, const char *name, char **ret_path)
{
    while (*dirs) {
        size_t len = strcspn(dirs, ":");
        _cleanup_free_ char *path = NULL;
        if (asprintf(&path, "%.*s/%s", (int)len, dirs, name) < 0) {
            path = NULL;
            return -ENOMEM;
        }
        if (path[0] == '/' && program_is_executable(path)) {
            *ret_path = TAKE_PTR(path);
            return 0;
        }
        dirs += len + (dirs[len] == ':');
    }
    return 0;
}

int program_find(const char *name, char **ret_path)
{
    const char *dirs = getenv("PATH");
    char *path = NULL;

    int r = program_find_in(dirs ? dirs : "/usr/bin:/bin", name, &path);
    if (r == 0 && !path)
        r = program_find_in(PROGRAM_FURTHER_DIRS, name, &path);
    if (r)
        return r;
    *ret_path = path;
    return 0;
}

bool program_has_text(const char *path, const char *text)
{
    _cleanup_close_ int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    _cleanup_free_ char *data = NULL;
    struct stat st;
    size_t len = 0;

    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > PROGRAM_FILE_MAX)
        return false;
    data = malloc((size_t)st.st_size);
    if (!data)
        return false;
    for (;;) {
        ssize_t got = len < (size_t)st.st_size ? read(fd, data + len, (size_t)st.st_size - len) : 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    return memmem(data, len, text, strlen(text)) != NULL;
}

static bool program_is_replaced(const char *variable, const char *const *variables)
{
    size_t len = strcspn(variable, "=") + 1;

    for (; variables && *variables; variables++)
        if (strncmp(*variables, variable, len) == 0)
            return true;
    return false;
}

/* Ours, with @variables set; an array of borrowed texts, owned by the caller. */
static const char **program_environment(const char *const *variables)
{
    size_t count = 0;
    size_t max = 1;

    for (size_t i = 0; environ[i]; i++)
        max++;
    for (size_t i = 0; variables && variables[i]; i++)
        max++;
    const char **entries = calloc(max, sizeof(*entries));
    if (!entries)
        return NULL;
    for (size_t i = 0; environ[i]; i++)
        if (!program_is_replaced(environ[i], variables))
            entries[count++] = environ[i];
    for (size_t i = 0; variables && variables[i]; i++)
        entries[count++] = variables[i];
    return entries;
}

static int program_spawn(const char *const *argv, const char *const *variables, int output,
                         pid_t *ret_pid)
{
    _cleanup_free_ const char **environment = program_environment(variables);
    posix_spawn_file_actions_t actions;

    if (!environment)
        return -ENOMEM;
    int r = posix_spawn_file_actions_init(&actions);
    if (r)
        return -r;
    r = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&actions, output, 1);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&actions, output, 2);
    /* posix_spawn() changes neither, whatever its type says. */
    if (r == 0)
        r = posix_spawn(ret_pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv,
                        (char *const *)(uintptr_t)environment);
    (void)posix_spawn_file_actions_destroy(&actions);
    return -r;
}

/* Until the program has closed its output. What does not fit is read and dropped. */
static int program_read(int fd, uint64_t end_ms, struct wire_writer *output)
{
    char buffer[4096];

    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        uint64_t now_ms = clock_monotonic_ms();
        if (now_ms >= end_ms)
            return PROGRAM_E_TIMEOUT;
        int ready = poll(&wait, 1, clock_poll_timeout(end_ms - now_ms));
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready <= 0)
            continue;
        ssize_t got = read(fd, buffer, sizeof(buffer));
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            return 0;
        if (got > 0 && output->len + (size_t)got < PROGRAM_OUTPUT_MAX)
            wire_put_raw(output, buffer, (size_t)got);
    }
}

static int program_wait(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 128;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int program_run(const char *const *argv, const char *const *variables, struct wire_writer *output,
                int *ret_code)
{
    _cleanup_close_ int reader = -1;
    int ends[2];
    pid_t pid = -1;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    reader = ends[0];
    int r = program_spawn(argv, variables, ends[1], &pid);
    (void)close_fd(ends[1]);
    if (r)
        return r;
    r = program_read(reader, clock_monotonic_ms() + PROGRAM_TIMEOUT_MS, output);
    if (r)
        (void)kill(pid, SIGKILL);
    int code = program_wait(pid);
    wire_put_u8(output, '\0');
    if (output->failed)
        return -ENOMEM;
    output->len--;
    if (r == 0)
        *ret_code = code;
    return r;
}

const char *program_first_line(const struct wire_writer *output, char *line, size_t size)
{
    const char *text = output->len > 0 ? (const char *)output->data : "";

    text += strspn(text, "\n ");
    (void)snprintf(line, size, "%.*s", (int)strcspn(text, "\n"), text);
    return line;
}
