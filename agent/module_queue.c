/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests of a module: which may wait, who is next, what becomes of those whose worker failed.
 */
#include <string.h>

#include "agent/agent.h"
#include "agent/keyring.h"
#include "agent/module_context.h"
#include "agent/module_internal.h"
#include "agent/module_login.h"
#include "agent/module_readers.h"
#include "agent/module_release.h"
#include "agent/pin_source.h"
#include "agent/sign_request.h"
#include "agent/touch.h"
#include "common/escape.h"
#include "common/log.h"

/* A request is with each worker at most once, and with one fresh worker: a token may have
 * dropped the sessions of them all. */
static bool module_may_try_again(const struct module *module, const struct sign_request *request)
{
    size_t workers = module->worker_count > 1 ? module->worker_count : 1;

    return !request->is_answered && request->item.line && request->attempts <= workers;
}

/* Answers every waiting request: nothing will come to sign them soon. */
void module_flush(struct module *module, enum protocol_error_code code, const char *text)
{
    struct fair_item *item = NULL;

    module_context_stop_sources(module);
    while ((item = fair_queue_peek(&module->queue))) {
        fair_queue_take(&module->queue, item);
        sign_request_give_back(list_entry(item, struct sign_request, item), code, text);
    }
    module_context_flush(module, code, text);
}

size_t module_load(const struct module *module)
{
    size_t load = module->queue.count;

    list_for_each (link, &module->workers)
        load += list_entry(link, struct worker, link)->in_flight;
    return load;
}

enum key_state module_key_state(const struct module *module,
                                const uint8_t hash[static PROTOCOL_KEY_HASH_LEN],
                                const struct worker_token *hidden_on)
{
    const struct inventory_key *key =
        module->inventory && !hidden_on ? inventory_find_key(module->inventory, hash) : NULL;

    list_for_each (link, &module->workers) {
        const struct worker *worker = list_entry(link, struct worker, link);
        if (worker->state == WORKER_STATE_READY && worker_get_usable_key(worker, hash))
            return KEY_STATE_READY;
    }
    if ((!key && !hidden_on) ||
        (module->state != MODULE_STATE_READY && module->state != MODULE_STATE_STARTING &&
         module->state != MODULE_STATE_RELEASED))
        return KEY_STATE_ABSENT;
    const struct worker_token *token =
        hidden_on ? hidden_on : &inventory_find_token(module->inventory, key->info.token)->info;
    if (module_token_state(module, token, NULL) != TOKEN_STATE_READY)
        return KEY_STATE_LOCKED;
    return module_is_starting(module) ? KEY_STATE_READY : KEY_STATE_ABSENT;
}

/* A worker that takes requests, or soon will, is logged in to the token. */
static bool module_has_login(const struct module *module, const struct worker_token *token)
{
    list_for_each (link, &module->workers) {
        const struct worker *worker = list_entry(link, struct worker, link);
        const struct worker_token *seen = inventory_find_same(worker->inventory, token, 0);
        if (seen && (seen->flags & WORKER_TOKEN_LOGGED_IN) &&
            (worker->state == WORKER_STATE_READY || worker->state == WORKER_STATE_LOGIN))
            return true;
    }
    return false;
}

enum token_state module_token_state(const struct module *module, const struct worker_token *token,
                                    const char **ret_text)
{
    const struct module_token *known = module_login_find(module, token);
    bool is_locked_by_person = known && known->is_locked_by_person;
    /* With its worker gone, or the card given up, a login that a person made does not come again.
     */
    bool is_gone = module_login_token_is_typed(module, token) && !module_has_login(module, token);
    bool is_logged_in = !(token->flags & WORKER_TOKEN_LOGIN_REQUIRED) ||
                        ((token->flags & WORKER_TOKEN_LOGGED_IN) && !is_gone);

    if (ret_text)
        *ret_text = known && !is_logged_in ? known->text : "";
    if (is_logged_in && !is_locked_by_person)
        return TOKEN_STATE_READY;
    if ((known && known->is_blocked) || (token->flags & WORKER_TOKEN_PIN_LOCKED))
        return TOKEN_STATE_PIN_BLOCKED;
    if (is_locked_by_person)
        return TOKEN_STATE_LOCKED;
    if (known && known->pin_is_bad)
        return TOKEN_STATE_PIN_BAD;
    return TOKEN_STATE_LOCKED;
}

/* The sentence for a key whose token is not logged in. */
enum protocol_error_code module_refuse_locked(const struct module *module,
                                              const struct worker_token *token,
                                              const char **ret_text)
{
    static char text[PROTOCOL_TEXT_MAX];
    char label[256];
    const char *detail = "";
    enum token_state state = module_token_state(module, token, &detail);

    escape_text(token->label, label, sizeof(label));
    *ret_text = text;
    if (state == TOKEN_STATE_PIN_BLOCKED) {
        (void)snprintf(
            text, sizeof(text),
            "the PIN of token \"%s\" is blocked: unblock it with its PUK, see `mtls status`",
            label);
        return PROTOCOL_E_PIN;
    }
    if (state == TOKEN_STATE_PIN_BAD) {
        (void)snprintf(text, sizeof(text), "token \"%s\": %.700s", label, detail);
        return PROTOCOL_E_PIN;
    }
    const struct module_token *known = module_login_find(module, token);
    (void)snprintf(text, sizeof(text), "token \"%s\" %s: run `mtls unlock '%s'`", label,
                   known && known->is_locked_by_person ? "was locked with `mtls lock`"
                                                       : "waits for its PIN",
                   label);
    return PROTOCOL_E_LOCKED;
}

static enum protocol_error_code module_refuse_absent(const struct module *module,
                                                     const struct worker_token *token,
                                                     const char **ret_text)
{
    static char text[PROTOCOL_TEXT_MAX];
    const char *obstacle = module_readers_obstacle(module);
    char label[256];
    char serial[256];

    (void)snprintf(text, sizeof(text), "token \"%s\" (serial %s) is not there: %.400s",
                   escape_text(token->label, label, sizeof(label)),
                   escape_text(token->serial, serial, sizeof(serial)),
                   *obstacle ? obstacle : "put it in");
    *ret_text = text;
    return PROTOCOL_E_TOKEN_GONE;
}

enum protocol_error_code module_down_code(const struct module *module)
{
    return *module_readers_obstacle(module) ? PROTOCOL_E_TOKEN_GONE : PROTOCOL_E_BUSY;
}

enum protocol_error_code module_admit(struct module *module, const struct keyring_key *key,
                                      const char **ret_text)
{
    if (module->agent->is_stopping) {
        *ret_text = "the agent is ending";
        return PROTOCOL_E_BUSY;
    }
    if (key->is_absent)
        return module_refuse_absent(module, key->token, ret_text);
    if (module_key_is_locked_by_person(module, key->hash))
        return module_refuse_locked(module, key->token, ret_text);
    list_for_each (link, &module->workers) {
        const struct worker *worker = list_entry(link, struct worker, link);
        if (worker->state == WORKER_STATE_READY && worker_get_usable_key(worker, key->hash))
            return 0;
    }
    if (module_is_starting(module) || module_start_on_demand(module))
        return 0;
    if (module->state == MODULE_STATE_BACKOFF || module->state == MODULE_STATE_FAILED) {
        *ret_text = module->text[0] ? module->text : "the token's module is being restarted";
        return module_down_code(module);
    }
    if (key->token->flags & WORKER_TOKEN_LOGGED_IN ||
        !(key->token->flags & WORKER_TOKEN_LOGIN_REQUIRED)) {
        *ret_text = "there is a certificate, but the token has no private key for it";
        return PROTOCOL_E_NO_KEY;
    }
    return module_refuse_locked(module, key->token, ret_text);
}

/* What the client is told for each way in which a worker can fail. */
static enum protocol_error_code module_error_code(enum worker_result result)
{
    switch (result) {
    case WORKER_E_LOCKED:
        return PROTOCOL_E_LOCKED;
    case WORKER_E_PIN:
    case WORKER_E_PIN_BLOCKED:
    case WORKER_E_PIN_SOURCE:
    case WORKER_E_REFUSED:
        return PROTOCOL_E_PIN;
    case WORKER_E_STATE_LOST:
        return PROTOCOL_E_TOKEN_GONE;
    case WORKER_E_UNSUPPORTED:
        return PROTOCOL_E_POLICY;
    default:
        return PROTOCOL_E_INTERNAL;
    }
}

/* The least busy worker that can sign with this key and has room. */
static struct worker *module_choose_worker(const struct module *module,
                                           const struct sign_request *request,
                                           const struct inventory_key **ret_key, bool *ret_may_come)
{
    struct worker *best = NULL;

    *ret_may_come = module_is_starting(module);
    list_for_each (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        if (worker->state != WORKER_STATE_READY)
            continue;
        const struct inventory_key *key = module_choose_key(module, worker, request);
        if (!key)
            continue;
        *ret_may_come = true;
        if (!worker_has_room(worker) || (best && best->in_flight <= worker->in_flight))
            continue;
        best = worker;
        *ret_key = key;
    }
    return best;
}

/* Hands one request to a worker. False when it has to wait. */
static bool module_hand_over(struct module *module, struct worker *worker,
                             struct sign_request *request, const struct inventory_key *key)
{
    const struct inventory_token *token = inventory_find_token(worker->inventory, key->info.token);
    _cleanup_close_ int pin_fd = -1;
    enum protocol_error_code code = PROTOCOL_E_TOKEN_GONE;
    const char *text = "the token is gone";
    enum module_context context = MODULE_CONTEXT_READY;

    fair_queue_take(&module->queue, &request->item);
    if (!key->info.always_authenticate)
        module_context_drop(request); /* of another token that has the key as well */
    else
        context = token ? module_context_start(module, &token->info, request, &pin_fd, &code, &text)
                        : MODULE_CONTEXT_FAILED;
    if (context == MODULE_CONTEXT_FAILED)
        sign_request_fail(request, code, text);
    if (context != MODULE_CONTEXT_READY)
        return true;
    int r = worker_send_sign(worker, request, key, pin_fd);
    if (r == -EAGAIN || r == -EPIPE || r == -ECONNRESET) {
        /* Its socket is full, or it has just died: nothing of the request has reached it. */
        fair_queue_put_back(&module->queue, &request->item);
        if (r != -EAGAIN)
            worker_kill(worker, WORKER_END_CRASH);
        return false;
    }
    if (r) {
        sign_request_fail(request, PROTOCOL_E_INTERNAL,
                          "the request could not be handed to the token's process");
        return true;
    }
    request->attempts++;
    request->is_with_worker = true;
    if (worker_answers_soon(worker))
        lookout_begin(&module->agent->lookout);
    return true;
}

static const struct worker_token *module_find_token(const struct module *module,
                                                    const struct sign_request *request)
{
    const struct worker_token id = sign_request_get_token(request);

    return inventory_find_same(module->inventory, &id, 0);
}

/* The key is there, but can no more what it could when the request came. */
static bool module_lacks_scheme(const struct module *module, const struct sign_request *request)
{
    uint32_t schemes[SCHEMES_MAX];
    size_t count = module_list_schemes(module, request->key_hash, schemes);

    return count > 0 && !scheme_list_has(schemes, count, request->scheme->code);
}

/* No worker can sign it now, and none is coming: says why. */
static void module_fail_unusable(struct module *module, struct sign_request *request)
{
    const struct worker_token *token = module_find_token(module, request);
    const char *locked_text = NULL;
    char text[PROTOCOL_TEXT_MAX];
    char label[256];

    if (module_lacks_scheme(module, request)) {
        sign_request_give_back(request, PROTOCOL_E_POLICY,
                               "refused to sign: the token that has the key now cannot do the "
                               "signature scheme");
        return;
    }
    if (token && module_token_state(module, token, NULL) != TOKEN_STATE_READY) {
        enum protocol_error_code code = module_refuse_locked(module, token, &locked_text);
        sign_request_give_back(request, code, locked_text);
        return;
    }
    const char *obstacle = module_readers_obstacle(module);
    (void)snprintf(text, sizeof(text), "token \"%s\" is gone, or no longer has this key: %.600s",
                   escape_cstring(request->token_label, label, sizeof(label)),
                   *obstacle ? obstacle : "put it in");
    sign_request_give_back(request, PROTOCOL_E_TOKEN_GONE, text);
}

static void module_pump_once(struct module *module)
{
    struct fair_item *item = NULL;

    while ((item = fair_queue_peek(&module->queue))) {
        struct sign_request *request = list_entry(item, struct sign_request, item);
        const struct inventory_key *key = NULL;
        bool may_come = false;
        struct worker *worker = module_choose_worker(module, request, &key, &may_come);
        if (worker) {
            if (!module_hand_over(module, worker, request, key))
                return;
        } else if (may_come) {
            return;
        } else {
            fair_queue_take(&module->queue, item);
            module_fail_unusable(module, request);
        }
    }
}

void module_pump(struct module *module)
{
    /* Answering may lead back here; one level is enough. */
    if (module->is_pumping)
        return;
    module->is_pumping = true;
    module_pump_once(module);
    module->is_pumping = false;
    if (!module->is_leaving)
        return;
    if (list_is_empty(&module->workers)) {
        /* No fresh worker will come for those that wait. */
        module_flush(module, PROTOCOL_E_TOKEN_GONE, "its module is no longer configured");
        agent_module_left(module->agent, module);
        return;
    }
    if (module->queue.count > 0 || !list_is_empty(&module->context_sources))
        return;
    list_for_each (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        module_retire(worker);
    }
}

void module_enqueue(struct module *module, struct fair_line *line, struct sign_request *request)
{
    fair_queue_append(&module->queue, line, &request->item);
    module_release_end(module);
    module_pump(module);
}

void module_forget(struct module *module, struct sign_request *request)
{
    fair_queue_remove(&module->queue, &request->item);
}

/* A PIN for one signature, and what the token said to it. */
static void module_note_context_pin(struct module *module, const struct worker *worker,
                                    struct sign_request *request, const struct worker_reply *reply)
{
    const struct inventory_token *token =
        inventory_find_token(worker->inventory, request->worker_token);

    if (token)
        module_context_note(module, &token->info, request, reply);
}

/* Only where a PIN is kept does it matter when the token last signed. */
static void module_note_use(struct module *module, const struct worker *worker,
                            const struct sign_request *request)
{
    if (!module->keeps_pin)
        return;
    const struct inventory_token *token =
        inventory_find_token(worker->inventory, request->worker_token);
    if (token)
        module_login_note_use(module, &token->info);
}

void module_on_sign_reply(struct worker *worker, struct sign_request *request,
                          const struct worker_reply *reply, void *userdata)
{
    struct module *module = userdata;
    char text[PROTOCOL_TEXT_MAX];

    request->is_with_worker = false;
    lookout_end(&module->agent->lookout);
    touch_note_reply(worker, request, reply->result == WORKER_OK);
    if (request->pin_source || request->pin_is_kept)
        module_note_context_pin(module, worker, request, reply);
    /* Its PIN may have been seen by the token: it is asked for again. */
    if (reply->result == WORKER_E_STATE_LOST)
        request->pin_source = pin_source_free(request->pin_source);
    if (reply->result == WORKER_OK) {
        module_note_success(module);
        module_note_use(module, worker, request);
        sign_request_succeed(request, reply->signature);
    } else if (reply->result == WORKER_E_STATE_LOST && sign_request_move(request)) {
        log_debug("%s: another module took a request over", module_get_name(module));
    } else if (reply->result == WORKER_E_STATE_LOST && module_may_try_again(module, request)) {
        fair_queue_put_back(&module->queue, &request->item);
    } else if (reply->result == WORKER_E_STATE_LOST || reply->result == WORKER_E_LOCKED) {
        sign_request_give_back(request, module_error_code(reply->result),
                               escape_text(reply->text, text, sizeof(text)));
    } else {
        sign_request_fail(request, module_error_code(reply->result),
                          module_context_text(request, reply, text));
    }
    if (reply->result == WORKER_E_STATE_LOST && worker->state == WORKER_STATE_READY) {
        log_warning("%s: %s; starting a fresh worker", module_get_name(module),
                    escape_text(reply->text, text, sizeof(text)));
        module_set_text(module, "%s", text);
        module_note_failure(module, worker);
        module_retire(worker);
    } else if (worker->state == WORKER_STATE_RETIRING) {
        module_retire(worker);
    }
    module_pump(module);
}

/* Every request that the ended worker had gets its one answer, or another chance. */
void module_settle_requests(struct module *module, struct worker *worker, enum worker_end end)
{
    struct sign_request *request = NULL;
    bool was_signing = false;

    while ((request = worker_steal_request(worker, &was_signing))) {
        request->is_with_worker = false;
        touch_end(request);
        if (!was_signing && sign_request_move(request))
            continue;
        if (!was_signing && module_may_try_again(module, request))
            fair_queue_put_back(&module->queue, &request->item);
        else if (end == WORKER_END_REMOVED)
            sign_request_fail(request, PROTOCOL_E_TOKEN_GONE,
                              "the card was removed while it was signing; the signature was not "
                              "repeated, as it may have been made");
        else if (end == WORKER_END_TIMEOUT)
            sign_request_fail(request, PROTOCOL_E_TIMEOUT,
                              "the token's module did not answer in time and was restarted");
        else
            sign_request_fail(request, PROTOCOL_E_INTERNAL,
                              "the token's module failed while it was signing; the signature was "
                              "not repeated, as it may have been made");
    }
}
