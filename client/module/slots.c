/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens in slots; see slots.h. */
#include "client/module/slots.h"

#include <string.h>

#include "build-config.h"
#include "client/module/padded.h"

#define SLOTS_MANUFACTURER "mtls-agent"
#define SLOTS_PIN_MIN 1u
#define SLOTS_PIN_MAX 255u

static struct slot *slot_free(struct slot *slot)
{
    content_deinit(&slot->content);
    content_deinit(&slot->fresh);
    free(slot->label);
    free(slot->serial);
    free(slot->module);
    free(slot);
    return NULL;
}

static int slots_append_empty(struct slots *slots)
{
    struct slot **items = reallocarray(slots->items, slots->count + 1, sizeof(struct slot *));

    if (!items)
        return -ENOMEM;
    slots->items = items;
    struct slot *slot = calloc(1, sizeof(*slot));
    if (!slot)
        return -ENOMEM;
    slots->items[slots->count++] = slot;
    return 0;
}

int slots_init(struct slots *slots)
{
    *slots = (struct slots){.next_handle = CK_INVALID_HANDLE + 1};
    return slots_append_empty(slots);
}

void slots_deinit(struct slots *slots)
{
    for (size_t i = 0; i < slots->count; i++)
        (void)slot_free(slots->items[i]);
    free(slots->items);
    (void)mtls_agent_keys_free(slots->keys);
    *slots = (struct slots){0};
}

struct slot *slots_get(const struct slots *slots, CK_SLOT_ID slot_id)
{
    return slot_id < slots->count ? slots->items[slot_id] : NULL;
}

static bool slot_is_of(const struct slot *slot, const struct mtls_agent_key *key)
{
    return slot->label && slot->is_edwards == (key->type == MTLS_AGENT_KEY_ED25519) &&
           strcmp(slot->serial, key->token_serial) == 0 &&
           strcmp(slot->label, key->token_label) == 0 && strcmp(slot->module, key->module) == 0;
}

/* The empty slot at the end gets a token, and is followed by another. */
static int slots_settle(struct slots *slots, const struct mtls_agent_key *key)
{
    _cleanup_free_ char *label = strdup(key->token_label);
    _cleanup_free_ char *serial = strdup(key->token_serial);
    _cleanup_free_ char *module = strdup(key->module);
    struct slot *slot = slots->items[slots->count - 1];

    if (!label || !serial || !module || slots_append_empty(slots))
        return -ENOMEM;
    slot->label = TAKE_PTR(label);
    slot->serial = TAKE_PTR(serial);
    slot->module = TAKE_PTR(module);
    slot->is_edwards = key->type == MTLS_AGENT_KEY_ED25519;
    return 0;
}

/* The slot of a key's token. Keys of one token follow one another, so the last find is tried first.
 * *ret_slot is NULL when there is no room for one more token. */
static int slots_find(struct slots *slots, const struct mtls_agent_key *key, size_t *last,
                      struct slot **ret_slot)
{
    *ret_slot = NULL;
    if (*last < slots->count && slot_is_of(slots->items[*last], key)) {
        *ret_slot = slots->items[*last];
        return 0;
    }
    for (size_t i = 0; i < slots->count; i++)
        if (slot_is_of(slots->items[i], key)) {
            *last = i;
            *ret_slot = slots->items[i];
            return 0;
        }
    if (slots->count >= SLOTS_MAX)
        return 0;
    *last = slots->count - 1;
    *ret_slot = slots->items[*last];
    return slots_settle(slots, key);
}

static int slots_sort_in_some(struct slots *slots, const struct mtls_agent_keys *keys,
                              bool are_edwards)
{
    size_t last = 0;

    for (size_t i = 0; i < mtls_agent_keys_count(keys); i++) {
        const struct mtls_agent_key *key = mtls_agent_keys_get(keys, i);
        struct slot *slot = NULL;
        if ((key->type == MTLS_AGENT_KEY_ED25519) != are_edwards)
            continue;
        int r = slots_find(slots, key, &last, &slot);
        if (r == 0 && slot)
            r = content_add_key(&slot->fresh, key);
        if (r)
            return r;
        if (!slot)
            continue;
        slot->fresh_is_present |= key->state != MTLS_AGENT_KEY_ABSENT;
        slot->fresh_is_locked |= key->state == MTLS_AGENT_KEY_LOCKED;
    }
    return 0;
}

/* Many programs look for a token by its label and take the first: of the two slots of a token that
 * must not be the one with its Ed25519 keys alone. */
static int slots_sort_in(struct slots *slots, const struct mtls_agent_keys *keys)
{
    int r = slots_sort_in_some(slots, keys, false);

    return r ? r : slots_sort_in_some(slots, keys, true);
}

static int slots_finish_contents(struct slots *slots)
{
    for (size_t i = 0; i < slots->count; i++) {
        struct slot *slot = slots->items[i];
        int r =
            content_finish(&slot->fresh, &slot->content, &slots->next_handle, &slot->fresh_is_same);
        if (r)
            return r;
    }
    return 0;
}

static void slot_take_fresh(struct slot *slot, bool is_first)
{
    bool is_new = !slot->fresh_is_same || slot->is_present != slot->fresh_is_present;

    content_deinit(&slot->content);
    slot->content = slot->fresh;
    slot->fresh = (struct content){0};
    slot->is_present = slot->fresh_is_present;
    slot->is_locked = slot->fresh_is_locked;
    slot->has_event |= is_new && !is_first;
    /* of a token that waits for its PIN the program must be able to log in again */
    if (!slot->is_present || slot->is_locked)
        slot->is_logged_in = false;
}

int slots_update(struct slots *slots, struct mtls_agent_keys *keys, bool is_first)
{
    for (size_t i = 0; i < slots->count; i++) {
        slots->items[i]->fresh_is_present = false;
        slots->items[i]->fresh_is_locked = false;
    }
    int r = slots_sort_in(slots, keys);
    if (r == 0)
        r = slots_finish_contents(slots);
    if (r) {
        for (size_t i = 0; i < slots->count; i++)
            content_deinit(&slots->items[i]->fresh);
        (void)mtls_agent_keys_free(keys);
        return r;
    }
    for (size_t i = 0; i < slots->count; i++)
        slot_take_fresh(slots->items[i], is_first);
    (void)mtls_agent_keys_free(slots->keys);
    slots->keys = keys;
    return 0;
}

bool slots_take_event(struct slots *slots, CK_SLOT_ID *ret_slot_id)
{
    for (size_t i = 0; i < slots->count; i++)
        if (slots->items[i]->has_event) {
            slots->items[i]->has_event = false;
            *ret_slot_id = i;
            return true;
        }
    return false;
}

void slot_fill_info(const struct slot *slot, CK_SLOT_INFO *info)
{
    *info = (CK_SLOT_INFO){.flags = CKF_REMOVABLE_DEVICE};
    if (slot->is_present)
        info->flags |= CKF_TOKEN_PRESENT;
    PADDED_FILL(info->slotDescription, slot->label ? slot->label : "mtls-agent, no token yet");
    PADDED_FILL(info->manufacturerID, SLOTS_MANUFACTURER);
}

void slot_fill_token_info(const struct slot *slot, CK_ULONG session_count, CK_TOKEN_INFO *info)
{
    *info = (CK_TOKEN_INFO){
        /* without CKF_USER_PIN_INITIALIZED NSS takes the token for one that wants a first PIN */
        .flags = CKF_TOKEN_INITIALIZED | CKF_RNG | CKF_WRITE_PROTECTED | CKF_USER_PIN_INITIALIZED,
        .ulMaxSessionCount = CK_EFFECTIVELY_INFINITE,
        .ulSessionCount = session_count,
        .ulMaxRwSessionCount = CK_EFFECTIVELY_INFINITE,
        .ulRwSessionCount = CK_UNAVAILABLE_INFORMATION,
        .ulMinPinLen = SLOTS_PIN_MIN,
        .ulMaxPinLen = SLOTS_PIN_MAX,
        .ulTotalPublicMemory = CK_UNAVAILABLE_INFORMATION,
        .ulFreePublicMemory = CK_UNAVAILABLE_INFORMATION,
        .ulTotalPrivateMemory = CK_UNAVAILABLE_INFORMATION,
        .ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION,
    };
    PADDED_FILL(info->label, slot->label);
    PADDED_FILL(info->serialNumber, slot->serial);
    PADDED_FILL(info->manufacturerID, SLOTS_MANUFACTURER);
    PADDED_FILL(info->model, slot->is_edwards ? "mtls-agent EdDSA" : "mtls-agent");
    PADDED_FILL(info->utcTime, "");
}
