/* SPDX-License-Identifier: Apache-2.0 */
/* Changing PINs: one worker is told, and what was known of the old PIN is forgotten. */
#include <string.h>

#include "agent/agent.h"
#include "agent/module_internal.h"
#include "agent/module_pin.h"
#include "agent/module_release.h"
#include "agent/pin_ledger.h"
#include "agent/token_request.h"
#include "common/escape.h"
#include "common/log.h"

/* The old PIN is on its way to the token, and would be wrong when it comes there. */
static bool module_set_pin_is_late(const struct module_token *known)
{
    return !known || (known->pin &&
                      (known->pin->kind != MODULE_PIN_PROMPT || module_pin_is_ready(known->pin)));
}

enum protocol_error_code module_set_pin(struct module *module, const struct worker_token *token,
                                        enum worker_pin_change change, int pin_fd,
                                        struct request *request, const char **ret_text)
{
    _cleanup_close_ int owned_fd = pin_fd;
    struct worker *worker = module_first_worker(module, WORKER_STATE_READY);
    const struct worker_token *seen =
        worker ? inventory_find_same(worker->inventory, token, 0) : NULL;

    module_release_end(module);
    if (!worker) {
        *ret_text = module->text[0] ? module->text : "the token's module is starting; try again";
        return PROTOCOL_E_BUSY;
    }
    if (!seen) {
        *ret_text = "the token is gone";
        return PROTOCOL_E_TOKEN_GONE;
    }
    if (module->login_worker || worker->login_is_pending ||
        module_set_pin_is_late(module_login_get(module, token))) {
        *ret_text = "the token's module is busy with a login; try again";
        return PROTOCOL_E_BUSY;
    }
    if (worker_send_set_pin(worker, seen->token, change, owned_fd, MODULE_LOGIN_PIN_MS)) {
        *ret_text = "the PINs could not be handed to the token's process";
        return PROTOCOL_E_INTERNAL;
    }
    module->login_worker = worker;
    module->set_pin_change = change;
    module->set_pin_request = request;
    agent_watch(module->agent);
    return 0;
}

/* The token has another PIN: the kept one and the source's are wrong now, and are not tried. */
static void module_set_pin_take(struct module *module, struct module_token *known,
                                const struct worker_token *id)
{
    const struct config_token *config = module_login_find_config(module, id);
    const struct pin_record *record = pin_ledger_clear(module->agent->ledger, id);

    if (record && known->kept)
        pin_source_record(known->kept->source, record);
    known->is_blocked = false;
    module_keep_drop(known, "the token has a new PIN");
    known->source_is_proved = false;
    known->pin_is_bad = config && config->pin != CONFIG_PIN_ASK;
    (void)snprintf(known->text, sizeof(known->text), "%s",
                   known->pin_is_bad ? "its PIN was changed; correct the source and reload the "
                                       "agent (SIGHUP), or use `mtls unlock`"
                                     : "");
}

static enum protocol_error_code module_set_pin_code(enum worker_result result)
{
    switch (result) {
    case WORKER_E_STATE_LOST:
        return PROTOCOL_E_TOKEN_GONE;
    case WORKER_E_MODULE:
    case WORKER_E_BAD_REQUEST:
        return PROTOCOL_E_INTERNAL;
    case WORKER_E_UNSUPPORTED:
        return PROTOCOL_E_POLICY;
    default:
        return PROTOCOL_E_PIN;
    }
}

void module_set_pin_handle_reply(struct module *module, struct worker *worker,
                                 const struct worker_reply *reply)
{
    const struct inventory_token *token =
        inventory_find_token(worker->inventory, worker->login_token);
    struct module_token *known = token ? module_login_find(module, &token->info) : NULL;
    struct request *request = TAKE_PTR(module->set_pin_request);
    char text[PROTOCOL_TEXT_MAX];
    char label[256];

    module->login_worker = NULL;
    if (known) {
        const struct worker_token id = module_token_get_id(known);
        known->flags = reply->token_flags;
        if (reply->result == WORKER_E_PIN_BLOCKED && module->set_pin_change == WORKER_PIN_CHANGE)
            known->is_blocked = true;
        if (reply->result == WORKER_OK)
            module_set_pin_take(module, known, &id);
        log_info("%s: token \"%s\": %s", module_get_name(module),
                 escape_cstring(known->label, label, sizeof(label)),
                 reply->result == WORKER_OK ? "its PIN was changed" : "its PIN was not changed");
        module_login_tell(module, &id,
                          reply->result == WORKER_OK ? "its PIN was changed" : "not changed");
    }
    if (request && reply->result == WORKER_OK)
        token_request_succeed(request);
    else if (request)
        token_request_fail(request, module_set_pin_code(reply->result),
                           escape_text(reply->text, text, sizeof(text)));
    /* The user is not logged in there any more: the security officer was. */
    bool lost_login = token && (token->info.flags & WORKER_TOKEN_LOGGED_IN) &&
                      !(reply->token_flags & WORKER_TOKEN_LOGGED_IN);
    bool was_unblocked = module->set_pin_change == WORKER_PIN_UNBLOCK && reply->result == WORKER_OK;
    if (lost_login || was_unblocked || reply->result == WORKER_E_STATE_LOST)
        module_retire(worker);
}

void module_set_pin_abort(struct module *module, const struct worker *worker)
{
    struct request *request = TAKE_PTR(module->set_pin_request);

    module->login_worker = NULL;
    if (request)
        token_request_fail(request,
                           worker && worker->end == WORKER_END_TIMEOUT ? PROTOCOL_E_TIMEOUT
                                                                       : PROTOCOL_E_INTERNAL,
                           "the token's module failed meanwhile; whether the PIN was changed, "
                           "`mtls unlock` tells");
}
