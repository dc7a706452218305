/* SPDX-License-Identifier: Apache-2.0 */
/* Cards that come and go, from a module's side; see module_readers.h. */
#include "agent/module_readers.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/module_internal.h"
#include "agent/module_login.h"
#include "agent/module_release.h"
#include "agent/readers.h"
#include "agent/sign_request.h"
#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"

#define MODULE_CARD_GONE_MS 1000u /* for a call on a card that is gone to come back */

/* --- which token sits where --- */

static const struct reader *module_reader_of(const struct module *module,
                                             const struct worker_token *token)
{
    return token->slot.len > 0 ? readers_find(module->agent->readers, token->slot) : NULL;
}

/* What is_out() of inventory_without() decides by. */
struct module_gone {
    const struct module *module;
    uint64_t generation; /* in which the tokens were seen */
};

/* The card has gone since the token was seen. Another one that is there now is another token. */
static bool module_token_is_out(const struct worker_token *token, const void *context)
{
    const struct module_gone *gone = context;
    const struct reader *reader = module_reader_of(gone->module, token);

    return reader && (!reader_has_card(reader) || reader->went > gone->generation);
}

static bool module_has_token_in(const struct module *module, const struct inventory *inventory,
                                const struct reader *reader)
{
    for (size_t i = 0; inventory && i < inventory->token_count; i++)
        if (module_reader_of(module, &inventory->tokens[i].info) == reader)
            return true;
    return false;
}

/* --- cards that go --- */

_Static_assert(WORKER_WINDOW_MAX <= 64, "a bit for each slot");

/* Its calls on a card that is gone, a bit for each. */
static uint64_t module_find_gone_calls(const struct worker *worker, const struct module_gone *gone)
{
    uint64_t calls = 0;

    for (size_t i = 0; worker->in_flight > 0 && i < WORKER_WINDOW_MAX; i++) {
        const struct inventory_token *token =
            worker->slots[i].request
                ? inventory_find_token(worker->inventory, worker->slots[i].token)
                : NULL;
        if (token && module_token_is_out(&token->info, gone))
            calls |= UINT64_C(1) << i;
    }
    return calls;
}

static bool module_logs_in_to_gone(const struct worker *worker, const struct module_gone *gone)
{
    const struct inventory_token *token =
        worker->login_is_pending ? inventory_find_token(worker->inventory, worker->login_token)
                                 : NULL;

    return token && module_token_is_out(&token->info, gone);
}

/* A call on a card that is gone may never come back: OpenSC 0.23 waits for its own lock then. */
static void module_note_gone_calls(struct module *module, struct worker *worker,
                                   const struct module_gone *gone)
{
    uint64_t calls = module_find_gone_calls(worker, gone);
    bool is_login = module_logs_in_to_gone(worker, gone);

    if (calls == 0 && !is_login)
        return;
    worker->card_gone_ms = clock_monotonic_ms();
    worker->card_gone_slots = is_login ? 0 : worker->card_gone_slots | calls;
    agent_watch(module->agent);
}

/* Takes tokens that are gone out of an inventory; true when there were any. Without memory it stays
 * as it is: the next report, or the worker's own failure, comes back to it. */
static bool module_take_out(struct inventory **inventory, const struct module_gone *gone)
{
    struct inventory *rest = NULL;
    bool is_any = false;

    for (size_t i = 0; *inventory && i < (*inventory)->token_count; i++)
        is_any |= module_token_is_out(&(*inventory)->tokens[i].info, gone);
    if (!is_any || inventory_without(*inventory, module_token_is_out, gone, &rest))
        return is_any;
    (void)inventory_unref(*inventory);
    *inventory = rest;
    return true;
}

/* Has a worker look for itself, where that is better than to replace it. */
static void module_look_in(struct module *module, struct worker *worker)
{
    /* What it has seen is then as old as this question. */
    worker->generation = readers_generation(module->agent->readers);
    int r = worker_send_look(worker);
    if (r)
        log_error("%s: worker pid %d cannot be asked for its tokens: %s", module_get_name(module),
                  (int)worker->pid, r < 0 ? strerror(-r) : "it does not fit one message");
    agent_watch(module->agent);
}

/* Replaces a worker, unless a login would be lost with it that only a person could make again. */
static void module_replace(struct module *module, struct worker *worker)
{
    if (worker->state != WORKER_STATE_READY && worker->state != WORKER_STATE_LOGIN)
        return;
    if (worker->state == WORKER_STATE_READY && module_login_is_typed(module, worker))
        return;
    module_retire(worker);
    agent_watch(module->agent);
}

static void module_readers_clear_worker(struct module *module, struct worker *worker)
{
    const struct module_gone gone = {module, worker->generation};

    if (!worker->inventory || worker->state == WORKER_STATE_ENDING)
        return;
    module_note_gone_calls(module, worker, &gone);
    /* What it still holds of the card is of no use, also for the same card when it comes back. */
    if (module_take_out(&worker->inventory, &gone))
        module_replace(module, worker);
}

static void module_readers_tell_removed(struct module *module, const struct module_gone *gone)
{
    for (size_t i = 0; i < module->inventory->token_count; i++) {
        const struct worker_token *token = &module->inventory->tokens[i].info;
        char label[PROTOCOL_NAME_MAX];
        if (!module_token_is_out(token, gone) || module_readers_first(module, token))
            continue;
        log_info("%s: token \"%s\" was removed", module_get_name(module),
                 escape_text(token->label, label, sizeof(label)));
        module_login_tell(module, token, "removed");
        /* Without pcscd nobody knows. */
        if (readers_are_followed(module->agent->readers))
            module_login_removed(module, token);
    }
}

static bool module_readers_clear(struct module *module)
{
    const struct module_gone gone = {module, readers_generation(module->agent->readers) - 1};

    if (!module->inventory)
        return false;
    module_readers_tell_removed(module, &gone);
    struct inventory *before = inventory_ref(module->inventory);
    bool is_any = module_take_out(&module->inventory, &gone);
    absence_update(&module->absence, before, module->inventory);
    (void)inventory_unref(before);
    return is_any;
}

/* It is still in a call that it was in when the card went. */
static bool module_is_in_gone_call(const struct worker *worker)
{
    uint64_t calls = worker->card_gone_slots > 0 ? worker->card_gone_slots : UINT64_MAX;

    for (size_t i = 0; worker->in_flight > 0 && i < WORKER_WINDOW_MAX; i++)
        if ((calls >> i & 1) && worker->slots[i].request &&
            worker->slots[i].sent_us / 1000 <= worker->card_gone_ms)
            return true;
    return worker->card_gone_slots == 0 && worker->login_is_pending &&
           worker->login_since_ms <= worker->card_gone_ms;
}

bool module_readers_is_late(struct worker *worker, uint64_t now_ms)
{
    if (worker->state == WORKER_STATE_ENDING || worker->card_gone_ms == 0)
        return false;
    if (module_is_in_gone_call(worker))
        return clock_is_over(now_ms, worker->card_gone_ms, MODULE_CARD_GONE_MS);
    worker->card_gone_ms = 0;
    worker->card_gone_slots = 0;
    return false;
}

/* --- cards that come --- */

/* One has just come, into a reader that the module has no token in if @only_unseen. */
static bool module_card_has_come(const struct module *module, bool only_unseen)
{
    uint64_t now = readers_generation(module->agent->readers);
    const struct reader *reader = NULL;

    for (size_t i = 0; (reader = readers_get(module->agent->readers, i)); i++)
        if (reader_is_open(reader) && reader->came == now &&
            !(only_unseen && module_has_token_in(module, module->inventory, reader)))
            return true;
    return false;
}

/* What the module says of its failure, and behind it what the readers show. */
static void module_add_obstacle(struct module *module)
{
    const char *obstacle = module_readers_obstacle(module);
    char own[PROTOCOL_TEXT_MAX];

    if (!*obstacle || strstr(module->text, obstacle))
        return;
    (void)snprintf(own, sizeof(own), "%s", module->text);
    /* Never a part of it: a character could be cut. */
    if (own[0] && strlen(own) + strlen(obstacle) + 3 < sizeof(module->text))
        module_set_text(module, "%s; %s", own, obstacle);
    else
        module_set_text(module, "%s", obstacle);
}

/* It fails again and again: says why, if the readers show it, and ends its pause when a card has
 * come. */
static void module_readers_help_start(struct module *module)
{
    if (module->failures == 0 || module->is_failed ||
        module_first_worker(module, WORKER_STATE_READY))
        return;
    module_add_obstacle(module);
    if (module->worker_count == 0 && module_card_has_come(module, false)) {
        module->failures = 0;
        module_set_state(module, MODULE_STATE_STARTING);
        module_start(module);
    }
}

/* A card came since the worker was started, and it does not see it. */
static bool module_worker_misses_card(const struct module *module, const struct worker *worker)
{
    const struct reader *reader = NULL;

    for (size_t i = 0; (reader = readers_get(module->agent->readers, i)); i++)
        if (reader_is_open(reader) && reader->came > worker->generation &&
            !module_has_token_in(module, worker->inventory, reader))
            return true;
    return false;
}

/* A fresh worker sees it surely; but a login that a person typed is worth to be kept. */
static void module_look_for_card(struct module *module, struct worker *worker)
{
    if (worker->state == WORKER_STATE_READY && module_login_is_typed(module, worker))
        module_look_in(module, worker);
    else
        module_replace(module, worker);
}

void module_readers_changed(struct module *module)
{
    if (!module->uses_pcsc || module->is_leaving)
        return;
    bool has_changed = module_readers_clear(module);
    list_for_each_safe (link, &module->workers) {
        struct worker *worker = list_entry(link, struct worker, link);
        module_readers_clear_worker(module, worker);
        if (worker->state == WORKER_STATE_READY && module_worker_misses_card(module, worker))
            module_look_for_card(module, worker);
    }
    if (has_changed)
        agent_keys_changed(module->agent);
    if (module->state == MODULE_STATE_RELEASED && module_card_has_come(module, true))
        module_release_end(module);
    module_readers_help_start(module);
    module_pump(module);
}

void module_readers_take(struct module *module, struct worker *worker)
{
    const struct module_gone gone = {module, worker->generation};

    if (!worker->inventory->uses_pcsc)
        return;
    module->uses_pcsc = true;
    readers_want(module->agent->readers);
    (void)module_take_out(&worker->inventory, &gone);
}

void module_readers_note_failure(struct module *module)
{
    module->uses_pcsc = true;
    readers_want(module->agent->readers);
    readers_restart(module->agent->readers);
    module_add_obstacle(module);
}

void module_readers_tell_new(struct module *module, const struct inventory *fresh)
{
    for (size_t i = 0; module->inventory && i < fresh->token_count; i++) {
        const struct worker_token *token = &fresh->tokens[i].info;
        bool is_new = module_reader_of(module, token) != NULL &&
                      !inventory_find_same(module->inventory, token, i);
        if (is_new && !module_readers_first(module, token))
            module_login_tell(module, token, "inserted");
    }
}

/* A card that we could use, and that no module sees: somebody may hold it, or it is of no use. */
static bool module_readers_has_riddle(const struct agent *agent)
{
    const struct reader *reader = NULL;

    for (size_t i = 0; (reader = readers_get(agent->readers, i)); i++) {
        bool is_seen = !reader_is_open(reader);
        list_for_each (link, &agent->modules) {
            const struct module *module = list_entry(link, struct module, link);
            is_seen |= module_has_token_in(module, module->inventory, reader);
        }
        if (!is_seen)
            return true;
    }
    return false;
}

void module_readers_check(struct module *module, struct worker *worker)
{
    if (!module->uses_pcsc)
        return;
    if (module_worker_misses_card(module, worker))
        module_look_for_card(module, worker);
    else if (module_readers_has_riddle(module->agent))
        readers_restart(module->agent->readers);
}

bool module_readers_tell_of(const struct module *module, const struct module_token *token)
{
    if (!module->uses_pcsc || !readers_are_followed(module->agent->readers))
        return false;
    for (size_t i = 0; i < module->absence.count; i++) {
        const struct worker_token *absent = absence_get_token(&module->absence.tokens[i]);
        if (module_token_is(token, absent))
            return module_reader_of(module, absent) != NULL;
    }
    return false;
}

bool module_readers_are_known(const struct module *module)
{
    if (!module->uses_pcsc || !readers_are_followed(module->agent->readers))
        return false;
    for (size_t i = 0; module->inventory && i < module->inventory->token_count; i++)
        if (!module_reader_of(module, &module->inventory->tokens[i].info))
            return false;
    return true;
}

/* The module works with the card in a reader. */
static bool module_has_card(const struct module *module, const struct reader *reader)
{
    list_for_each (link, &module->workers) {
        const struct worker *worker = list_entry(link, struct worker, link);
        if (worker->state == WORKER_STATE_READY &&
            module_has_token_in(module, worker->inventory, reader))
            return true;
    }
    return false;
}

/* What is in the way at one reader: NULL: nothing. */
static const char *module_obstacle_at(const struct module *module, const struct reader *reader)
{
    if (!reader->is_there)
        return NULL;
    if (reader->state == READER_STATE_EXCLUSIVE)
        return "is held by another program for itself";
    if (reader->state == READER_STATE_MUTE)
        return "does not answer";
    /* One that waits in its transaction makes a module wait, too. */
    if (reader->state == READER_STATE_IN_USE && reader->users[0] &&
        !module_has_card(module, reader))
        return "is in use by other programs, too";
    return NULL;
}

const char *module_readers_obstacle(const struct module *module)
{
    static char text[PROTOCOL_TEXT_MAX];
    const struct reader *reader = NULL;
    char name[PROTOCOL_NAME_MAX];
    char users[PROTOCOL_TEXT_MAX / 2];

    if (!module->uses_pcsc)
        return "";
    if (!readers_are_followed(module->agent->readers))
        return readers_text(module->agent->readers);
    for (size_t i = 0; (reader = readers_get(module->agent->readers, i)); i++) {
        const char *what = module_obstacle_at(module, reader);
        if (!what)
            continue;
        (void)snprintf(text, sizeof(text), "the card in reader %s %s%s%s",
                       escape_cstring(reader->name, name, sizeof(name)), what,
                       reader->users[0] ? ": " : "",
                       escape_cstring(reader->users, users, sizeof(users)));
        return text;
    }
    return "";
}

/* --- one card, several modules --- */

static bool module_can_serve(const struct module *module)
{
    return !module->is_leaving &&
           (module->state == MODULE_STATE_READY || module->state == MODULE_STATE_STARTING ||
            module->state == MODULE_STATE_RELEASED);
}

/* Where it stands in the configuration; those that p11-kit named stand as they were found. */
static size_t module_rank(const struct module *module)
{
    const struct config *config =
        module->config_owner->is_discovered ? module->config_owner : module->agent->config;

    for (size_t i = 0; i < config->module_count; i++)
        if (strcmp(config->modules[i]->name, module->config->name) == 0)
            return i;
    return config->module_count;
}

/* It has the card, with keys: one that it cannot read is no reason to set another module aside. */
static bool module_shows_card(const struct module *module, const struct reader *reader)
{
    if (!module->uses_pcsc || !module_can_serve(module) || !module->inventory)
        return false;
    for (size_t i = 0; i < module->inventory->token_count; i++) {
        const struct inventory_token *token = &module->inventory->tokens[i];
        if (token->key_count > 0 && module_reader_of(module, &token->info) == reader)
            return true;
    }
    return false;
}

/* The first one that can serve the card, of those before @module, or of all. */
static const struct module *module_find_first(const struct module *module,
                                              const struct worker_token *token, bool of_all)
{
    const struct reader *reader = module->uses_pcsc ? module_reader_of(module, token) : NULL;
    const struct module *first = NULL;

    if (!reader)
        return NULL;
    list_for_each (link, &module->agent->modules) {
        const struct module *other = list_entry(link, struct module, link);
        bool is_meant = of_all || module_rank(other) < module_rank(module);
        bool is_better = !first || module_rank(other) < module_rank(first);
        if (other != module && is_meant && is_better && module_shows_card(other, reader))
            first = other;
    }
    return first;
}

const struct module *module_readers_first(const struct module *module,
                                          const struct worker_token *token)
{
    return module_find_first(module, token, !module_can_serve(module));
}

const struct module *module_readers_also(const struct module *module,
                                         const struct worker_token *token)
{
    const struct reader *reader = module->uses_pcsc ? module_reader_of(module, token) : NULL;

    if (!reader || !reader->is_there)
        return NULL;
    list_for_each (link, &module->agent->modules) {
        const struct module *other = list_entry(link, struct module, link);
        if (other != module && other->uses_pcsc && !other->is_leaving &&
            module_has_token_in(other, other->inventory, reader))
            return other;
    }
    return NULL;
}

bool module_readers_may_login(const struct module *module, const struct worker_token *token)
{
    if (!module->uses_pcsc)
        return true;
    list_for_each (link, &module->agent->modules) {
        const struct module *other = list_entry(link, struct module, link);
        if (other != module && !other->has_settled && !other->is_slow && !other->is_leaving &&
            module_rank(other) < module_rank(module))
            return false;
    }
    /* One that comes back logs in, whoever has served meanwhile. */
    return !module_find_first(module, token, false);
}

static bool module_shares_card(const struct module *module)
{
    for (size_t i = 0; module->inventory && i < module->inventory->token_count; i++)
        if (module_readers_also(module, &module->inventory->tokens[i].info))
            return true;
    return false;
}

void module_readers_reconsider(struct module *module)
{
    list_for_each (link, &module->agent->modules) {
        struct module *other = list_entry(link, struct module, link);
        if (other != module && other->uses_pcsc && module_rank(other) > module_rank(module))
            module_login_again(other);
    }
    if (module_shares_card(module))
        agent_keys_changed(module->agent);
}
