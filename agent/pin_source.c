/* SPDX-License-Identifier: Apache-2.0 */
/* Running ask-pin; see pin_source.h. */
#include "agent/pin_source.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "agent/child_log.h"
#include "agent/helper_process.h"
#include "common/log.h"

struct pin_source {
    pid_t pid; /* 0: ended and reaped */
    sd_event_source *child;
    struct child_log *log;
};

struct pin_source *pin_source_free(struct pin_source *source)
{
    if (!source)
        return NULL;
    if (source->child) {
        /* The event source kills and reaps what has not ended by itself. */
        (void)sd_event_source_set_child_process_own(source->child, true);
        source->child = sd_event_source_disable_unref(source->child);
    }
    (void)child_log_free(source->log);
    free(source);
    return NULL;
}

const char *pin_source_name(const struct config_token *token)
{
    static const char *const names[] = {[CONFIG_PIN_ASK] = "ask",
                                        [CONFIG_PIN_FILE] = "file",
                                        [CONFIG_PIN_COMMAND] = "command",
                                        [CONFIG_PIN_CREDENTIAL] = "credential"};

    return names[token->pin];
}

static int pin_source_handle_exit(sd_event_source *child, const siginfo_t *info, void *userdata)
{
    struct pin_source *source = userdata;

    (void)child;
    (void)info;
    source->pid = 0;
    child_log_drain(source->log);
    return 0;
}

static int pin_source_run(struct pin_source *source, sd_event *event,
                          const struct config_token *token, int pin_fd, int log_fd)
{
    const char *argv[] = {"ask-pin", pin_source_name(token), token->pin_argument, NULL};
    const struct helper_request request = {
        .helper = "ask-pin", .argv = argv, .fds = {-1, pin_fd, log_fd}, .fd_count = 3};

    int r = helper_process_start(&request, &source->pid);
    if (r)
        return r;
    r = sd_event_add_child(event, &source->child, source->pid, WEXITED, pin_source_handle_exit,
                           source);
    if (r < 0) {
        (void)kill(source->pid, SIGKILL);
        return r;
    }
    return 0;
}

int pin_source_start(sd_event *event, const struct config_token *token,
                     struct pin_source **ret_source, int *ret_fd)
{
    _cleanup_(cleanup_pin_source) struct pin_source *source = calloc(1, sizeof(*source));
    _cleanup_close_ int log_fd = -1;
    _cleanup_close_ int read_fd = -1;
    _cleanup_close_ int write_fd = -1;
    int fds[2];

    if (!source)
        return -ENOMEM;
    int r = child_log_new(event, "ask-pin", &source->log, &log_fd);
    if (r)
        return r;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    read_fd = fds[0];
    write_fd = fds[1];
    r = pin_source_run(source, event, token, write_fd, log_fd);
    if (r)
        return r;
    *ret_source = TAKE_PTR(source);
    *ret_fd = TAKE_FD(read_fd);
    return 0;
}

const char *pin_source_text(struct pin_source *source)
{
    child_log_drain(source->log);
    return child_log_last_line(source->log);
}
