/* SPDX-License-Identifier: Apache-2.0 */
/* The last refusals; see refusals.h. */
#include "agent/refusals.h"

#include <string.h>

#include "common/escape.h"
#include "common/utf8.h"

void refusals_init(struct refusals *refusals)
{
    list_init(&refusals->latest_first);
    list_init(&refusals->unused);
    for (size_t i = 0; i < REFUSALS_MAX; i++)
        list_append(&refusals->unused, &refusals->entries[i].link);
}

/* As it is if it can go over the wire as it is: a path may be any bytes, of any length. */
static void refusal_copy_text(char *copy, size_t size, const char *text)
{
    struct wire_span span = wire_span_from_text(text);

    if (span.len < size && utf8_is_valid_text(span.data, span.len))
        memcpy(copy, text ? text : "", span.len + 1);
    else
        escape_text(span, copy, size);
}

static void refusal_fill(struct refusal *refusal, const struct refusal_event *event)
{
    refusal->count = 0;
    refusal->uid = event->peer->uid;
    refusal->kind = event->kind;
    memcpy(refusal->key_hash, event->key_hash, PROTOCOL_KEY_HASH_LEN);
    refusal_copy_text(refusal->program, sizeof(refusal->program), event->peer->exe);
    refusal_copy_text(refusal->key_name, sizeof(refusal->key_name), event->key_name);
    refusal_copy_text(refusal->text, sizeof(refusal->text), event->text);
}

static bool refusal_is_same(const struct refusal *a, const struct refusal *b)
{
    return a->uid == b->uid && a->kind == b->kind &&
           memcmp(a->key_hash, b->key_hash, PROTOCOL_KEY_HASH_LEN) == 0 &&
           strcmp(a->program, b->program) == 0 && strcmp(a->text, b->text) == 0;
}

static struct refusal *refusals_find(struct refusals *refusals, const struct refusal *wanted)
{
    list_for_each (link, &refusals->latest_first) {
        struct refusal *refusal = list_entry(link, struct refusal, link);
        if (refusal_is_same(refusal, wanted))
            return refusal;
    }
    return NULL;
}

static size_t refusals_count_of(const struct refusals *refusals, uid_t uid)
{
    size_t count = 0;

    list_for_each (link, &refusals->latest_first)
        count += list_entry(link, struct refusal, link)->uid == uid ? 1 : 0;
    return count;
}

static struct refusal *refusals_choose(struct refusals *refusals)
{
    struct refusal *choice = NULL;
    size_t most = 0;

    if (!list_is_empty(&refusals->unused))
        return list_entry(refusals->unused.next, struct refusal, link);
    list_for_each (link, &refusals->latest_first) {
        struct refusal *refusal = list_entry(link, struct refusal, link);
        size_t count = refusals_count_of(refusals, refusal->uid);
        if (count >= most) {
            most = count;
            choice = refusal;
        }
    }
    return choice;
}

void refusals_note(struct refusals *refusals, const struct refusal_event *event, uint64_t now_ms)
{
    struct refusal fresh = {0};

    refusal_fill(&fresh, event);
    struct refusal *refusal = refusals_find(refusals, &fresh);
    if (!refusal) {
        refusal = refusals_choose(refusals);
        fresh.link = refusal->link;
        *refusal = fresh;
    }
    memcpy(refusal->key_name, fresh.key_name, sizeof(refusal->key_name));
    refusal->when_ms = now_ms;
    refusal->pid = event->peer->pid;
    if (refusal->count < UINT32_MAX)
        refusal->count++;
    list_remove(&refusal->link);
    list_prepend(&refusals->latest_first, &refusal->link);
}

bool refusal_is_visible(const struct refusal *refusal, uid_t own_uid, uid_t client_uid)
{
    return client_uid == refusal->uid || client_uid == own_uid || client_uid == 0;
}

void refusal_describe(const struct refusal *refusal, uint64_t now_ms,
                      struct protocol_status_refusal *ret_entry)
{
    *ret_entry = (struct protocol_status_refusal){
        .age_ms = now_ms - refusal->when_ms,
        .count = refusal->count,
        .uid = refusal->uid,
        .pid = (uint32_t)refusal->pid,
        .program = wire_span_from_text(refusal->program),
        .key = wire_span_from_text(refusal->key_name),
        .kind = refusal->kind,
        .text = wire_span_from_text(refusal->text),
    };
}
