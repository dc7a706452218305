/* SPDX-License-Identifier: Apache-2.0 */
/* The agent inside the test; see module_seam.h. */
#include "tests/unit/module_seam.h"

#include <fcntl.h>
#include <string.h>

#include "common/cleanup.h"

struct seam seam;

struct mtls_agent_keys {
    size_t count;
    struct mtls_agent_key keys[];
};

struct mtls_agent_events {
    int fd;
    bool is_freed;
};

/* The one subscription there is at a time; a freed one stays to be recognised. */
static struct mtls_agent_events subscription = {-1, true};
static int publish_fd = -1;

void seam_reset(void)
{
    seam = (struct seam){.key_count = KEYS_COUNT};
    memcpy(seam.keys, module_keys, sizeof(module_keys));
    seam_hang_up();
}

void seam_publish(void)
{
    if (publish_fd >= 0 && !subscription.is_freed && write(publish_fd, "e", 1) != 1)
        abort();
}

void seam_hang_up(void)
{
    publish_fd = close_fd(publish_fd);
}

struct mtls_agent_keys *seam_take_keys(const struct mtls_agent_key *keys, size_t count)
{
    struct mtls_agent_keys *list = calloc(1, sizeof(*list) + count * sizeof(*keys));

    if (!list)
        abort();
    list->count = count;
    if (count > 0)
        memcpy(list->keys, keys, count * sizeof(*keys));
    return list;
}

/* The names are the linker's: --wrap=SYMBOL. */
int __wrap_mtls_agent_list(struct mtls_agent *agent, const char *selector,
                           struct mtls_agent_keys **ret_keys, struct mtls_agent_error *error);
size_t __wrap_mtls_agent_keys_count(const struct mtls_agent_keys *keys);
const struct mtls_agent_key *__wrap_mtls_agent_keys_get(const struct mtls_agent_keys *keys,
                                                        size_t index);
struct mtls_agent_keys *__wrap_mtls_agent_keys_free(struct mtls_agent_keys *keys);
int __wrap_mtls_agent_sign(struct mtls_agent *agent, const uint8_t *hash, uint16_t scheme,
                           enum mtls_agent_kind kind, const uint8_t *content, size_t content_len,
                           uint8_t *signature, size_t size, size_t *ret_len,
                           struct mtls_agent_error *error);
int __wrap_mtls_agent_unlock(struct mtls_agent *agent, const char *token, int pin_fd,
                             struct mtls_agent_error *error);
int __wrap_mtls_agent_events_new(struct mtls_agent *agent, unsigned int mask,
                                 struct mtls_agent_events **ret_events,
                                 struct mtls_agent_error *error);
int __wrap_mtls_agent_events_get_fd(const struct mtls_agent_events *events);
int __wrap_mtls_agent_events_next(struct mtls_agent_events *events, unsigned int timeout_ms,
                                  struct mtls_agent_event *ret_event,
                                  struct mtls_agent_error *error);
struct mtls_agent_events *__wrap_mtls_agent_events_free(struct mtls_agent_events *events);

int __wrap_mtls_agent_list(struct mtls_agent *agent, const char *selector,
                           struct mtls_agent_keys **ret_keys, struct mtls_agent_error *error)
{
    (void)agent;
    (void)selector;
    (void)error;
    seam.lists++;
    if (seam.at_list)
        seam.at_list();
    if (seam.list_code)
        return seam.list_code;
    *ret_keys = seam_take_keys(seam.keys, seam.key_count);
    return 0;
}

size_t __wrap_mtls_agent_keys_count(const struct mtls_agent_keys *keys)
{
    return keys->count;
}

const struct mtls_agent_key *__wrap_mtls_agent_keys_get(const struct mtls_agent_keys *keys,
                                                        size_t index)
{
    return index < keys->count ? &keys->keys[index] : NULL;
}

struct mtls_agent_keys *__wrap_mtls_agent_keys_free(struct mtls_agent_keys *keys)
{
    free(keys);
    return NULL;
}

/* A signature of the right form that verifies with nothing. */
static size_t seam_make_signature(const uint8_t *hash, uint8_t *signature)
{
    static const uint8_t der[] = {0x30, 6, 0x02, 1, 1, 0x02, 1, 2};
    const struct mtls_agent_key *key = NULL;

    for (size_t i = 0; i < seam.key_count; i++)
        if (memcmp(seam.keys[i].hash, hash, MTLS_AGENT_KEY_HASH_LEN) == 0)
            key = &seam.keys[i];
    if (!key)
        return 0;
    if (key->type == MTLS_AGENT_KEY_EC) {
        memcpy(signature, der, sizeof(der));
        return sizeof(der);
    }
    size_t len = key->type == MTLS_AGENT_KEY_ED25519 ? 64 : key->bits / 8;
    memset(signature, 's', len);
    return len;
}

int __wrap_mtls_agent_sign(struct mtls_agent *agent, const uint8_t *hash, uint16_t scheme,
                           enum mtls_agent_kind kind, const uint8_t *content, size_t content_len,
                           uint8_t *signature, size_t size, size_t *ret_len,
                           struct mtls_agent_error *error)
{
    (void)agent;
    (void)error;
    seam.signs++;
    if (content_len > sizeof(seam.content) || size < MTLS_AGENT_SIGNATURE_MAX)
        abort();
    seam.scheme = scheme;
    seam.kind = kind;
    seam.content_len = content_len;
    if (content_len > 0)
        memcpy(seam.content, content, content_len);
    if (seam.sign_code)
        return seam.sign_code;
    *ret_len = seam_make_signature(hash, signature);
    return *ret_len > 0 ? 0 : MTLS_AGENT_E_NO_KEY;
}

int __wrap_mtls_agent_unlock(struct mtls_agent *agent, const char *token, int pin_fd,
                             struct mtls_agent_error *error)
{
    (void)agent;
    (void)error;
    seam.unlocks++;
    (void)snprintf(seam.token, sizeof(seam.token), "%s", token);
    ssize_t len = read(pin_fd, seam.pin, sizeof(seam.pin) - 1);
    seam.pin[len > 0 ? len : 0] = '\0';
    char more = 0;
    if (read(pin_fd, &more, 1) != 0) /* the end of the PIN is the end of the pipe */
        abort();
    return seam.unlock_code;
}

int __wrap_mtls_agent_events_new(struct mtls_agent *agent, unsigned int mask,
                                 struct mtls_agent_events **ret_events,
                                 struct mtls_agent_error *error)
{
    int ends[2];

    (void)agent;
    (void)mask;
    (void)error;
    seam.subscriptions++;
    if (seam.subscribe_code)
        return seam.subscribe_code;
    if (!subscription.is_freed || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        abort();
    seam_hang_up();
    subscription = (struct mtls_agent_events){ends[0], false};
    publish_fd = ends[1];
    *ret_events = &subscription;
    return 0;
}

int __wrap_mtls_agent_events_get_fd(const struct mtls_agent_events *events)
{
    if (events->is_freed)
        abort();
    return events->fd;
}

int __wrap_mtls_agent_events_next(struct mtls_agent_events *events, unsigned int timeout_ms,
                                  struct mtls_agent_event *ret_event,
                                  struct mtls_agent_error *error)
{
    char byte = 0;

    (void)error;
    if (events->is_freed || timeout_ms > 0)
        abort();
    ssize_t len = read(events->fd, &byte, 1);
    if (len < 0)
        return MTLS_AGENT_E_TIMEOUT;
    if (len == 0)
        return MTLS_AGENT_E_CONNECTION;
    *ret_event = (struct mtls_agent_event){.kind = MTLS_AGENT_EVENT_KEYS};
    return 0;
}

struct mtls_agent_events *__wrap_mtls_agent_events_free(struct mtls_agent_events *events)
{
    if (!events)
        return NULL;
    if (events->is_freed)
        abort();
    events->fd = close_fd(events->fd);
    events->is_freed = true;
    if (seam.at_events_free)
        seam.at_events_free();
    return NULL;
}
