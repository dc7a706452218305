/* SPDX-License-Identifier: Apache-2.0 */
/* Listing keys; see list_request.h. */
#include "agent/list_request.h"

#include "agent/agent.h"
#include "agent/keyring.h"
#include "agent/module.h"
#include "agent/selector.h"

static bool list_request_matches(const struct selector *selector, const struct keyring_key *key)
{
    return selector_matches_key(selector, key->name, key->key, module_get_name(key->module),
                                key->token);
}

static uint32_t list_request_count(const struct keyring *keyring, const struct selector *selector)
{
    uint32_t count = 0;

    for (size_t i = 0; i < keyring->key_count; i++)
        count += list_request_matches(selector, &keyring->keys[i]) ? 1 : 0;
    return count;
}

/* One page: keys from number @start on, as many as fit a frame. */
static int list_request_write(struct connection *connection, const struct keyring *keyring,
                              const struct selector *selector, const struct protocol_list *message,
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
        if (!list_request_matches(selector, &keyring->keys[i]) || number++ < message->start)
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
    uint32_t total = list_request_count(keyring, selector);
    if (total == 0)
        agent_look_again(connection->agent);
    if (total == 0 && message->selector.len > 0) {
        connection_send_error(connection, message->id, PROTOCOL_E_NO_KEY,
                              "no key has this name; `mtls list` shows those that there are");
        return 0;
    }
    return list_request_write(connection, keyring, selector, message, total);
}
