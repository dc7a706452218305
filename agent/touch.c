/* SPDX-License-Identifier: Apache-2.0 */
/* Is it waiting for a finger? See touch.h. */
#include "agent/touch.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/module.h"
#include "agent/worker.h"
#include "common/clock.h"
#include "common/escape.h"

/* Cards sign in 50 to 450 ms (P-256 to RSA-2048), and a person begins to wonder after half a
 * second. */
#define TOUCH_US 600000u
/* A key that is always slow (RSA-4096 on an old card) is so every time by about the same: only what
 * takes half as long again as its fastest signature waits for something. A finger is not that
 * regular. */
#define TOUCH_SLACK(fastest_us) ((fastest_us) + (fastest_us) / 2)
/* But where every signature waits for one, the fastest tells how quick the person is. */
#define TOUCH_MAX_US 2000000u
#define TOUCH_KEYS_MAX 256u
#define TOUCH_REASON_MAX 32u

struct touch_key {
    struct list link;
    uint8_t hash[PROTOCOL_KEY_HASH_LEN];
    uint64_t fastest_us;
};

void touch_memory_init(struct touch_memory *memory)
{
    list_init(&memory->keys);
    memory->count = 0;
}

static void touch_forget(struct touch_memory *memory, struct touch_key *key)
{
    list_remove(&key->link);
    memory->count--;
    free(key);
}

void touch_memory_deinit(struct touch_memory *memory)
{
    list_for_each_safe (link, &memory->keys)
        touch_forget(memory, list_entry(link, struct touch_key, link));
}

static struct touch_key *touch_find(const struct touch_memory *memory,
                                    const uint8_t hash[static PROTOCOL_KEY_HASH_LEN])
{
    list_for_each (link, &memory->keys) {
        struct touch_key *key = list_entry(link, struct touch_key, link);
        if (memcmp(key->hash, hash, PROTOCOL_KEY_HASH_LEN) == 0)
            return key;
    }
    return NULL;
}

/* Where memory is short the key stays one that nothing is known of. */
static void touch_remember(struct touch_memory *memory,
                           const uint8_t hash[static PROTOCOL_KEY_HASH_LEN], uint64_t taken_us)
{
    struct touch_key *key = touch_find(memory, hash);

    if (key) {
        if (taken_us < key->fastest_us)
            key->fastest_us = taken_us;
        return;
    }
    key = calloc(1, sizeof(*key));
    if (!key)
        return;
    memcpy(key->hash, hash, PROTOCOL_KEY_HASH_LEN);
    key->fastest_us = taken_us;
    list_prepend(&memory->keys, &key->link);
    if (++memory->count > TOUCH_KEYS_MAX)
        touch_forget(memory, list_entry(memory->keys.previous, struct touch_key, link));
}

static uint64_t touch_limit_us(const struct touch_memory *memory,
                               const uint8_t hash[static PROTOCOL_KEY_HASH_LEN])
{
    const struct touch_key *key = touch_find(memory, hash);
    uint64_t limit_us = key ? TOUCH_SLACK(key->fastest_us) : TOUCH_US;

    return limit_us < TOUCH_US ? TOUCH_US : limit_us > TOUCH_MAX_US ? TOUCH_MAX_US : limit_us;
}

/* The token that has the request, if it is hardware; else NULL. Several may have the key. */
static const struct worker_token *touch_find_hardware(const struct worker *worker,
                                                      const struct sign_request *request)
{
    const struct inventory_token *token =
        worker->inventory ? inventory_find_token(worker->inventory, request->worker_token) : NULL;

    return token && (token->info.flags & WORKER_TOKEN_HARDWARE) ? &token->info : NULL;
}

static void touch_name_reason(const struct sign_request *request,
                              char reason[static TOUCH_REASON_MAX])
{
    (void)snprintf(reason, TOUCH_REASON_MAX, "touch %p", (const void *)request);
}

static void touch_tell(struct sign_request *request, const struct worker_token *token)
{
    const struct peer *peer = request->peer;
    char reason[TOUCH_REASON_MAX];
    char text[PROTOCOL_TEXT_MAX];
    char label[256];
    char program[512];
    char pid[32] = "";

    if (peer->pid > 0)
        (void)snprintf(pid, sizeof(pid), " (pid %d)", (int)peer->pid);
    (void)snprintf(text, sizeof(text), "token \"%s\" may want a touch, for %s%s",
                   escape_text(token->label, label, sizeof(label)),
                   peer->exe ? escape_cstring(peer->exe, program, sizeof(program)) : "a program",
                   pid);
    touch_name_reason(request, reason);
    request->is_told = true;
    agent_tell_waiting(request->agent, reason, request->key_name, text);
}

/* One at a time: a token does one thing at a time, so the others wait for the first. */
static void touch_check_worker(struct agent *agent, const struct worker *worker, uint64_t now_us)
{
    uint64_t since_us = 0;
    struct sign_request *request =
        worker->serves_hardware ? worker_get_signing(worker, &since_us) : NULL;

    if (!request || request->is_told || now_us < since_us)
        return;
    const struct worker_token *token = touch_find_hardware(worker, request);
    if (token && now_us - since_us > touch_limit_us(&agent->touch, request->key_hash))
        touch_tell(request, token);
}

void touch_check(struct agent *agent)
{
    uint64_t now_us = clock_monotonic_us();

    list_for_each_safe (link, &agent->modules) {
        struct module *module = list_entry(link, struct module, link);
        list_for_each_safe (link_of_worker, &module->workers)
            touch_check_worker(agent, list_entry(link_of_worker, struct worker, link), now_us);
    }
}

void touch_note_reply(struct worker *worker, struct sign_request *request, bool was_signed)
{
    touch_end(request);
    if (was_signed && worker->serves_hardware && touch_find_hardware(worker, request))
        touch_remember(&request->agent->touch, request->key_hash, worker->taken_us);
}

void touch_end(struct sign_request *request)
{
    char reason[TOUCH_REASON_MAX];

    if (!request->is_told)
        return;
    request->is_told = false;
    touch_name_reason(request, reason);
    agent_tell_waiting_over(request->agent, reason);
}
