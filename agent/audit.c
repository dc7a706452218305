/* SPDX-License-Identifier: Apache-2.0 */
/* Audit records; see audit.h. A record that cannot be written is counted and logged, and the
 * signature still goes out: the agent stays usable with a full disk. */
#include "agent/audit.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/journal.h"
#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"
#include "common/protocol.h"

/* Whatever a client calls itself or its key, there is a line. */
#define AUDIT_LINE_MAX (PEER_JSON_MAX + 16384u)
#define AUDIT_COMPLAIN_MS 60000u /* a failing file is mentioned once in this time */
#define AUDIT_HASH_TEXT_LEN (sizeof("sha256:") + 2 * PROTOCOL_KEY_HASH_LEN)

struct audit {
    enum config_audit target; /* never CONFIG_AUDIT_AUTO */
    bool to_log;
    int fd;
    struct wire_writer line;
    uint64_t lost;
    uint64_t complained_ms;
    time_t second; /* the one that @second_text shows */
    char second_text[64];
};

struct audit *audit_free(struct audit *audit)
{
    if (!audit)
        return NULL;
    (void)close_fd(audit->fd);
    wire_writer_deinit(&audit->line);
    free(audit);
    return NULL;
}

static int audit_open_file(struct audit *audit, const char *path)
{
    struct stat stat_buf;
    char shown[256];

    /* O_NONBLOCK: a FIFO without a reader must not hold up the start. */
    audit->fd = open(
        path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    escape_cstring(path, shown, sizeof(shown));
    if (audit->fd < 0) {
        log_error("cannot open the audit file %s: %s", shown, strerror(errno));
        return 1;
    }
    if (fstat(audit->fd, &stat_buf) < 0 ||
        (!S_ISREG(stat_buf.st_mode) && !S_ISCHR(stat_buf.st_mode))) {
        log_error("the audit file %s is not a regular file", shown);
        return 1;
    }
    return 0;
}

int audit_new(const struct config *config, struct audit **ret_audit)
{
    struct audit *audit = calloc(1, sizeof(*audit));
    bool has_journal = journal_is_there();

    if (!audit)
        return -ENOMEM;
    audit->fd = -1;
    audit->target = config->audit;
    wire_writer_init(&audit->line, AUDIT_LINE_MAX);
    if (audit->target == CONFIG_AUDIT_AUTO) {
        audit->target = has_journal ? CONFIG_AUDIT_JOURNAL : CONFIG_AUDIT_OFF;
        audit->to_log = !has_journal;
    }
    int r = 0;
    if (audit->target == CONFIG_AUDIT_FILE)
        r = audit_open_file(audit, config->audit_path);
    if (audit->target == CONFIG_AUDIT_JOURNAL)
        r = journal_open(&audit->fd);
    if (r) {
        (void)audit_free(audit);
        return r;
    }
    *ret_audit = audit;
    return 0;
}

static void audit_format_hash(const uint8_t *hash, char text[static AUDIT_HASH_TEXT_LEN])
{
    static const char digits[] = "0123456789abcdef";
    size_t len = sizeof("sha256:") - 1;

    memcpy(text, "sha256:", len);
    for (size_t i = 0; i < PROTOCOL_KEY_HASH_LEN; i++) {
        text[len++] = digits[hash[i] >> 4];
        text[len++] = digits[hash[i] & 15];
    }
    text[len] = '\0';
}

static const char *audit_result(const struct audit_record *record)
{
    return record->error_code ? protocol_error_name(record->error_code) : "ok";
}

static const char *audit_kind(const struct audit_record *record)
{
    const char *name = sign_kind_name(record->kind);

    return name ? name : "unknown";
}

static const char *audit_exe(const struct audit_record *record)
{
    return record->peer->exe ? record->peer->exe : "unknown";
}

static const char *audit_unit(const struct audit_record *record)
{
    return record->peer->unit ? record->peer->unit : "";
}

_printf_(2, 3) static void audit_put_format(struct wire_writer *line, const char *format, ...)
{
    char text[128];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    escape_put_raw(line, text);
}

static void audit_put_text(struct wire_writer *line, const char *name, const char *value)
{
    escape_put_raw(line, ",\"");
    escape_put_raw(line, name);
    escape_put_raw(line, "\":");
    escape_json(line, wire_span_from_text(value));
}

/* RFC 3339 in UTC with milliseconds; the seconds are formatted once each. */
static void audit_put_time(struct audit *audit)
{
    struct timespec now = {0};
    struct tm parts;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != audit->second || !audit->second_text[0]) {
        (void)gmtime_r(&now.tv_sec, &parts);
        size_t len = strftime(audit->second_text, sizeof(audit->second_text),
                              "{\"time\":\"%Y-%m-%dT%H:%M:%S.", &parts);
        audit->second_text[len] = '\0';
        audit->second = now.tv_sec;
    }
    escape_put_raw(&audit->line, audit->second_text);
    audit_put_format(&audit->line, "%03ldZ\"", now.tv_nsec / 1000000);
}

static void audit_complain(struct audit *audit, const char *why)
{
    uint64_t now_ms = clock_monotonic_ms();

    audit->lost++;
    if (audit->complained_ms && now_ms - audit->complained_ms < AUDIT_COMPLAIN_MS)
        return;
    audit->complained_ms = now_ms;
    log_error("%llu audit records could not be written: %s", (unsigned long long)audit->lost, why);
}

static void audit_write_file(struct audit *audit, const struct audit_record *record,
                             const char *hash)
{
    struct wire_writer *line = &audit->line;
    const char *peer = peer_get_json(record->peer);

    if (!peer) {
        audit_complain(audit, strerror(ENOMEM));
        return;
    }
    wire_writer_reset(line);
    audit_put_time(audit);
    escape_put_raw(line, peer);
    audit_put_text(line, "key", record->key_name);
    audit_put_text(line, "key_hash", hash);
    audit_put_text(line, "kind", audit_kind(record));
    audit_put_text(line, "scheme", record->scheme);
    audit_put_text(line, "result", audit_result(record));
    audit_put_text(line, "reason", record->reason);
    audit_put_format(line, ",\"ms\":%llu.%llu", (unsigned long long)(record->taken_us / 1000),
                     (unsigned long long)(record->taken_us / 100 % 10));
    if (record->client_is_gone)
        audit_put_text(line, "client", "gone");
    escape_put_raw(line, "}\n");
    if (line->failed) {
        audit_complain(audit, "a record is too long");
        return;
    }
    ssize_t written = write(audit->fd, line->data, line->len);
    if (written < 0)
        audit_complain(audit, strerror(errno));
    else if ((size_t)written != line->len)
        audit_complain(audit, "a record was cut short");
}

/* The sentence that journal and log have in common. */
static void audit_format_message(const struct audit_record *record, char *message, size_t size)
{
    char key[128];
    char reason[256];
    const char *peer = peer_get_text(record->peer);

    (void)snprintf(message, size, "%s %s with key \"%s\" for %s%s%s%s",
                   record->error_code ? "did not sign" : "signed", audit_kind(record),
                   escape_cstring(record->key_name, key, sizeof(key)),
                   peer ? peer : "a client (no memory to name it)", record->error_code ? ": " : "",
                   record->error_code ? escape_cstring(record->reason, reason, sizeof(reason)) : "",
                   record->client_is_gone ? "; the client was gone" : "");
}

static void audit_write_journal(struct audit *audit, const struct audit_record *record,
                                const char *hash)
{
    struct wire_writer *entry = &audit->line;
    char message[1024];
    char uid[16];
    char pid[16];
    char ms[24];

    audit_format_message(record, message, sizeof(message));
    (void)snprintf(uid, sizeof(uid), "%u", (unsigned int)record->peer->uid);
    (void)snprintf(pid, sizeof(pid), "%d", (int)record->peer->pid);
    (void)snprintf(ms, sizeof(ms), "%llu", (unsigned long long)(record->taken_us / 1000));
    wire_writer_reset(entry);
    journal_put(entry, "MESSAGE", message);
    journal_put(entry, "PRIORITY", "6");
    journal_put(entry, "SYSLOG_IDENTIFIER", "mtls-agent");
    journal_put(entry, "MTLS_AGENT_AUDIT", "1");
    journal_put(entry, "MTLS_AGENT_UID", uid);
    journal_put(entry, "MTLS_AGENT_PID", pid);
    journal_put(entry, "MTLS_AGENT_EXE", audit_exe(record));
    journal_put(entry, "MTLS_AGENT_UNIT", audit_unit(record));
    journal_put(entry, "MTLS_AGENT_KEY", record->key_name);
    journal_put(entry, "MTLS_AGENT_KEY_HASH", hash);
    journal_put(entry, "MTLS_AGENT_KIND", audit_kind(record));
    journal_put(entry, "MTLS_AGENT_SCHEME", record->scheme);
    journal_put(entry, "MTLS_AGENT_RESULT", audit_result(record));
    journal_put(entry, "MTLS_AGENT_REASON", record->reason);
    journal_put(entry, "MTLS_AGENT_MS", ms);
    journal_put(entry, "MTLS_AGENT_CLIENT_GONE", record->client_is_gone ? "1" : "0");
    int r = journal_send(audit->fd, entry);
    if (r < 0)
        audit_complain(audit, r == -EAGAIN ? "the journal does not read" : strerror(-r));
}

void audit_write(struct audit *audit, const struct audit_record *record)
{
    char hash[AUDIT_HASH_TEXT_LEN];
    char message[1024];

    audit_format_hash(record->key_hash, hash);
    if (audit->target == CONFIG_AUDIT_FILE)
        audit_write_file(audit, record, hash);
    if (audit->target == CONFIG_AUDIT_JOURNAL)
        audit_write_journal(audit, record, hash);
    if (audit->to_log) {
        audit_format_message(record, message, sizeof(message));
        log_info("audit: %s", message);
    }
}
