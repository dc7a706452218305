/* SPDX-License-Identifier: Apache-2.0 */
/* Unlocking and locking tokens; see token_request.h. */
#include "agent/token_request.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "agent/module.h"
#include "agent/module_login.h"
#include "agent/module_readers.h"
#include "agent/selector.h"
#include "common/escape.h"

struct token_request {
    struct request request;
    struct module *module;
    uint8_t reply; /* type of the message that says it was done */
};

/* What a selector names among the tokens of all modules. */
struct token_match {
    size_t count;
    struct module *module;
    const struct worker_token *token;
    char labels[PROTOCOL_TEXT_MAX / 2]; /* of all that fit, for the error */
};

static void token_match_add(struct token_match *match, struct module *module,
                            const struct worker_token *token)
{
    size_t used = strlen(match->labels);
    char label[128];
    char serial[128];
    char shown[128];
    char name[sizeof(label) + sizeof(serial) + sizeof(shown) + 32];

    /* Labels may be equal, and a serial does as a selector, too. One card seen through two modules
     * has the same of both: a URI with module-name tells them apart. */
    (void)snprintf(name, sizeof(name), "%s (serial %s; module-name=%s)",
                   escape_text(token->label, label, sizeof(label)),
                   escape_text(token->serial, serial, sizeof(serial)),
                   escape_cstring(module_get_name(module), shown, sizeof(shown)));
    if (strlen(name) + 2 < sizeof(match->labels) - used)
        (void)snprintf(match->labels + used, sizeof(match->labels) - used, "%s%s", used ? ", " : "",
                       name);
    match->module = module;
    match->token = token;
    match->count++;
}

/* With an empty selector UNLOCK means the one token that waits for a PIN. */
static bool token_is_meant(const struct module *module, const struct selector *selector,
                           const struct worker_token *token, bool only_waiting)
{
    if (!selector_matches_token(selector, module_get_name(module), token))
        return false;
    return !only_waiting || module_token_state(module, token, NULL) != TOKEN_STATE_READY;
}

static void token_match_find(const struct agent *agent, const struct selector *selector,
                             bool only_waiting, struct token_match *ret_match)
{
    *ret_match = (struct token_match){0};
    list_for_each (link, &agent->modules) {
        struct module *module = list_entry(link, struct module, link);
        for (size_t i = 0; module->inventory && i < module->inventory->token_count; i++) {
            const struct worker_token *token = &module->inventory->tokens[i].info;
            if (!module_readers_first(module, token) &&
                token_is_meant(module, selector, token, only_waiting))
                token_match_add(ret_match, module, token);
        }
    }
}

void token_request_succeed(struct request *base)
{
    struct token_request *request = list_entry(base, struct token_request, request);
    struct connection *connection = base->connection;
    uint32_t id = base->id;
    uint8_t reply = request->reply;

    connection_remove_request(base);
    free(request);
    if (!connection)
        return;
    if (protocol_bare_encode(&connection->output, reply, id))
        connection->is_closing = true;
    connection_send(connection);
}

void token_request_fail(struct request *base, enum protocol_error_code code, const char *text)
{
    struct token_request *request = list_entry(base, struct token_request, request);
    struct connection *connection = base->connection;
    uint32_t id = base->id;

    connection_remove_request(base);
    free(request);
    if (connection)
        connection_send_error(connection, id, code, text);
}

static void token_request_cancel(struct request *base)
{
    struct token_request *request = list_entry(base, struct token_request, request);

    module_forget_unlock(request->module, base);
    free(request);
}

/* Parses the selector, or answers why not. */
static int token_request_select(struct connection *connection,
                                const struct protocol_token_request *message,
                                struct selector **ret_selector)
{
    const char *reason = NULL;

    int r = selector_new(message->selector, ret_selector, &reason);
    if (r > 0)
        connection_send_error(connection, message->id, PROTOCOL_E_NO_KEY, reason);
    return r;
}

static bool token_request_is_pipe(int fd)
{
    struct stat stat_buf;

    if (fd < 0 || fstat(fd, &stat_buf) < 0 || !S_ISFIFO(stat_buf.st_mode))
        return false;
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) == O_RDONLY;
}

static struct token_request *token_request_new(struct connection *connection, uint32_t id,
                                               const struct token_match *match, uint8_t reply)
{
    struct token_request *request = calloc(1, sizeof(*request));

    if (!request)
        return NULL;
    list_init(&request->request.link);
    request->module = match->module;
    request->reply = reply;
    connection_add_request(connection, &request->request, id, token_request_cancel);
    return request;
}

static int token_request_start(struct connection *connection, uint32_t id,
                               const struct token_match *match, int pin_fd)
{
    const char *text = NULL;
    struct token_request *request = token_request_new(connection, id, match, PROTOCOL_UNLOCK_REPLY);

    if (!request) {
        (void)close_fd(pin_fd);
        return -ENOMEM;
    }
    const struct prompt_context context = {.pid = connection->peer->pid,
                                           .program = connection->peer->exe};
    enum protocol_error_code code =
        pin_fd >= 0
            ? module_unlock(match->module, match->token, pin_fd, &request->request, &text)
            : module_login_wait(match->module, match->token, &context, &request->request, &text);
    if (code)
        token_request_fail(&request->request, code, text);
    return 0;
}

/* None is meant, or several are. */
static void token_request_refuse_match(struct connection *connection, uint32_t id,
                                       const struct token_match *match, const char *none)
{
    char text[PROTOCOL_TEXT_MAX];

    if (match->count == 0) {
        agent_look_again(connection->agent);
        connection_send_error(connection, id, PROTOCOL_E_NO_KEY, none);
        return;
    }
    (void)snprintf(text, sizeof(text), "several tokens are meant, name one: %s", match->labels);
    connection_send_error(connection, id, PROTOCOL_E_AMBIGUOUS, text);
}

int token_request_unlock(struct connection *connection,
                         const struct protocol_token_request *message)
{
    _cleanup_close_ int pin_fd = connection_take_fd(connection);
    _cleanup_(cleanup_selector) struct selector *selector = NULL;
    struct token_match match;

    if (pin_fd >= 0 && !token_request_is_pipe(pin_fd)) {
        connection_send_error(connection, message->id, PROTOCOL_E_PROTO,
                              "UNLOCK takes no other descriptor than the read end of a pipe");
        return 0;
    }
    int r = token_request_select(connection, message, &selector);
    if (r)
        return r < 0 ? r : 0;
    token_match_find(connection->agent, selector, message->selector.len == 0, &match);
    if (match.count == 1)
        return token_request_start(connection, message->id, &match, TAKE_FD(pin_fd));
    token_request_refuse_match(connection, message->id, &match,
                               message->selector.len > 0
                                   ? "no token has this name; `mtls status` shows those there are"
                                   : "no token waits for a PIN");
    return 0;
}

static int token_request_start_set_pin(struct connection *connection,
                                       const struct protocol_set_pin *message,
                                       const struct token_match *match, int pin_fd)
{
    const char *text = NULL;
    struct token_request *request =
        token_request_new(connection, message->id, match, PROTOCOL_SET_PIN_REPLY);

    if (!request) {
        (void)close_fd(pin_fd);
        return -ENOMEM;
    }
    enum worker_pin_change change =
        message->change == PIN_CHANGE_UNBLOCK ? WORKER_PIN_UNBLOCK : WORKER_PIN_CHANGE;
    enum protocol_error_code code =
        module_set_pin(match->module, match->token, change, pin_fd, &request->request, &text);
    if (code)
        token_request_fail(&request->request, code, text);
    return 0;
}

int token_request_set_pin(struct connection *connection, const struct protocol_set_pin *message)
{
    _cleanup_close_ int pin_fd = connection_take_fd(connection);
    _cleanup_(cleanup_selector) struct selector *selector = NULL;
    const struct protocol_token_request named = {message->id, message->selector};
    struct token_match match;

    if (connection->peer->uid != connection->agent->uid) {
        connection_send_error(connection, message->id, PROTOCOL_E_POLICY,
                              "PINs are changed by the agent's own user alone");
        return 0;
    }
    if (!token_request_is_pipe(pin_fd)) {
        connection_send_error(connection, message->id, PROTOCOL_E_PROTO,
                              "SET_PIN takes one descriptor, the read end of a pipe");
        return 0;
    }
    int r = token_request_select(connection, &named, &selector);
    if (r)
        return r < 0 ? r : 0;
    token_match_find(connection->agent, selector, false, &match);
    if (match.count == 1)
        return token_request_start_set_pin(connection, message, &match, TAKE_FD(pin_fd));
    token_request_refuse_match(connection, message->id, &match,
                               "no token has this name; `mtls status` shows those there are");
    return 0;
}

int token_request_lock(struct connection *connection, const struct protocol_token_request *message)
{
    _cleanup_(cleanup_selector) struct selector *selector = NULL;
    size_t count = 0;

    int r = token_request_select(connection, message, &selector);
    if (r)
        return r < 0 ? r : 0;
    list_for_each (link, &connection->agent->modules) {
        struct module *module = list_entry(link, struct module, link);
        for (size_t i = 0; module->inventory && i < module->inventory->token_count; i++) {
            const struct worker_token *token = &module->inventory->tokens[i].info;
            if (!selector_matches_token(selector, module_get_name(module), token))
                continue;
            count++;
            if (token->flags & WORKER_TOKEN_LOGIN_REQUIRED)
                module_lock(module, token);
        }
    }
    if (count == 0 && message->selector.len > 0) {
        connection_send_error(connection, message->id, PROTOCOL_E_NO_KEY,
                              "no token has this name; `mtls status` shows those there are");
        return 0;
    }
    return protocol_bare_encode(&connection->output, PROTOCOL_LOCK_REPLY, message->id) ? -ENOBUFS
                                                                                       : 0;
}
