/* SPDX-License-Identifier: Apache-2.0 */
/* Refused PINs; see pin_ledger.h. */
#include "agent/pin_ledger.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/utf8.h"

#define LEDGER_SIZE_MAX (256u * 1024u)
#define LEDGER_ENTRIES_MAX 1024u
#define LEDGER_TOKEN_MAX 1600u
#define LEDGER_WHEN_MAX 32u
#define LEDGER_COUNT_MAX 1000000u
#define LEDGER_NO_SOURCE "-" /* in the file: a person's PIN */

struct ledger_entry {
    char *token; /* as in the file: "token=SERIAL:LABEL" */
    unsigned int count;
    unsigned int under_way; /* of them: their end is not known yet; modules may share a token */
    bool is_of_source;      /* the last of those is, not a person's */
    char when[LEDGER_WHEN_MAX];
    char source[PIN_IDENTITY_MAX + 1]; /* whose PIN was refused, or is being tried; "": none */
    /* Before what is under way, should it turn out not to have been a try. */
    unsigned int count_before;
    char source_before[PIN_IDENTITY_MAX + 1];
};

struct pin_ledger {
    char *path; /* "": nowhere */
    struct ledger_entry *entries;
    size_t count;
    struct pin_record record; /* what was returned last, in the buffers below */
    char token[LEDGER_TOKEN_MAX];
    char facts[128];
    char source[PIN_IDENTITY_MAX + 1];
};

struct pin_ledger *pin_ledger_free(struct pin_ledger *ledger)
{
    if (!ledger)
        return NULL;
    for (size_t i = 0; i < ledger->count; i++)
        free(ledger->entries[i].token);
    free(ledger->entries);
    free(ledger->path);
    free(ledger);
    return NULL;
}

/* Letters, digits and a few more as they are, all else as %XX: no space, no line end. */
static size_t ledger_put_name(char *buffer, size_t size, size_t len, struct wire_span name)
{
    for (size_t i = 0; i < name.len && len + 4 <= size; i++) {
        unsigned char byte = name.data[i];
        if ((byte < 0x80 && isalnum(byte)) || (byte && strchr("-_.@", byte)))
            buffer[len++] = (char)byte;
        else
            len += (size_t)snprintf(buffer + len, size - len, "%%%02X", byte);
    }
    buffer[len] = '\0';
    return len;
}

static void ledger_name_token(const struct worker_token *token, char buffer[LEDGER_TOKEN_MAX])
{
    size_t len = (size_t)snprintf(buffer, LEDGER_TOKEN_MAX, "token=");

    len = ledger_put_name(buffer, LEDGER_TOKEN_MAX - 1, len, token->serial);
    buffer[len++] = ':';
    (void)ledger_put_name(buffer, LEDGER_TOKEN_MAX, len, token->label);
}

static struct ledger_entry *ledger_find(const struct pin_ledger *ledger,
                                        const struct worker_token *token)
{
    char name[LEDGER_TOKEN_MAX];

    ledger_name_token(token, name);
    for (size_t i = 0; i < ledger->count; i++)
        if (strcmp(ledger->entries[i].token, name) == 0)
            return &ledger->entries[i];
    return NULL;
}

static struct ledger_entry *ledger_add(struct pin_ledger *ledger, const char *name)
{
    struct ledger_entry *entries = NULL;

    if (ledger->count < LEDGER_ENTRIES_MAX)
        entries = reallocarray(ledger->entries, ledger->count + 1, sizeof(*entries));
    if (!entries)
        return NULL;
    ledger->entries = entries;
    entries[ledger->count] = (struct ledger_entry){.token = strdup(name)};
    return entries[ledger->count].token ? &entries[ledger->count++] : NULL;
}

/* The value of the next word, "NAME=VALUE"; NULL: another word stands there. */
static const char *ledger_take_word(char **rest, const char *name)
{
    const char *word = strtok_r(NULL, " ", rest);
    size_t len = strlen(name);

    return word && strncmp(word, name, len) == 0 ? word + len : NULL;
}

/* "refused=N", or "begun=N" when nobody wrote down what became of the last of them. */
static bool ledger_take_count(char **rest, unsigned long *ret_count, bool *ret_is_under_way)
{
    const char *word = strtok_r(NULL, " ", rest);
    char *end = NULL;

    *ret_is_under_way = word && strncmp(word, "begun=", 6) == 0;
    if (!word || (!*ret_is_under_way && strncmp(word, "refused=", 8) != 0))
        return false;
    *ret_count = strtoul(strchr(word, '=') + 1, &end, 10);
    return !*end && *ret_count <= LEDGER_COUNT_MAX;
}

/* A line that is not one of ours is left out: it says nothing that we would understand. */
static void ledger_take_line(struct pin_ledger *ledger, char *line)
{
    char *rest = NULL;
    unsigned long count = 0;
    bool is_under_way = false;
    const char *token = strtok_r(line, " ", &rest);
    bool has_count = ledger_take_count(&rest, &count, &is_under_way);
    const char *when = ledger_take_word(&rest, "when=");
    const char *source = ledger_take_word(&rest, "source=");

    if (!token || !has_count || !when || !source || strncmp(token, "token=", 6) != 0 ||
        strlen(when) >= LEDGER_WHEN_MAX || strlen(source) > PIN_IDENTITY_MAX)
        return;
    struct ledger_entry *entry = ledger_add(ledger, token);
    if (!entry)
        return;
    entry->count = (unsigned int)count;
    (void)snprintf(entry->when, sizeof(entry->when), "%s", when);
    bool may_repeat = is_under_way && count <= PIN_LEDGER_BEGUN_MAX;
    if (strcmp(source, LEDGER_NO_SOURCE) != 0 && !may_repeat)
        (void)snprintf(entry->source, sizeof(entry->source), "%s", source);
}

static int ledger_read(struct pin_ledger *ledger)
{
    _cleanup_close_ int fd =
        open(ledger->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    _cleanup_free_ char *text = malloc(LEDGER_SIZE_MAX + 1);
    char *rest = NULL;

    if (!text)
        return -ENOMEM;
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    ssize_t len = read(fd, text, LEDGER_SIZE_MAX);
    if (len < 0)
        return -errno;
    text[len] = '\0';
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        ledger_take_line(ledger, line);
    return 0;
}

static char *ledger_find_path(void)
{
    const char *state = getenv("STATE_DIRECTORY"); /* systemd.exec(5); several: the first */
    const char *data = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    char *path = NULL;
    int r = -1;

    if (state && state[0] == '/')
        r = asprintf(&path, "%.*s/pin-ledger", (int)strcspn(state, ":"), state);
    else if (data && data[0] == '/')
        r = asprintf(&path, "%s/mtls-agent/pin-ledger", data);
    else if (home && home[0] == '/')
        r = asprintf(&path, "%s/.local/state/mtls-agent/pin-ledger", home);
    else
        return strdup("");
    return r < 0 ? NULL : path;
}

struct pin_ledger *pin_ledger_new(void)
{
    _cleanup_(cleanup_pin_ledger) struct pin_ledger *ledger = calloc(1, sizeof(*ledger));

    if (!ledger)
        return NULL;
    ledger->path = ledger_find_path();
    if (!ledger->path)
        return NULL;
    /* It goes to ask-pin in a message, whose texts are UTF-8. */
    if (!utf8_is_valid_text((const uint8_t *)ledger->path, strlen(ledger->path)) ||
        strlen(ledger->path) > PIN_ARGUMENT_MAX) {
        log_warning("no ledger of refused PINs is kept: its path is too long or not UTF-8");
        ledger->path[0] = '\0';
    }
    int r = ledger->path[0] ? ledger_read(ledger) : 0;
    if (r == -ENOMEM)
        return NULL;
    if (r)
        log_warning("the ledger of refused PINs, %s, cannot be read: %s", ledger->path,
                    strerror(-r));
    return TAKE_PTR(ledger);
}

const char *pin_ledger_path(const struct pin_ledger *ledger)
{
    return ledger->path;
}

const char *pin_ledger_refused(const struct pin_ledger *ledger, const struct worker_token *token)
{
    const struct ledger_entry *entry = ledger_find(ledger, token);

    if (!entry)
        return "";
    /* What is under way was not refused yet. */
    return entry->under_way > 0 ? entry->source_before : entry->source;
}

unsigned int pin_ledger_count(const struct pin_ledger *ledger, const struct worker_token *token)
{
    const struct ledger_entry *entry = ledger_find(ledger, token);

    return entry ? entry->count : 0;
}

void pin_ledger_forgive(struct pin_ledger *ledger)
{
    for (size_t i = 0; i < ledger->count; i++) {
        struct ledger_entry *entry = &ledger->entries[i];
        entry->source_before[0] = '\0';
        if (entry->under_way == 0 || !entry->is_of_source)
            entry->source[0] = '\0';
    }
}

static void ledger_set_now(struct ledger_entry *entry)
{
    time_t now = time(NULL);
    struct tm utc = {0};

    if (!gmtime_r(&now, &utc) ||
        strftime(entry->when, sizeof(entry->when), "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        (void)snprintf(entry->when, sizeof(entry->when), "-");
}

/* The entry as a line; one that says nothing takes the line away. */
static const struct pin_record *ledger_record(struct pin_ledger *ledger,
                                              const struct ledger_entry *entry)
{
    (void)snprintf(ledger->token, sizeof(ledger->token), "%s", entry->token);
    (void)snprintf(ledger->facts, sizeof(ledger->facts), "%s=%u when=%s",
                   entry->under_way > 0 && entry->is_of_source ? "begun" : "refused", entry->count,
                   entry->when);
    (void)snprintf(ledger->source, sizeof(ledger->source), "%s",
                   entry->source[0] ? entry->source : LEDGER_NO_SOURCE);
    ledger->record = (struct pin_record){
        .token = wire_span_from_text(ledger->token),
        .facts = wire_span_from_text(entry->count > 0 || entry->source[0] ? ledger->facts : ""),
        .source = wire_span_from_text(ledger->source),
    };
    return &ledger->record;
}

static struct ledger_entry *ledger_get(struct pin_ledger *ledger, const struct worker_token *token)
{
    struct ledger_entry *entry = ledger_find(ledger, token);
    char name[LEDGER_TOKEN_MAX];

    if (entry)
        return entry;
    ledger_name_token(token, name);
    return ledger_add(ledger, name);
}

const struct pin_record *pin_ledger_begin(struct pin_ledger *ledger,
                                          const struct worker_token *token, const char *source)
{
    struct ledger_entry *entry = ledger_get(ledger, token);

    if (!entry)
        return NULL;
    if (entry->under_way++ == 0) {
        entry->count_before = entry->count;
        memcpy(entry->source_before, entry->source, sizeof(entry->source));
    }
    entry->count++;
    entry->is_of_source = source != NULL;
    if (source)
        (void)snprintf(entry->source, sizeof(entry->source), "%s", source);
    ledger_set_now(entry);
    return ledger_record(ledger, entry);
}

const struct pin_record *pin_ledger_end(struct pin_ledger *ledger, const struct worker_token *token,
                                        enum pin_outcome outcome)
{
    struct ledger_entry *entry = ledger_find(ledger, token);

    if (!entry)
        return NULL;
    entry->under_way -= entry->under_way > 0;
    if (outcome == PIN_OUTCOME_ACCEPTED) {
        entry->count = 0;
        /* A person's PIN says nothing about the source's. */
        if (entry->is_of_source)
            entry->source[0] = '\0';
    } else if (outcome != PIN_OUTCOME_REFUSED) {
        if (outcome == PIN_OUTCOME_NOT_TRIED)
            entry->count = entry->count_before;
        memcpy(entry->source, entry->source_before, sizeof(entry->source));
    }
    return ledger_record(ledger, entry);
}

const struct pin_record *pin_ledger_note(struct pin_ledger *ledger,
                                         const struct worker_token *token, const char *source,
                                         bool is_refused)
{
    struct ledger_entry *entry =
        is_refused ? ledger_get(ledger, token) : ledger_find(ledger, token);

    if (!entry || (!is_refused && entry->count == 0 && (!source || !entry->source[0])))
        return NULL;
    /* Logins that are under way stay so: they come on top of what is noted here. */
    entry->count_before = is_refused ? entry->count_before + 1 : 0;
    entry->count = is_refused ? entry->count + 1 : entry->under_way;
    if (source) {
        const char *noted = is_refused ? source : "";
        (void)snprintf(entry->source_before, sizeof(entry->source_before), "%s", noted);
        if (entry->under_way == 0 || !entry->is_of_source)
            (void)snprintf(entry->source, sizeof(entry->source), "%s", noted);
    }
    ledger_set_now(entry);
    return ledger_record(ledger, entry);
}

const struct pin_record *pin_ledger_clear(struct pin_ledger *ledger,
                                          const struct worker_token *token)
{
    struct ledger_entry *entry = ledger_find(ledger, token);

    if (!entry)
        return NULL;
    entry->count = 0;
    entry->count_before = 0;
    entry->source_before[0] = '\0';
    entry->source[0] = '\0';
    return ledger_record(ledger, entry);
}
