/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mtls unlock`: takes a PIN from a person, or from stdin, to the token. The PIN goes through a
 * pipe that ends in the token's own process; it is given once, whatever the answer is.
 */
#include "client/cli/cli.h"

#include <fcntl.h>
#include <string.h>

#include "client/cli/advice.h"
#include "client/cli/patience.h"
#include "client/cli/pin_prompt.h"
#include "common/escape.h"
#include "common/harden.h"

enum {
    UNLOCK_STDIN,
    UNLOCK_ASK,
};

static const struct cli_option unlock_options[] = {
    [UNLOCK_STDIN] = {"stdin", 0, NULL, "read the PIN from the first line of stdin"},
    [UNLOCK_ASK] = {"ask", 0, NULL, "have the agent ask: with a pinentry, or at the reader"},
};

#define UNLOCK_STDIN_TIMEOUT_MS (60u * 1000u)

static bool unlock_is_waiting(const struct mtls_agent_token_status *token)
{
    return token->state == MTLS_AGENT_TOKEN_LOCKED || token->state == MTLS_AGENT_TOKEN_PIN_BAD;
}

static int unlock_fail_several(const struct mtls_agent_status *status)
{
    _cleanup_wire_writer_ struct wire_writer names = {0};
    char buffer[ADVICE_SELECTOR_MAX];

    wire_writer_init(&names, CLI_OUTPUT_MAX);
    for (size_t i = 0; i < status->token_count; i++) {
        if (!unlock_is_waiting(&status->tokens[i]))
            continue;
        escape_put_raw(&names, names.len > 0 ? ", " : "");
        escape_put_raw(&names, advice_token_selector(status, &status->tokens[i], buffer));
    }
    return cli_fail(CLI_NO_KEY, "several tokens wait for a PIN. Name one: %.*s",
                    names.failed ? 0 : (int)names.len, (const char *)names.data);
}

static int unlock_choose(const struct mtls_agent_status *status,
                         const struct mtls_agent_token_status **ret_token)
{
    const struct mtls_agent_token_status *token = NULL;
    size_t count = 0;

    for (size_t i = 0; i < status->token_count; i++) {
        if (!unlock_is_waiting(&status->tokens[i]))
            continue;
        token = &status->tokens[i];
        count++;
    }
    if (count > 1)
        return unlock_fail_several(status);
    *ret_token = token;
    return CLI_OK;
}

/* By label or serial. A pkcs11: URI is for the agent to understand: *ret_token stays NULL. */
static int unlock_find(const struct mtls_agent_status *status, const char *name,
                       const struct mtls_agent_token_status **ret_token)
{
    const struct mtls_agent_token_status *token = NULL;
    size_t count = 0;

    if (strncmp(name, "pkcs11:", sizeof("pkcs11:") - 1) == 0)
        return CLI_OK;
    for (size_t i = 0; i < status->token_count; i++) {
        const struct mtls_agent_token_status *at = &status->tokens[i];
        if (strcmp(at->label, name) != 0 && strcmp(at->serial, name) != 0)
            continue;
        token = at;
        count++;
    }
    if (count == 0)
        return cli_fail(CLI_NO_KEY,
                        "no token has the label or serial %s. See what there is: mtls "
                        "status",
                        name);
    if (count > 1)
        return cli_fail(CLI_NO_KEY,
                        "several tokens are called %s. Name one by its serial: mtls "
                        "status",
                        name);
    *ret_token = token;
    return CLI_OK;
}

static int unlock_read_terminal(const char *name, const char *serial, struct secret *pin)
{
    char label[256];
    char number[256];
    char prompt[600];

    (void)escape_cstring(name, label, sizeof(label));
    (void)escape_cstring(serial, number, sizeof(number));
    (void)snprintf(prompt, sizeof(prompt), "PIN of token %s%s%s%s: ", label,
                   *number ? " (serial " : "", number, *number ? ")" : "");
    return pin_prompt_read(prompt, pin);
}

static int unlock_fail_pin(int answer)
{
    if (answer == PIN_PROMPT_E_NO_TERMINAL)
        return cli_fail(CLI_FAILURE, "there is no terminal to ask for the PIN. Run it at one, or "
                                     "give the PIN with --stdin");
    if (answer < 0)
        return cli_fail_errno("cannot read the PIN", answer);
    return cli_fail(CLI_LOCKED, "%s, nothing was sent to the token. Try again",
                    secret_error_text(answer));
}

/* The whole PIN fits into the pipe, so nothing waits here. */
static int unlock_fill_pipe(const struct secret *pin, int *ret_fd)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return cli_fail_errno("cannot make a pipe", errno);
    _cleanup_close_ int read_end = fds[0];
    _cleanup_close_ int write_end = fds[1];
    if (write(write_end, pin->data, pin->len) != (ssize_t)pin->len)
        return cli_fail_errno("cannot write to a pipe", EIO);
    *ret_fd = TAKE_FD(read_end);
    return CLI_OK;
}

static int unlock_send(struct mtls_agent *agent, const char *selector, const char *name,
                       const struct secret *pin)
{
    struct mtls_agent_error error = {0};
    _cleanup_close_ int fd = -1;

    int r = unlock_fill_pipe(pin, &fd);
    if (r)
        return r;
    patience_begin("waiting for token %s...", name);
    r = mtls_agent_unlock(agent, selector, fd, &error);
    patience_end();
    if (r)
        return cli_fail_agent(&error);
    cli_note("token %s is unlocked", name);
    return CLI_OK;
}

static int unlock_ask(struct mtls_agent *agent, const char *selector, const char *name)
{
    struct mtls_agent_error error = {0};

    patience_begin("waiting for the PIN of token %s...", name);
    int r = mtls_agent_ask_unlock(agent, selector, &error);
    patience_end();
    if (r)
        return cli_fail_agent(&error);
    cli_note("token %s is unlocked", name);
    return CLI_OK;
}

/* Where its PIN comes from. */
struct unlock_way {
    bool from_stdin;
    bool by_agent;
};

static int unlock_token(struct mtls_agent *agent, const char *selector, const char *name,
                        const char *serial, const struct unlock_way *way)
{
    if (way->by_agent)
        return unlock_ask(agent, selector, name);
    _cleanup_secret_ struct secret *pin = NULL;

    int r = harden_process();
    if (r)
        return cli_fail_errno("cannot protect the PIN", r);
    pin = secret_new();
    if (!pin)
        return cli_fail_errno("cannot protect the PIN", ENOMEM);
    r = way->from_stdin ? secret_read(pin, STDIN_FILENO, UNLOCK_STDIN_TIMEOUT_MS)
                        : unlock_read_terminal(name, serial, pin);
    if (r)
        return unlock_fail_pin(r);
    return unlock_send(agent, selector, name, pin);
}

/* Nothing waits: because all are open, or because there is nothing to give a PIN to now? */
static int unlock_nothing(const struct mtls_agent_status *status)
{
    bool is_open = status->token_count > 0;

    for (size_t i = 0; i < status->module_count; i++)
        is_open &= status->modules[i].state != MTLS_AGENT_MODULE_STARTING;
    for (size_t i = 0; i < status->token_count; i++)
        if (status->tokens[i].state == MTLS_AGENT_TOKEN_PIN_BLOCKED)
            return cli_fail(CLI_LOCKED,
                            "the PIN of token %s is blocked. See what to do: mtls status",
                            status->tokens[i].label);
    if (!is_open)
        return cli_fail(CLI_NO_KEY, "no token is there that waits for a PIN. See why: mtls status");
    cli_note("no token waits for a PIN");
    return CLI_OK;
}

static int unlock_run(const struct cli_args *args)
{
    _cleanup_agent_ struct mtls_agent *agent = cli_agent_new();
    _cleanup_agent_status_ struct mtls_agent_status *status = NULL;
    const struct mtls_agent_token_status *token = NULL;
    const char *name = cli_operand(args, 0);
    const struct unlock_way way = {.from_stdin = args->values[UNLOCK_STDIN] != NULL,
                                   .by_agent = args->values[UNLOCK_ASK] != NULL};
    struct mtls_agent_error error = {0};
    char buffer[ADVICE_SELECTOR_MAX];

    if (!agent)
        return CLI_FAILURE;
    if (way.from_stdin && way.by_agent)
        return cli_fail_usage(args->command, "--stdin and --ask exclude each other");
    patience_begin("waiting for the agent...");
    int r = mtls_agent_get_status(agent, &status, &error);
    patience_end();
    if (r)
        return cli_fail_agent(&error);
    r = name ? unlock_find(status, name, &token) : unlock_choose(status, &token);
    if (r)
        return r;
    if (!token && name)
        return unlock_token(agent, name, name, "", &way);
    if (!token)
        return unlock_nothing(status);
    if (token->state == MTLS_AGENT_TOKEN_READY) {
        cli_note("token %s is unlocked already", token->label);
        return CLI_OK;
    }
    /* It may have been unblocked since the agent last heard of it, and it has no try to lose. */
    if (token->state == MTLS_AGENT_TOKEN_PIN_BLOCKED)
        cli_note("the PIN of token %s was blocked. It works again after it was unblocked with its "
                 "PUK and the tool of its maker",
                 token->label);
    return unlock_token(agent, advice_token_selector(status, token, buffer), token->label,
                        token->serial, &way);
}

const struct cli_command cmd_unlock = {
    .name = "unlock",
    .operands = "[TOKEN]",
    .summary = "Give a token its PIN",
    .details = "TOKEN is a label, a serial or a pkcs11: URI; without, the one that waits.\nThe PIN "
               "is asked at the terminal, and is tried once.",
    .options = unlock_options,
    .option_count = ARRAY_SIZE(unlock_options),
    .operands_max = 1,
    .run = unlock_run,
};
