/* SPDX-License-Identifier: Apache-2.0 */
/* PINs from where the configuration says: a file, a command, a credential; see ask_pin.h. */
#include "pkcs11/ask_pin.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/escape.h"

#define ASK_PIN_END_MS 1000u /* a command that gave its line has so long to end */

enum pin_answer ask_pin_read(struct secret *secret, int fd, unsigned int timeout_ms,
                             const char *shown)
{
    int r = secret_read(secret, fd, timeout_ms);

    if (r)
        return ask_pin_fail("%s%s%s", shown, *shown ? ": " : "", secret_error_text(r));
    return PIN_OK;
}

/* A file that others can read or write keeps no secret, so it is not used at all. */
static enum pin_answer ask_pin_check_file(int fd, const char *shown)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return ask_pin_fail("the PIN file %s cannot be examined: %s", shown, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return ask_pin_fail("the PIN file %s is not a regular file", shown);
    if (st.st_uid != geteuid())
        return ask_pin_fail("the PIN file %s belongs to uid %u, and must belong to uid %u", shown,
                            (unsigned int)st.st_uid, (unsigned int)geteuid());
    if (st.st_mode & 077)
        return ask_pin_fail("the PIN file %s is open to others (mode %04o); run: chmod 600 %s",
                            shown, (unsigned int)(st.st_mode & 07777), shown);
    return PIN_OK;
}

/* Without O_NONBLOCK a FIFO that nobody writes to would hold the open() for ever. */
static enum pin_answer ask_pin_from_file(const char *path, unsigned int timeout_ms,
                                         struct secret *secret)
{
    char shown[ASK_PIN_SHOWN_MAX];
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);

    (void)escape_cstring(path, shown, sizeof(shown));
    if (fd < 0 && errno == ELOOP)
        return ask_pin_fail("the PIN file %s is a symbolic link; name the file itself", shown);
    if (fd < 0)
        return ask_pin_fail("the PIN file %s cannot be opened: %s", shown, strerror(errno));
    enum pin_answer answer = ask_pin_check_file(fd, shown);
    return answer ? answer : ask_pin_read(secret, fd, timeout_ms, shown);
}

/* The child: its output is the pipe, it dies with us, signals are as a shell expects them. */
_Noreturn static void ask_pin_run_shell(const char *command, int output, pid_t parent)
{
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent ||
        dup2(output, STDOUT_FILENO) < 0)
        _exit(127);
    (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static enum pin_answer ask_pin_wait(pid_t child, const char *shown)
{
    int status = 0;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return ask_pin_fail("the PIN command cannot be waited for: %s", strerror(errno));
    if (WIFSIGNALED(status))
        return ask_pin_fail("the PIN command was killed by signal %d: %s", WTERMSIG(status), shown);
    if (WEXITSTATUS(status) != 0)
        return ask_pin_fail("the PIN command ended with status %d: %s", WEXITSTATUS(status), shown);
    return PIN_OK;
}

/* Reads on and forgets, so that the command does not die of SIGPIPE, until it has ended. False when
 * it goes on for longer than a moment. */
static bool ask_pin_ends_soon(pid_t child, int output)
{
    _cleanup_close_ int pidfd = pidfd_open(child, 0);
    uint64_t deadline_ms = clock_monotonic_ms() + ASK_PIN_END_MS;
    struct pollfd fds[] = {{.fd = pidfd, .events = POLLIN}, {.fd = output, .events = POLLIN}};
    char rest[256];

    if (pidfd < 0)
        return true; /* it has ended and can be waited for */
    for (;;) {
        uint64_t now_ms = clock_monotonic_ms();
        if (now_ms >= deadline_ms ||
            poll(fds, ARRAY_SIZE(fds), clock_poll_timeout(deadline_ms - now_ms)) == 0)
            return false;
        if (fds[0].revents)
            return true;
        if (fds[1].revents && read(output, rest, sizeof(rest)) <= 0)
            fds[1].fd = -1;
        explicit_bzero(rest, sizeof(rest));
    }
}

/* Only the first line counts. Of a command that then fails it is an error message, which must not
 * be tried as a PIN; one that goes on is not waited for and ends with us. */
static enum pin_answer ask_pin_from_command(const char *command, unsigned int timeout_ms,
                                            struct secret *secret)
{
    char shown[ASK_PIN_SHOWN_MAX];
    int pipe_fds[2] = {-1, -1};
    pid_t parent = getpid();

    (void)escape_cstring(command, shown, sizeof(shown));
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return ask_pin_fail("no pipe for the PIN command: %s", strerror(errno));
    _cleanup_close_ int from_child = pipe_fds[0];
    _cleanup_close_ int to_parent = pipe_fds[1];
    pid_t child = fork();
    if (child < 0)
        return ask_pin_fail("the PIN command cannot be started: %s", strerror(errno));
    if (child == 0)
        ask_pin_run_shell(command, to_parent, parent);

    (void)close_fd(TAKE_FD(to_parent));
    int r = secret_read(secret, from_child, timeout_ms);
    if (r == 0 && !ask_pin_ends_soon(child, from_child))
        return PIN_OK;
    (void)close_fd(TAKE_FD(from_child));
    /* A command that failed says more than the empty output that it left. */
    if (ask_pin_wait(child, shown)) {
        secret_wipe(secret);
        return PIN_E_FAILED;
    }
    if (r)
        return ask_pin_fail("the PIN command gave no PIN (%s): %s", secret_error_text(r), shown);
    return PIN_OK;
}

/* systemd.exec(5), "Credentials": the directory is ours alone. */
static enum pin_answer ask_pin_from_credential(const char *name, unsigned int timeout_ms,
                                               struct secret *secret)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    char shown[ASK_PIN_SHOWN_MAX];

    (void)escape_cstring(name, shown, sizeof(shown));
    if (name[0] == '\0' || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return ask_pin_fail("%s is not the name of a credential", shown);
    if (!directory)
        return ask_pin_fail("there are no credentials here: the agent was not started by a unit "
                            "with LoadCredential=%s",
                            shown);
    _cleanup_close_ int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int fd =
        dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return ask_pin_fail("the credential %s cannot be opened: %s", shown, strerror(errno));
    return ask_pin_read(secret, fd, timeout_ms, shown);
}

static const struct {
    enum pin_kind kind;
    const char *name;
    enum pin_answer (*fetch)(const char *argument, unsigned int timeout_ms, struct secret *secret);
} ask_pin_sources[] = {
    {PIN_KIND_FILE, "file", ask_pin_from_file},
    {PIN_KIND_COMMAND, "command", ask_pin_from_command},
    {PIN_KIND_CREDENTIAL, "credential", ask_pin_from_credential},
};

enum pin_answer ask_pin_from_source(enum pin_kind kind, const char *argument,
                                    unsigned int timeout_ms, struct secret *secret)
{
    for (size_t i = 0; i < ARRAY_SIZE(ask_pin_sources); i++)
        if (ask_pin_sources[i].kind == kind)
            return ask_pin_sources[i].fetch(argument, timeout_ms, secret);
    return ask_pin_fail("there is no such source of PINs");
}

/* FNV-1a: tells texts apart, and is no proof of what they are. */
static uint64_t ask_pin_hash(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
    return hash;
}

void ask_pin_source_identity(enum pin_kind kind, const char *argument,
                             char identity[static PIN_IDENTITY_MAX])
{
    struct stat st;

    identity[0] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(ask_pin_sources); i++)
        if (ask_pin_sources[i].kind == kind)
            (void)snprintf(identity, PIN_IDENTITY_MAX, "%s-%016llx", ask_pin_sources[i].name,
                           (unsigned long long)ask_pin_hash(argument));
    if (kind != PIN_KIND_FILE || lstat(argument, &st) < 0)
        return;
    size_t len = strlen(identity);
    (void)snprintf(identity + len, PIN_IDENTITY_MAX - len, "-%llx-%llx-%llx.%lx",
                   (unsigned long long)st.st_ino, (unsigned long long)st.st_size,
                   (unsigned long long)st.st_mtim.tv_sec, (unsigned long)st.st_mtim.tv_nsec);
}
