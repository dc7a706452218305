/* SPDX-License-Identifier: Apache-2.0 */
/* Failures, notes and output of every subcommand; see cli.h. */
#include "client/cli/cli.h"

#include <stdarg.h>
#include <string.h>

#include "common/escape.h"

#define CLI_LINE_MAX 4096

const char *cli_operand(const struct cli_args *args, int index)
{
    return index < args->operand_count ? args->operands[index] : NULL;
}

/* One write per line, so that lines of parallel programs do not mix. */
static void cli_say(const char *line)
{
    (void)fflush(stdout);
    (void)fprintf(stderr, "mtls: %s\n", line);
}

static const char *_printf_(1, 0)
    cli_format(const char *format, va_list args, char buffer[static CLI_LINE_MAX * 2])
{
    char line[CLI_LINE_MAX];

    (void)vsnprintf(line, sizeof(line), format, args);
    return escape_cstring(line, buffer, CLI_LINE_MAX * 2);
}

static void _printf_(1, 0) cli_say_escaped(const char *format, va_list args)
{
    char line[CLI_LINE_MAX * 2];

    cli_say(cli_format(format, args, line));
}

int cli_fail(enum cli_exit code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    cli_say_escaped(format, args);
    va_end(args);
    return (int)code;
}

int cli_fail_usage(const struct cli_command *command, const char *format, ...)
{
    char what[CLI_LINE_MAX / 2];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    return cli_fail(CLI_USAGE, "%s. See: mtls %s --help", what, command->name);
}

int cli_fail_errno(const char *what, int error)
{
    return cli_fail(CLI_FAILURE, "%s: %s.", what, strerror(error < 0 ? -error : error));
}

void cli_note(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    cli_say_escaped(format, args);
    va_end(args);
}

enum cli_exit cli_exit_of(enum mtls_agent_code code)
{
    switch (code) {
    case MTLS_AGENT_OK:
        return CLI_OK;
    case MTLS_AGENT_E_ARGUMENT:
        return CLI_USAGE;
    case MTLS_AGENT_E_NO_AGENT:
    case MTLS_AGENT_E_CONNECTION:
        return CLI_NO_AGENT;
    case MTLS_AGENT_E_NO_KEY:
    case MTLS_AGENT_E_AMBIGUOUS:
        return CLI_NO_KEY;
    case MTLS_AGENT_E_POLICY:
        return CLI_REFUSED;
    case MTLS_AGENT_E_LOCKED:
    case MTLS_AGENT_E_PIN:
        return CLI_LOCKED;
    case MTLS_AGENT_E_TOKEN_GONE:
    case MTLS_AGENT_E_BUSY:
    case MTLS_AGENT_E_TIMEOUT:
        return CLI_UNAVAILABLE;
    default:
        return CLI_FAILURE;
    }
}

int cli_fail_agent(const struct mtls_agent_error *error)
{
    size_t len = strnlen(error->text, sizeof(error->text));
    bool has_stop = len > 0 && strchr(".?!", error->text[len - 1]);
    char line[sizeof(error->text) + 2];

    /* The library has escaped the text, and it says what to do. */
    (void)snprintf(line, sizeof(line), "%.*s%s", (int)len, error->text, has_stop ? "" : ".");
    cli_say(line);
    return (int)cli_exit_of(error->code);
}

struct mtls_agent *cli_agent_new(void)
{
    struct mtls_agent *agent = mtls_agent_new(NULL);

    if (!agent) {
        (void)cli_fail_errno("cannot start", ENOMEM);
        return NULL;
    }
    mtls_agent_set_client_name(agent, "mtls");
    return agent;
}

void cli_put_line(struct wire_writer *out, const char *format, ...)
{
    char line[CLI_LINE_MAX * 2];
    va_list args;

    va_start(args, format);
    escape_put_raw(out, cli_format(format, args, line));
    va_end(args);
    wire_put_u8(out, '\n');
}

int cli_print(const struct wire_writer *text)
{
    if (text->failed)
        return cli_fail_errno("cannot print", ENOMEM);
    if (text->len > 0)
        (void)fwrite(text->data, 1, text->len, stdout);
    return CLI_OK;
}

int cli_finish_output(int code)
{
    bool failed = ferror(stdout) != 0;

    errno = 0;
    if (fclose(stdout) != 0 || failed)
        return cli_fail_errno("standard output", errno ? errno : EIO);
    return code;
}
