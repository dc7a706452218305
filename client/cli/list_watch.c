/* SPDX-License-Identifier: Apache-2.0 */
/* Watching the keys; see list_watch.h. */
#include "client/cli/list_watch.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/expiry.h"
#include "client/cli/json.h"
#include "client/cli/key_view.h"

#define WATCH_MASK                                                              \
    (MTLS_AGENT_EVENT_KEYS | MTLS_AGENT_EVENT_TOKEN | MTLS_AGENT_EVENT_MODULE | \
     MTLS_AGENT_EVENT_WAITING)
#define WATCH_SILENCE_MS (3600u * 1000u) /* any time will do: it is waited again */
#define WATCH_SETTLE_MS 20               /* events come in groups: one look for all of them */
#define WATCH_RECONNECT_MS 1000          /* between two attempts to find an agent that went */
#define WATCH_TIME_MAX 16

struct watch {
    struct mtls_agent *agent;
    const char *selector;
    bool as_json;
    int (*show)(const struct mtls_agent_keys *keys);
    bool has_begun; /* this agent has been looked at */
    struct mtls_agent_events *events;
    struct mtls_agent_keys *keys; /* as they were last told; NULL: none */
};

static void cleanup_watch(struct watch *watch)
{
    (void)mtls_agent_events_free(watch->events);
    cleanup_agent_keys(&watch->keys);
}

static const char *watch_time(char buffer[static WATCH_TIME_MAX])
{
    time_t now = time(NULL);
    struct tm local;

    if (!localtime_r(&now, &local) || strftime(buffer, WATCH_TIME_MAX, "%H:%M:%S", &local) == 0)
        buffer[0] = '\0';
    return buffer;
}

/* One object in one line; @key may be NULL, @text too. */
static void watch_put_json(struct wire_writer *out, const char *event,
                           const struct mtls_agent_key *key, const char *subject, const char *text)
{
    struct json json = JSON_INIT(out);
    char when[EXPIRY_TEXT_MAX];
    char hash[KEY_VIEW_HASH_MAX];

    json.is_compact = true;
    json_begin_object(&json, NULL);
    json_put_text(&json, "time", expiry_format_rfc3339(time(NULL), when));
    json_put_text(&json, "event", event);
    json_put_text(&json, "name", key ? key->name : subject);
    if (key) {
        json_put_text(&json, "hash", key_view_hash(key->hash, hash));
        json_put_text(&json, "state", key_view_state(key->state));
        json_put_text(&json, "token", key->token_label);
        json_put_text(&json, "token_serial", key->token_serial);
    } else {
        json_put_text(&json, "text", text);
    }
    json_end_object(&json);
    json_finish(&json);
}

/* Each line goes out at once: another program may read it. */
static int watch_print(const struct wire_writer *out)
{
    int r = cli_print(out);

    if (r == CLI_OK && fflush(stdout) != 0)
        return cli_fail_errno("cannot write", errno);
    return r;
}

static int watch_tell_key(const struct watch *watch, const char *event,
                          const struct mtls_agent_key *key)
{
    _cleanup_wire_writer_ struct wire_writer out = {0};
    char now[WATCH_TIME_MAX];
    bool is_gone = strcmp(event, "gone") == 0;

    wire_writer_init(&out, CLI_OUTPUT_MAX);
    if (watch->as_json)
        watch_put_json(&out, event, key, NULL, NULL);
    else
        cli_put_line(&out, "%s  %s: %s (token %s)", watch_time(now), key->name,
                     is_gone ? "gone" : key_view_state(key->state), key->token_label);
    return watch_print(&out);
}

static int watch_tell_text(const struct watch *watch, const char *event, const char *subject,
                           const char *text)
{
    _cleanup_wire_writer_ struct wire_writer out = {0};
    char now[WATCH_TIME_MAX];

    wire_writer_init(&out, CLI_OUTPUT_MAX);
    if (watch->as_json)
        watch_put_json(&out, event, NULL, subject, text);
    else
        /* "done" alone would not say with what. */
        cli_put_line(&out, "%s  %s%s%s", watch_time(now), strcmp(text, "done") == 0 ? subject : "",
                     strcmp(text, "done") == 0 ? ": " : "", text);
    return watch_print(&out);
}

static const struct mtls_agent_key *watch_find(const struct mtls_agent_keys *keys,
                                               const struct mtls_agent_key *key)
{
    const struct mtls_agent_key *other = NULL;

    for (size_t i = 0; keys && (other = mtls_agent_keys_get(keys, i)); i++)
        if (memcmp(other->hash, key->hash, sizeof(key->hash)) == 0 &&
            strcmp(other->token_serial, key->token_serial) == 0 &&
            strcmp(other->module, key->module) == 0)
            return other;
    return NULL;
}

/* What is new, other, or gone since the last look. */
static int watch_tell_changes(const struct watch *watch, const struct mtls_agent_keys *now)
{
    const struct mtls_agent_key *key = NULL;
    int r = CLI_OK;

    for (size_t i = 0; now && r == CLI_OK && (key = mtls_agent_keys_get(now, i)); i++) {
        const struct mtls_agent_key *before = watch_find(watch->keys, key);
        if (!before)
            r = watch_tell_key(watch, "new", key);
        else if (before->state != key->state || strcmp(before->name, key->name) != 0)
            r = watch_tell_key(watch, "changed", key);
    }
    for (size_t i = 0; r == CLI_OK && watch->keys && (key = mtls_agent_keys_get(watch->keys, i));
         i++)
        if (!watch_find(now, key))
            r = watch_tell_key(watch, "gone", key);
    return r;
}

/* The keys as they are now become those that were told. */
static int watch_take(struct watch *watch, struct mtls_agent_keys *now, bool is_first)
{
    int r = CLI_OK;

    if (is_first && !watch->as_json) {
        r = now ? watch->show(now) : CLI_OK;
        (void)fflush(stdout); /* a failure shows at the next line */
    } else {
        r = watch_tell_changes(watch, now);
    }
    cleanup_agent_keys(&watch->keys);
    watch->keys = now;
    return r;
}

/* A name that fits nothing now may fit something later. */
static int watch_look(struct watch *watch, bool is_first, struct mtls_agent_error *error,
                      int *ret_exit)
{
    struct mtls_agent_keys *now = NULL;
    int code = mtls_agent_list(watch->agent, watch->selector, &now, error);

    if (code && code != MTLS_AGENT_E_NO_KEY)
        return code;
    *ret_exit = watch_take(watch, now, is_first);
    return 0;
}

/* All events that are there; those that stand for a change of the list make one look. Returns 0,
 * or the library's code of what ended the subscription. */
static int watch_read_events(struct watch *watch, unsigned int timeout_ms, bool *ret_changed,
                             struct mtls_agent_error *error, int *ret_exit)
{
    struct mtls_agent_event event;
    int code = 0;

    while (*ret_exit == CLI_OK) {
        code = mtls_agent_events_next(watch->events, timeout_ms, &event, error);
        if (code)
            return code == MTLS_AGENT_E_TIMEOUT ? 0 : code;
        if (event.kind == MTLS_AGENT_EVENT_WAITING)
            *ret_exit = watch_tell_text(watch, "waiting", event.subject, event.text);
        else
            *ret_changed = true;
        timeout_ms = WATCH_SETTLE_MS;
    }
    return 0;
}

/* Until the agent goes, or the output. Returns the library's code; *ret_exit is set when the output
 * is what failed. */
static int watch_follow(struct watch *watch, bool is_first, struct mtls_agent_error *error,
                        int *ret_exit)
{
    int code = mtls_agent_events_new(watch->agent, WATCH_MASK, &watch->events, error);

    if (code == 0 && !is_first)
        *ret_exit = watch_tell_text(watch, "agent", "", "the agent is back");
    if (code == 0 && *ret_exit == CLI_OK)
        code = watch_look(watch, is_first, error, ret_exit);
    watch->has_begun |= code == 0;
    while (code == 0 && *ret_exit == CLI_OK) {
        bool changed = false;
        code = watch_read_events(watch, WATCH_SILENCE_MS, &changed, error, ret_exit);
        if (code == 0 && changed && *ret_exit == CLI_OK)
            code = watch_look(watch, false, error, ret_exit);
    }
    watch->events = mtls_agent_events_free(watch->events);
    return code;
}

static bool watch_may_come_back(int code)
{
    return code == MTLS_AGENT_E_NO_AGENT || code == MTLS_AGENT_E_CONNECTION ||
           code == MTLS_AGENT_E_TIMEOUT || code == MTLS_AGENT_E_BUSY;
}

int list_watch(struct mtls_agent *agent, const char *selector, bool as_json,
               int (*show)(const struct mtls_agent_keys *keys))
{
    _cleanup_(cleanup_watch) struct watch watch = {
        .agent = agent, .selector = selector, .as_json = as_json, .show = show};
    struct mtls_agent_error error = {0};
    int exit_code = CLI_OK;
    int code = watch_follow(&watch, true, &error, &exit_code);
    bool is_known = watch.has_begun;

    while (exit_code == CLI_OK && watch_may_come_back(code) && is_known) {
        /* told once each time */
        if (watch.has_begun)
            exit_code = watch_tell_text(&watch, "agent", "", "the agent went; waiting for it");
        watch.has_begun = false;
        (void)poll(NULL, 0, WATCH_RECONNECT_MS);
        code = watch_follow(&watch, false, &error, &exit_code);
    }
    return exit_code ? exit_code : cli_fail_agent(&error);
}
