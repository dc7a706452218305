/* SPDX-License-Identifier: Apache-2.0 */
/* Problems and remedies; see advice.h. */
#include "client/cli/advice.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "client/cli/pkcs11_uri.h"
#include "client/cli/shell_quote.h"
#include "common/cleanup.h"

#define ADVICE_LINE_MAX 4096

struct advice {
    advice_fn say;
    void *context;
};

static void _printf_(2, 3) advice_say(const struct advice *advice, const char *format, ...)
{
    char line[ADVICE_LINE_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    advice->say(advice->context, line);
}

static const char *advice_token_uri(const struct mtls_agent_token_status *token,
                                    char buffer[static ADVICE_SELECTOR_MAX])
{
    _cleanup_(wire_writer_deinit) struct wire_writer uri = {0};

    wire_writer_init(&uri, ADVICE_SELECTOR_MAX - 1);
    pkcs11_uri_format_token(token, &uri);
    if (uri.failed)
        return token->serial;
    memcpy(buffer, uri.data, uri.len);
    buffer[uri.len] = '\0';
    return buffer;
}

const char *advice_token_selector(const struct mtls_agent_status *status,
                                  const struct mtls_agent_token_status *token,
                                  char buffer[static ADVICE_SELECTOR_MAX])
{
    size_t same_label = 0;
    size_t same_both = 0;

    for (size_t i = 0; i < status->token_count; i++) {
        bool has_label = strcmp(status->tokens[i].label, token->label) == 0;
        same_label += has_label;
        same_both += has_label && strcmp(status->tokens[i].serial, token->serial) == 0;
    }
    if (same_both > 1)
        return advice_token_uri(token, buffer);
    return (same_label > 1 || !*token->label) && *token->serial ? token->serial : token->label;
}

/* The agent's own words, if it has any: it knows more. Without their full stop. */
static const char *advice_text(const char *text, const char *otherwise,
                               char buffer[static ADVICE_LINE_MAX])
{
    (void)snprintf(buffer, ADVICE_LINE_MAX, "%s", *text ? text : otherwise);
    size_t len = strlen(buffer);
    if (len > 0 && buffer[len - 1] == '.')
        buffer[len - 1] = '\0';
    return buffer;
}

static void advice_on_module(const struct advice *advice,
                             const struct mtls_agent_module_status *module)
{
    char text[ADVICE_LINE_MAX];

    if (module->state == MTLS_AGENT_MODULE_FAILED)
        advice_say(advice,
                   "Module %s does not work: %s. Correct its [module] section, then reload the "
                   "agent: systemctl --user reload mtls-agent (without --user for the system "
                   "service)",
                   module->name, advice_text(module->text, "see the agent's log", text));
    if (module->state == MTLS_AGENT_MODULE_BACKOFF)
        advice_say(advice, "Module %s fails again and again: %s. The agent keeps trying by itself",
                   module->name, advice_text(module->text, "see the agent's log", text));
}

static void advice_on_token(const struct advice *advice, const struct mtls_agent_status *status,
                            const struct mtls_agent_token_status *token)
{
    _cleanup_(wire_writer_deinit) struct wire_writer selector = {0};
    char text[ADVICE_LINE_MAX];
    char buffer[ADVICE_SELECTOR_MAX];

    wire_writer_init(&selector, ADVICE_LINE_MAX);
    shell_quote(&selector, advice_token_selector(status, token, buffer));
    int len = selector.failed ? 0 : (int)selector.len;
    const char *quoted = (const char *)selector.data;
    switch (token->state) {
    case MTLS_AGENT_TOKEN_LOCKED:
        advice_say(advice, "Token %s waits for its PIN. Run: mtls unlock %.*s", token->label, len,
                   quoted);
        break;
    case MTLS_AGENT_TOKEN_PIN_BAD:
        advice_say(advice,
                   "Token %s refused the configured PIN: %s. Correct pin = in its [token] section, "
                   "or run: mtls unlock %.*s",
                   token->label, advice_text(token->text, "it is not tried again by itself", text),
                   len, quoted);
        break;
    case MTLS_AGENT_TOKEN_PIN_BLOCKED:
        advice_say(advice,
                   "The PIN of token %s is blocked: %s. With its PUK, run: mtls pin unblock %.*s",
                   token->label, advice_text(token->text, "too many wrong PINs were given", text),
                   len, quoted);
        break;
    default:
        break;
    }
}

static void advice_on_readers(const struct advice *advice, const struct mtls_agent_status *status)
{
    char text[ADVICE_LINE_MAX];

    if (*status->readers_text)
        advice_say(advice, "There are no smart card readers: %s",
                   advice_text(status->readers_text, "", text));
    for (size_t i = 0; i < status->reader_count; i++) {
        const struct mtls_agent_reader_status *reader = &status->readers[i];
        if (reader->state == MTLS_AGENT_READER_EXCLUSIVE)
            advice_say(advice,
                       "The card in reader %s is held by another program for itself%s%s. End that "
                       "program, or let it share the card (scdaemon: pcsc-shared in "
                       "scdaemon.conf)",
                       reader->name, *reader->text ? ": " : "", reader->text);
        if (reader->state == MTLS_AGENT_READER_MUTE)
            advice_say(advice,
                       "The card in reader %s does not answer. Take it out, look at which side is "
                       "up, and insert it again",
                       reader->name);
        if (reader->state == MTLS_AGENT_READER_UNAVAILABLE)
            advice_say(advice, "Reader %s does not answer. Plug it in again", reader->name);
    }
}

void advice_give(const struct mtls_agent_status *status, advice_fn say, void *context)
{
    const struct advice advice = {say, context};
    char text[ADVICE_LINE_MAX];
    size_t ready = 0;

    if (*status->config_text)
        advice_say(&advice,
                   "The configuration was not reloaded, the old one stays in force: %s. Correct "
                   "it, see: mtls check-config",
                   advice_text(status->config_text, "", text));
    if (status->module_count == 0)
        advice_say(&advice, "No PKCS#11 module is known. Install one, e.g. opensc-pkcs11, or add a "
                            "[module] section: man 5 mtls-agent.conf");
    for (size_t i = 0; i < status->module_count; i++) {
        ready += status->modules[i].state == MTLS_AGENT_MODULE_READY;
        advice_on_module(&advice, &status->modules[i]);
    }
    advice_on_readers(&advice, status);
    if (ready > 0 && status->token_count == 0)
        advice_say(&advice, "No token is there. Insert one, or initialise one with the tool of its "
                            "maker");
    for (size_t i = 0; i < status->token_count; i++)
        advice_on_token(&advice, status, &status->tokens[i]);
}
