/* SPDX-License-Identifier: Apache-2.0 */
/* What people do with tokens: unlock one with a PIN that they type, lock one. */
#include <string.h>

#include "agent/agent.h"
#include "agent/module_internal.h"
#include "agent/module_login.h"
#include "agent/module_pin.h"
#include "agent/module_release.h"
#include "agent/token_request.h"

/* An UNLOCK that waits for a worker. */
struct module_unlock_wait {
    char *label;
    char *serial;
    int pin_fd;
    struct request *request;
};

static struct module_unlock_wait *module_unlock_wait_free(struct module_unlock_wait *wait)
{
    if (!wait)
        return NULL;
    (void)close_fd(wait->pin_fd);
    free(wait->label);
    free(wait->serial);
    free(wait);
    return NULL;
}

/* No worker came up in time for the UNLOCK that waits. */
void module_fail_unlock(struct module *module, const char *text)
{
    if (!module->unlock_wait)
        return;
    struct request *request = module->unlock_wait->request;
    module->unlock_wait = module_unlock_wait_free(module->unlock_wait);
    token_request_fail(request, PROTOCOL_E_BUSY, text);
}

static enum protocol_error_code module_send_unlock(struct module *module, struct worker *worker,
                                                   const struct worker_token *id, int pin_fd,
                                                   struct request *request, const char **ret_text)
{
    const struct worker_token *token = inventory_find_same(worker->inventory, id, 0);

    if (!token) {
        *ret_text = "the token is gone";
        return PROTOCOL_E_TOKEN_GONE;
    }
    if (token->flags & WORKER_TOKEN_LOGGED_IN) {
        *ret_text = "the token is unlocked already";
        return PROTOCOL_E_PIN;
    }
    return module_login_relay(module, token, pin_fd, request, ret_text);
}

/* The UNLOCK that waited goes to the worker that has come up. */
void module_resume_unlock(struct module *module, struct worker *worker)
{
    struct module_unlock_wait *wait = module->unlock_wait;
    const char *text = NULL;

    if (!wait)
        return;
    module->unlock_wait = NULL;
    const struct worker_token id = {.label = wire_span_from_text(wait->label),
                                    .serial = wire_span_from_text(wait->serial)};
    enum protocol_error_code code =
        module_send_unlock(module, worker, &id, wait->pin_fd, wait->request, &text);
    if (code)
        token_request_fail(wait->request, code, text);
    (void)module_unlock_wait_free(wait);
}

/* Keeps an UNLOCK, by the token's identity, until a fresh worker has come up. */
static enum protocol_error_code module_keep_unlock(struct module *module,
                                                   const struct worker_token *token, int pin_fd,
                                                   struct request *request, const char **ret_text)
{
    _cleanup_close_ int owned_fd = pin_fd;
    struct module_unlock_wait *wait = calloc(1, sizeof(*wait));

    if (!wait) {
        *ret_text = "out of memory";
        return PROTOCOL_E_INTERNAL;
    }
    wait->label = wire_span_to_text(token->label);
    wait->serial = wire_span_to_text(token->serial);
    wait->pin_fd = TAKE_FD(owned_fd);
    wait->request = request;
    module->unlock_wait = wait;
    return 0;
}

enum protocol_error_code module_unlock(struct module *module, const struct worker_token *token,
                                       int pin_fd, struct request *request, const char **ret_text)
{
    _cleanup_close_ int owned_fd = pin_fd;
    struct worker *worker = module_first_worker(module, WORKER_STATE_READY);

    module_release_end(module);
    /* A person need not wait for a source that thinks. */
    if (!worker && module_login_waits_for_source(module, token))
        worker = module_first_worker(module, WORKER_STATE_LOGIN);
    if (worker)
        return module_send_unlock(module, worker, token, owned_fd, request, ret_text);
    if (module_is_starting(module) && !module->unlock_wait)
        return module_keep_unlock(module, token, TAKE_FD(owned_fd), request, ret_text);
    *ret_text = module->text[0] ? module->text : "the token's module is starting; try again";
    return PROTOCOL_E_BUSY;
}

void module_forget_unlock(struct module *module, const struct request *request)
{
    for (size_t i = 0; i < module->token_count; i++)
        if (module->tokens[i].pin && module->tokens[i].pin->request == request)
            module->tokens[i].pin->request = NULL;
    if (module->set_pin_request == request)
        module->set_pin_request = NULL;
    module_prompt_forget(module, request);
    if (module->unlock_wait && module->unlock_wait->request == request)
        module->unlock_wait = module_unlock_wait_free(module->unlock_wait);
}

/* The login ends, and with its process every copy of the PIN. */
static void module_end_login(struct worker *worker, uint32_t token)
{
    if (worker->login_is_pending || worker_send_logout(worker, token))
        worker_dismiss(worker);
    else
        worker_set_state(worker, WORKER_STATE_RETIRING);
}

void module_lock(struct module *module, const struct worker_token *token)
{
    struct module_token *known = module_login_find(module, token);

    if (known) {
        known->is_locked_by_person = true;
        module_keep_drop(known, "the token was locked");
    }
    module_login_tell(module, token, "locked");
    module_end_logins(module, token);
}

void module_end_logins(struct module *module, const struct worker_token *token)
{
    list_for_each (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        if (worker->state != WORKER_STATE_READY && worker->state != WORKER_STATE_LOGIN)
            continue;
        const struct worker_token *seen = inventory_find_same(worker->inventory, token, 0);
        if (seen)
            module_end_login(worker, seen->token);
    }
    agent_watch(module->agent);
}
