/* SPDX-License-Identifier: Apache-2.0 */
/* A PIN on its way; see module_pin.h. */
#include "agent/module_pin.h"

#include <fcntl.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/module_internal.h"
#include "agent/token_request.h"
#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"

struct worker_token module_token_get_id(const struct module_token *token)
{
    return (struct worker_token){.flags = token->flags,
                                 .label = wire_span_from_text(token->label),
                                 .serial = wire_span_from_text(token->serial)};
}

struct module_pin *module_pin_free(struct module_pin *pin)
{
    if (!pin)
        return NULL;
    if (pin->kind == MODULE_PIN_KEYPAD)
        module_prompt_tell_keypad_over(pin->module, &pin->module->tokens[pin->token]);
    (void)pin_source_free(pin->source);
    (void)close_fd(pin->fd);
    free(pin);
    return NULL;
}

struct module_pin *module_pin_kill(struct module_pin *pin)
{
    if (pin)
        pin->source = pin_source_kill(pin->source);
    return module_pin_free(pin);
}

bool module_pin_is_ready(const struct module_pin *pin)
{
    return pin->fd >= 0 || (pin->source && pin_source_get_state(pin->source) == PIN_SOURCE_READY);
}

/* What `mtls unlock` sent is no PIN. */
static void module_pin_fail_relay(struct module *module, struct module_token *token)
{
    struct module_pin *pin = TAKE_PTR(token->pin);
    char text[PROTOCOL_TEXT_MAX];

    (void)snprintf(text, sizeof(text), "%s", pin_source_text(pin->source));
    struct request *request = pin->request;
    (void)module_pin_free(pin);
    if (request)
        token_request_fail(request, PROTOCOL_E_PIN, text);
    module_prompt_end(module, token, PROTOCOL_E_PIN, text);
    module_login_resume(module);
}

/* The PIN of a source that was asked, or of one that was kept and whose process is gone. */
static void module_pin_changed(struct pin_source *source, void *userdata)
{
    struct module_pin *pin = userdata;
    struct module *module = pin->module;
    struct module_token *token = &module->tokens[pin->token];

    /* The worker's answer will tell. */
    if (module->login_pin == pin)
        return;
    if (token->kept == pin) {
        module_keep_drop(token, "its process ended");
        return;
    }
    pin->since_ms = clock_monotonic_ms();
    if (pin->kind == MODULE_PIN_PROMPT || pin->kind == MODULE_PIN_KEYPAD)
        module_prompt_handle_answer(module, token);
    else if (pin_source_get_state(source) == PIN_SOURCE_READY)
        module_login_resume(module);
    else if (pin->kind == MODULE_PIN_RELAY)
        module_pin_fail_relay(module, token);
    else
        module_login_handle_source(module, token);
}

void module_pin_record(const struct module_pin *pin, const struct pin_record *record)
{
    if (record && pin->source)
        pin_source_record(pin->source, record);
}

static struct module_pin *module_pin_make(struct module *module, size_t token,
                                          enum module_pin_kind kind)
{
    struct module_pin *pin = calloc(1, sizeof(*pin));

    if (!pin)
        return NULL;
    pin->module = module;
    pin->token = token;
    pin->kind = kind;
    pin->fd = -1;
    pin->since_ms = clock_monotonic_ms();
    return pin;
}

int module_pin_new_direct(struct module *module, size_t token, int fd, struct module_pin **ret_pin)
{
    struct module_pin *pin = module_pin_make(module, token, MODULE_PIN_RELAY);

    if (!pin)
        return -ENOMEM;
    pin->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (pin->fd < 0) {
        int r = -errno;
        free(pin);
        return r;
    }
    *ret_pin = pin;
    return 0;
}

int module_pin_new(struct module *module, size_t token, enum module_pin_kind kind,
                   const struct pin_ask *ask, int fd, struct module_pin **ret_pin)
{
    struct module_pin *pin = module_pin_make(module, token, kind);

    if (!pin)
        return -ENOMEM;
    int r = pin_source_new(module->agent->event, ask, fd, module_pin_changed, pin, &pin->source);
    if (r) {
        free(pin);
        return r;
    }
    agent_watch(module->agent);
    *ret_pin = pin;
    return 0;
}
