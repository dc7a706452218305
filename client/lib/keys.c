/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of keys: the wire's pages gathered, then turned into one block that the caller owns.
 */
#include <string.h>

#include "client/lib/block.h"
#include "client/lib/call.h"
#include "client/lib/deadline.h"
#include "client/lib/error.h"
#include "client/lib/selector.h"
#include "common/escape.h"

#define KEYS_BYTES_MAX (64u * 1024u * 1024u) /* of all pages; a hostile agent gets no further */
#define KEYS_TEXTS 5u                        /* per key: each takes a NUL in the block */
#define KEYS_DESCRIPTION_SIZE 256u           /* bytes of what names one of several keys */

_Static_assert(MTLS_AGENT_CERTS_MAX == PROTOCOL_CERTS_MAX, "one limit of certificates");
_Static_assert(MTLS_AGENT_SCHEMES_MAX == SCHEMES_MAX, "one limit of schemes");
_Static_assert((int)MTLS_AGENT_KEY_ED25519 == (int)KEY_TYPE_ED25519, "types are the wire's");
_Static_assert((int)MTLS_AGENT_KEY_ABSENT == (int)KEY_STATE_ABSENT, "states are the wire's");

struct mtls_agent_keys {
    size_t count;
    struct mtls_agent_key keys[];
};

/* The pages so far, as one run of entries for protocol_list_reply_next_key(). */
struct key_pages {
    const char *selector;
    uint32_t next;  /* the page to ask for */
    uint32_t total; /* of the first page: another one means that the list changed meanwhile */
    bool is_complete;
    uint32_t count;
    uint8_t *entries;
    size_t len;
};

static void key_pages_reset(struct key_pages *pages)
{
    free(pages->entries);
    pages->entries = NULL;
    pages->len = 0;
    pages->count = 0;
    pages->next = 0;
}

static void cleanup_key_pages(struct key_pages *pages)
{
    key_pages_reset(pages);
}

static int keys_encode(struct wire_writer *writer, const struct call *call)
{
    const struct key_pages *pages = call->context;
    const struct protocol_list msg = {
        .id = call->id,
        .start = pages->next,
        .selector = wire_span_from_text(pages->selector),
    };

    return protocol_list_encode(writer, &msg);
}

static int keys_handle_reply(struct call *call, struct wire_span body)
{
    struct key_pages *pages = call->context;
    struct protocol_list_reply reply;
    bool is_first = pages->next == 0;

    if (protocol_list_reply_parse(body, &reply) || reply.keys.len > KEYS_BYTES_MAX - pages->len ||
        (reply.next != 0 && reply.next <= pages->next))
        return MTLS_AGENT_E_PROTOCOL;
    if (!is_first && reply.total != pages->total) {
        key_pages_reset(pages);
        return 0;
    }
    if (reply.keys.len > 0) {
        uint8_t *entries = realloc(pages->entries, pages->len + reply.keys.len);
        if (!entries)
            return client_error_set_memory(call->error);
        memcpy(entries + pages->len, reply.keys.data, reply.keys.len);
        pages->entries = entries;
        pages->len += reply.keys.len;
    }
    pages->count += reply.key_count;
    pages->total = reply.total;
    pages->next = reply.next;
    pages->is_complete = reply.next == 0;
    return 0;
}

static const struct call_type list_type = {
    .reply = PROTOCOL_LIST_REPLY,
    .is_idempotent = true,
    .encode = keys_encode,
    .handle_reply = keys_handle_reply,
};

/* One call per page, all within one deadline; from the start again when the list changed. */
static int keys_gather(struct mtls_agent *agent, struct key_pages *pages,
                       struct mtls_agent_error *error)
{
    uint64_t deadline_us = deadline_after_ms(atomic_load(&agent->deadline_ms));

    do {
        struct call call = {.type = &list_type, .context = pages, .pass_fd = -1, .error = error};
        int code = call_run_until(agent, &call, deadline_us);
        if (code)
            return code;
    } while (!pages->is_complete);
    return 0;
}

static void keys_copy_one(struct mtls_agent_key *copy, const struct protocol_key *key,
                          struct block *block)
{
    *copy = (struct mtls_agent_key){
        .name = block_put_text(block, key->name),
        .type = (enum mtls_agent_key_type)key->type,
        .bits = key->bits,
        .state = (enum mtls_agent_key_state)key->state,
        .signs_digests = key->policy == KEY_POLICY_DIGEST,
        .always_authenticate = key->always_authenticate,
        .label = block_put_text(block, key->label),
        .id = block_put_bytes(block, key->ck_id),
        .token_label = block_put_text(block, key->token_label),
        .token_serial = block_put_text(block, key->token_serial),
        .module = block_put_text(block, key->module),
        .spki = block_put_bytes(block, key->spki),
        .cert_count = key->cert_count,
    };
    memcpy(copy->hash, key->key_hash.data, sizeof(copy->hash));
    for (size_t i = 0; i < key->scheme_count; i++)
        if (key->schemes[i] <= UINT16_MAX)
            copy->schemes[copy->scheme_count++] = (uint16_t)key->schemes[i];
    for (size_t i = 0; i < key->cert_count; i++)
        copy->certs[i] = block_put_bytes(block, key->certs[i]);
}

static struct mtls_agent_keys *keys_from_pages(const struct key_pages *pages)
{
    size_t keys_size =
        sizeof(struct mtls_agent_keys) + pages->count * sizeof(struct mtls_agent_key);
    size_t data_size = pages->len + pages->count * KEYS_TEXTS;
    struct mtls_agent_keys *keys = calloc(1, keys_size + data_size);
    struct wire_span entries = {pages->entries, pages->len};
    struct protocol_key key;

    if (!keys)
        return NULL;
    struct block block = {(uint8_t *)keys + keys_size, data_size};
    while (protocol_list_reply_next_key(&entries, &key))
        keys_copy_one(&keys->keys[keys->count++], &key, &block);
    return keys;
}

/* NULL with the code in *ret_code. */
static struct mtls_agent_keys *keys_fetch(struct mtls_agent *agent, const char *selector,
                                          int *ret_code, struct mtls_agent_error *error)
{
    _cleanup_(cleanup_key_pages) struct key_pages pages = {.selector = selector};
    char shown[256];

    *ret_code = selector_check(selector, error);
    if (*ret_code == 0)
        *ret_code = keys_gather(agent, &pages, error);
    if (*ret_code)
        return NULL;
    if (pages.count == 0 && selector && *selector) {
        *ret_code =
            client_error_set(error, MTLS_AGENT_E_NO_KEY,
                             "no key is named \"%s\"; `mtls list` shows those that are there",
                             escape_cstring(selector, shown, sizeof(shown)));
        return NULL;
    }
    struct mtls_agent_keys *keys = keys_from_pages(&pages);
    if (!keys)
        *ret_code = client_error_set_memory(error);
    return keys;
}

int mtls_agent_list(struct mtls_agent *agent, const char *selector,
                    struct mtls_agent_keys **ret_keys, struct mtls_agent_error *error)
{
    int code = 0;
    struct mtls_agent_keys *keys = keys_fetch(agent, selector, &code, error);

    if (keys)
        *ret_keys = keys;
    return code;
}

/* "web (sha256:0123abcd, on card)": names may be equal, and these digits do as a selector, too. */
static const char *keys_describe(const struct mtls_agent_key *key,
                                 char text[static KEYS_DESCRIPTION_SIZE])
{
    char name[128];
    char token[64];

    (void)snprintf(text, KEYS_DESCRIPTION_SIZE, "%s (sha256:%02x%02x%02x%02x%s%s)",
                   escape_cstring(key->name, name, sizeof(name)), key->hash[0], key->hash[1],
                   key->hash[2], key->hash[3], *key->token_label ? ", on " : "",
                   escape_cstring(key->token_label, token, sizeof(token)));
    return text;
}

/* "... fits several keys: a, b, c": as many as there is room for. */
static int keys_explain_ambiguous(const char *selector, const struct mtls_agent_keys *keys,
                                  struct mtls_agent_error *error)
{
    static const char more[] = ", ...";
    char list[768] = "";
    char text[KEYS_DESCRIPTION_SIZE];
    char shown[128];
    size_t len = 0;

    for (size_t i = 0; i < keys->count; i++) {
        const char *key = keys_describe(&keys->keys[i], text);
        if (len + strlen(key) + 2 * sizeof(more) > sizeof(list)) {
            memcpy(list + len, more, sizeof(more));
            break;
        }
        len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i > 0 ? ", " : "", key);
    }
    if (!selector || !*selector)
        return client_error_set(error, MTLS_AGENT_E_AMBIGUOUS,
                                "the agent has several keys, name one of them: %s", list);
    return client_error_set(error, MTLS_AGENT_E_AMBIGUOUS,
                            "\"%s\" fits several keys, name one of them: %s",
                            escape_cstring(selector, shown, sizeof(shown)), list);
}

/* Keys whose token is out count only where there are no others. */
static void keys_prefer_present(struct mtls_agent_keys *keys)
{
    size_t kept = 0;

    for (size_t i = 0; i < keys->count; i++)
        if (keys->keys[i].state != MTLS_AGENT_KEY_ABSENT)
            keys->keys[kept++] = keys->keys[i];
    keys->count = kept > 0 ? kept : keys->count;
}

int mtls_agent_find(struct mtls_agent *agent, const char *selector,
                    struct mtls_agent_keys **ret_keys, struct mtls_agent_error *error)
{
    int code = 0;
    struct mtls_agent_keys *keys = keys_fetch(agent, selector, &code, error);

    if (!keys)
        return code;
    keys_prefer_present(keys);
    if (keys->count == 1) {
        *ret_keys = keys;
        return 0;
    }
    if (keys->count == 0)
        code = client_error_set(error, MTLS_AGENT_E_NO_KEY,
                                "the agent has no key; `mtls status` tells which tokens it sees");
    else
        code = keys_explain_ambiguous(selector, keys, error);
    (void)mtls_agent_keys_free(keys);
    return code;
}

size_t mtls_agent_keys_count(const struct mtls_agent_keys *keys)
{
    return keys->count;
}

const struct mtls_agent_key *mtls_agent_keys_get(const struct mtls_agent_keys *keys, size_t index)
{
    return index < keys->count ? &keys->keys[index] : NULL;
}

struct mtls_agent_keys *mtls_agent_keys_free(struct mtls_agent_keys *keys)
{
    free(keys);
    return NULL;
}
