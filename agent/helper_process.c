/* SPDX-License-Identifier: Apache-2.0 */
/* Helper processes; see helper_process.h. */
#include "agent/helper_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "build-config.h"
#include "common/paths.h"

#define HELPER_ENVIRONMENT_MAX 256
/* Sources are moved above the targets, so that no dup2() overwrites one that is still needed. */
#define HELPER_FD_BASE 16

/* Variables that a module or a PIN command may need. A trailing * matches any rest. */
static const char *const helper_allowed[] = {
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_*",
    "TZ",
    "TMPDIR",
    "XDG_*",
    "CREDENTIALS_DIRECTORY",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "GNUPGHOME",
    "SOFTHSM2_CONF",
    "TPM2_PKCS11_*",
    "TSS2_*",
    "PKCS11_*",
    "P11_KIT_*",
    "OPENSC_*",
    "PCSCLITE_*",
    "LIBPCSCLITE_*",
    "YKCS11_*",
#if MTLS_DUMPABLE
    "ASAN_OPTIONS",
    "UBSAN_OPTIONS",
    "LSAN_OPTIONS",
    "TSAN_OPTIONS",
#endif
};

static bool helper_is_allowed(const char *variable)
{
    size_t name_len = strcspn(variable, "=");

    for (size_t i = 0; i < ARRAY_SIZE(helper_allowed); i++) {
        size_t len = strlen(helper_allowed[i]);
        bool is_prefix = helper_allowed[i][len - 1] == '*';
        if (is_prefix ? strncmp(variable, helper_allowed[i], len - 1) == 0
                      : len == name_len && strncmp(variable, helper_allowed[i], len) == 0)
            return true;
    }
    return false;
}

static bool helper_has_variable(char *const *variables, size_t count, const char *variable)
{
    size_t len = strcspn(variable, "=") + 1;

    for (size_t i = 0; i < count; i++)
        if (strncmp(variables[i], variable, len) == 0)
            return true;
    return false;
}

/* The configured variables, then ours that are allowed and not configured. */
static void helper_fill_environment(char *const *further, char *ret[HELPER_ENVIRONMENT_MAX])
{
    size_t count = 0;

    for (; further && *further && count < HELPER_ENVIRONMENT_MAX - 1; further++)
        ret[count++] = *further;
    for (char **variable = environ; *variable && count < HELPER_ENVIRONMENT_MAX - 1; variable++)
        if (helper_is_allowed(*variable) && !helper_has_variable(ret, count, *variable))
            ret[count++] = *variable;
    ret[count] = NULL;
}

static void helper_close_all(int fds[HELPER_FDS_MAX])
{
    for (size_t i = 0; i < HELPER_FDS_MAX; i++)
        fds[i] = close_fd(fds[i]);
}

/* Copies of the descriptors above HELPER_FD_BASE. */
static int helper_move_fds(const struct helper_request *request, int ret_fds[HELPER_FDS_MAX])
{
    for (size_t i = 0; i < request->fd_count; i++) {
        if (request->fds[i] >= 0)
            ret_fds[i] = fcntl(request->fds[i], F_DUPFD_CLOEXEC, HELPER_FD_BASE);
        else
            ret_fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (ret_fds[i] < 0)
            return -errno;
    }
    return 0;
}

static int helper_prepare(const int fds[HELPER_FDS_MAX], size_t fd_count,
                          posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t all;
    int r = 0;

    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    for (size_t i = 0; !r && i < fd_count; i++)
        r = posix_spawn_file_actions_adddup2(actions, fds[i], (int)i);
    if (!r)
        r = posix_spawnattr_setsigmask(attributes, &none);
    if (!r)
        r = posix_spawnattr_setsigdefault(attributes, &all);
    if (!r)
        r = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    return -r;
}

static int helper_run(const struct helper_request *request, const int fds[HELPER_FDS_MAX],
                      pid_t *ret_pid)
{
    _cleanup_free_ char *path = NULL;
    char *environment[HELPER_ENVIRONMENT_MAX];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    int r = paths_helper(request->helper, &path);
    if (r)
        return r;
    helper_fill_environment(request->environment, environment);
    r = -posix_spawn_file_actions_init(&actions);
    if (r)
        return r;
    r = -posix_spawnattr_init(&attributes);
    if (!r) {
        r = helper_prepare(fds, request->fd_count, &actions, &attributes);
        /* posix_spawn() does not change argv, whatever its type says. */
        if (!r)
            r = -posix_spawn(ret_pid, path, &actions, &attributes,
                             (char *const *)(uintptr_t)request->argv, environment);
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return r;
}

int helper_process_start(const struct helper_request *request, pid_t *ret_pid)
{
    int fds[HELPER_FDS_MAX] = {-1, -1, -1, -1, -1};

    int r = helper_move_fds(request, fds);
    if (!r)
        r = helper_run(request, fds, ret_pid);
    helper_close_all(fds);
    return r;
}
