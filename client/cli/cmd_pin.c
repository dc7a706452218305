/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mtls pin change` and `mtls pin unblock`: PINs from a person, or from stdin, to the token, in one
 * pipe. What the token is shown is given once, whatever the answer is.
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
    PIN_STDIN,
};

static const struct cli_option pin_options[] = {
    [PIN_STDIN] = {"stdin", 0, NULL, "read the two PINs from the first two lines of stdin"},
};

#define PIN_STDIN_TIMEOUT_MS (60u * 1000u)

/* What a person is asked for, and told. */
struct pin_way {
    const char *name;
    enum mtls_agent_pin_change change;
    const char *old_name;
    const char *done;
};

static const struct pin_way pin_ways[] = {
    {"change", MTLS_AGENT_PIN_CHANGE, "Old PIN", "changed"},
    {"unblock", MTLS_AGENT_PIN_UNBLOCK, "PUK", "unblocked, and is the new one now"},
};

/* The token that is meant; with one token alone it need not be named. */
static int pin_find_token(const struct mtls_agent_status *status, const char *name,
                          const struct mtls_agent_token_status **ret_token)
{
    const struct mtls_agent_token_status *found = NULL;
    size_t count = 0;

    for (size_t i = 0; i < status->token_count; i++) {
        const struct mtls_agent_token_status *token = &status->tokens[i];
        if (name && strcmp(token->label, name) != 0 && strcmp(token->serial, name) != 0)
            continue;
        found = token;
        count++;
    }
    if (count == 1) {
        *ret_token = found;
        return CLI_OK;
    }
    if (count == 0 && name)
        return cli_fail(CLI_NO_KEY,
                        "no token has the label or serial %s. See what there is: mtls status",
                        name);
    if (count == 0)
        return cli_fail(CLI_NO_KEY, "there is no token");
    return cli_fail(CLI_NO_KEY, "several tokens are meant. Name one by its serial: mtls status");
}

static int pin_fail_read(int answer)
{
    if (answer == PIN_PROMPT_E_NO_TERMINAL)
        return cli_fail(CLI_FAILURE, "there is no terminal to ask for the PINs. Run it at one, or "
                                     "give them with --stdin");
    if (answer < 0)
        return cli_fail_errno("cannot read the PINs", answer);
    return cli_fail(CLI_LOCKED, "%s, nothing was sent to the token. Try again",
                    secret_error_text(answer));
}

static int pin_ask(const char *what, const char *token, struct secret *pin)
{
    char label[256];
    char prompt[400];

    (void)snprintf(prompt, sizeof(prompt), "%s of token %s: ", what,
                   escape_cstring(token, label, sizeof(label)));
    int r = pin_prompt_read(prompt, pin);
    return r ? pin_fail_read(r) : CLI_OK;
}

/* The new one twice: nobody sees what was typed. */
static int pin_ask_new(const char *token, struct secret *pin)
{
    _cleanup_secret_ struct secret *again = secret_new();

    if (!again)
        return cli_fail_errno("cannot protect the PIN", ENOMEM);
    int r = pin_ask("New PIN", token, pin);
    if (r == CLI_OK)
        r = pin_ask("Once more: new PIN", token, again);
    if (r)
        return r;
    if (pin->len != again->len || memcmp(pin->data, again->data, pin->len) != 0)
        return cli_fail(CLI_LOCKED, "the two new PINs differ, nothing was sent to the token. Try "
                                    "again");
    return CLI_OK;
}

static int pin_read(const struct pin_way *way, const char *token, bool from_stdin,
                    struct secret *old, struct secret *fresh)
{
    if (from_stdin) {
        int r = secret_read_pair(old, fresh, STDIN_FILENO, PIN_STDIN_TIMEOUT_MS);
        return r ? pin_fail_read(r) : CLI_OK;
    }
    int r = pin_ask(way->old_name, token, old);
    return r ? r : pin_ask_new(token, fresh);
}

static int pin_put_line(int fd, struct secret *pin)
{
    pin->data[pin->len] = '\n';
    return write(fd, pin->data, pin->len + 1) == (ssize_t)pin->len + 1 ? 0 : -EIO;
}

/* Both fit into the pipe, so nothing waits here. */
static int pin_fill_pipe(struct secret *old, struct secret *fresh, int *ret_fd)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return cli_fail_errno("cannot make a pipe", errno);
    _cleanup_close_ int read_end = fds[0];
    _cleanup_close_ int write_end = fds[1];
    if (pin_put_line(write_end, old) || pin_put_line(write_end, fresh))
        return cli_fail_errno("cannot write to a pipe", EIO);
    *ret_fd = TAKE_FD(read_end);
    return CLI_OK;
}

static int pin_send(struct mtls_agent *agent, const struct pin_way *way, const char *selector,
                    const char *name, struct secret *old, struct secret *fresh)
{
    struct mtls_agent_error error = {0};
    _cleanup_close_ int fd = -1;

    int r = pin_fill_pipe(old, fresh, &fd);
    if (r)
        return r;
    patience_begin("waiting for token %s...", name);
    r = mtls_agent_set_pin(agent, selector, way->change, fd, &error);
    patience_end();
    if (r)
        return cli_fail_agent(&error);
    cli_note("the PIN of token %s was %s", name, way->done);
    return CLI_OK;
}

static int pin_run_way(struct mtls_agent *agent, const struct pin_way *way, const char *selector,
                       const char *name, bool from_stdin)
{
    int r = harden_process();

    if (r)
        return cli_fail_errno("cannot protect the PINs", r);
    _cleanup_secret_ struct secret *old = secret_new();
    _cleanup_secret_ struct secret *fresh = secret_new();
    if (!old || !fresh)
        return cli_fail_errno("cannot protect the PINs", ENOMEM);
    r = pin_read(way, name, from_stdin, old, fresh);
    return r ? r : pin_send(agent, way, selector, name, old, fresh);
}

static const struct pin_way *pin_find_way(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(pin_ways); i++)
        if (strcmp(pin_ways[i].name, name) == 0)
            return &pin_ways[i];
    return NULL;
}

static int pin_run(const struct cli_args *args)
{
    const struct pin_way *way = pin_find_way(cli_operand(args, 0));
    const char *name = cli_operand(args, 1);
    bool from_stdin = args->values[PIN_STDIN] != NULL;
    _cleanup_agent_status_ struct mtls_agent_status *status = NULL;
    const struct mtls_agent_token_status *token = NULL;
    struct mtls_agent_error error = {0};
    char buffer[ADVICE_SELECTOR_MAX];

    if (!way)
        return cli_fail(CLI_USAGE, "%s is not change or unblock. See: mtls pin --help",
                        cli_operand(args, 0));
    _cleanup_agent_ struct mtls_agent *agent = cli_agent_new();
    if (!agent)
        return CLI_FAILURE;
    if (name && strncmp(name, "pkcs11:", sizeof("pkcs11:") - 1) == 0)
        return pin_run_way(agent, way, name, name, from_stdin);
    patience_begin("waiting for the agent...");
    int r = mtls_agent_get_status(agent, &status, &error);
    patience_end();
    if (r)
        return cli_fail_agent(&error);
    r = pin_find_token(status, name, &token);
    if (r || !token)
        return r;
    return pin_run_way(agent, way, advice_token_selector(status, token, buffer), token->label,
                       from_stdin);
}

const struct cli_command cmd_pin = {
    .name = "pin",
    .operands = "change|unblock [TOKEN]",
    .summary = "Change the PIN of a token, or unblock it",
    .details =
        "change wants the old PIN, unblock the PUK (the PIN of the security officer).\nTOKEN "
        "is a label, a serial or a pkcs11: URI; without, the only one.\nPINs are asked at "
        "the terminal; what the token is shown is given once.",
    .options = pin_options,
    .option_count = ARRAY_SIZE(pin_options),
    .operands_min = 1,
    .operands_max = 2,
    .run = pin_run,
};
