/* SPDX-License-Identifier: Apache-2.0 */
/* Listing keys; see list_request.h. */
#include "agent/list_request.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/keyring.h"
#include "agent/module.h"
#include "agent/selector.h"

/* Which keys a request means. */
struct list_choice {
    const struct selector *selector;
    bool leaves_out_absent;
    const struct keyring_key *only; /* of several that are one key for a person; NULL: all */
};

static bool list_choice_fits(const struct list_choice *choice, const struct keyring_key *key)
{
    return selector_matches_key(choice->selector, key->name, key->key, module_get_name(key->module),
                                key->token);
}

static bool list_choice_has(const struct list_choice *choice, const struct keyring_key *key)
{
    if (choice->only)
        return key == choice->only;
    return list_choice_fits(choice, key) && !(choice->leaves_out_absent && key->is_absent);
}

/* The same key on several tokens, or tokens that one [key] section names as each other's spare. */
static bool list_is_spare(const struct keyring_key *a, const struct keyring_key *b)
{
    return memcmp(a->hash, b->hash, PROTOCOL_KEY_HASH_LEN) == 0 ||
           (a->config && a->config == b->config && a->config->uri_count > 1 &&
            a->config_uri != b->config_uri);
}

/* The states are numbered from the best on. */
static bool list_is_better(const struct keyring_key *a, const struct keyring_key *b)
{
    enum key_state a_state = keyring_key_state(a);
    enum key_state b_state = keyring_key_state(b);

    return a_state != b_state ? a_state < b_state : a->config_uri < b->config_uri;
}

/*
 * Who names a key means one that is there, if there is one; and where all that the name fits are
 * spares of each other, the best of them.
 */
static struct list_choice list_choose(const struct keyring *keyring,
                                      const struct selector *selector)
{
    struct list_choice choice = {.selector = selector};
    const struct keyring_key *first = NULL;
    bool are_spares = true;

    for (size_t i = 0; i < keyring->key_count; i++) {
        const struct keyring_key *key = &keyring->keys[i];
        if (!list_choice_fits(&choice, key))
            continue;
        choice.leaves_out_absent |= !key->is_absent;
        are_spares &= !first || list_is_spare(first, key);
        first = first ? first : key;
        if (!choice.only || list_is_better(key, choice.only))
            choice.only = key;
    }
    if (!are_spares)
        choice.only = NULL;
    return choice;
}

static uint32_t list_request_count(const struct keyring *keyring, const struct list_choice *choice)
{
    uint32_t count = 0;

    for (size_t i = 0; i < keyring->key_count; i++)
        count += list_choice_has(choice, &keyring->keys[i]) ? 1 : 0;
    return count;
}

/* One page: keys from number @start on, as many as fit a frame. */
static int list_request_write(struct connection *connection, const struct keyring *keyring,
                              const struct list_choice *choice, const struct protocol_list *message,
                              uint32_t total)
{
    struct wire_writer *output = &connection->output;
    const struct protocol_list_reply_mark mark =
        protocol_list_reply_begin(output, message->id, total);
    uint32_t number = 0;
    uint32_t written = 0;
    uint32_t next = 0;

    for (size_t i = 0; i < keyring->key_count && next == 0; i++) {
        struct protocol_key key;
        if (!list_choice_has(choice, &keyring->keys[i]) || number++ < message->start)
            continue;
        keyring_key_describe(&keyring->keys[i], &key);
        if (protocol_list_reply_add(output, &mark, &key))
            written++;
        else
            next = number - 1;
    }
    return protocol_list_reply_end(output, &mark, written, next) ? -ENOBUFS : 0;
}

int list_request_answer(struct connection *connection, const struct protocol_list *message)
{
    const struct keyring *keyring = connection->agent->keyring;
    _cleanup_(cleanup_selector) struct selector *selector = NULL;
    const char *reason = NULL;

    int r = selector_new(message->selector, &selector, &reason);
    if (r < 0)
        return r;
    if (r) {
        connection_send_error(connection, message->id, PROTOCOL_E_NO_KEY, reason);
        return 0;
    }
    const struct list_choice choice = message->selector.len > 0
                                          ? list_choose(keyring, selector)
                                          : (struct list_choice){.selector = selector};
    uint32_t total = list_request_count(keyring, &choice);
    if (total == 0)
        agent_look_again(connection->agent);
    if (total == 0 && message->selector.len > 0) {
        connection_send_error(connection, message->id, PROTOCOL_E_NO_KEY,
                              "no key has this name; `mtls list` shows those that there are");
        return 0;
    }
    return list_request_write(connection, keyring, &choice, message, total);
}
